"""`sdl explain`: what the models know of a campaign, and why an experiment was proposed."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sdl.cli.outcome import home_of
from sdl.cli.summary import describe_results, summary_of
from sdl.errors import InputError
from sdl.ledger import Ledger
from sdl.ledger.place import has_ledger
from sdl.report.hints import hint_lines

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sdl.cli.outcome import Output
    from sdl.cli.summary import Summary
    from sdl.planners.bayes.explaining import ModelTold
    from sdl.planners.bayes.sensitivity import Effect, Sensitivity
    from sdl.report.explaining import CampaignExplained, Coverage, ExperimentExplained, Told

_BENDS, _STRAIGHT = 0.5, 2.0
"""Length scales, in shares of the range, up to which an outcome bends within the range, and from which on hardly. Chosen."""
_NOTEWORTHY = 0.01
"""Share of the variance from which on an interaction is told. Chosen."""
_MOST_INFLUENCES = 6
"""Experiments whose influence is told as text; JSON and report have more. Chosen."""


def explain(name: str, experiment: int | None, home: Path | None, output: Output, plots: Path | None = None) -> int:
    """Explain a campaign, or why one of its experiments was proposed; with a folder for plots, draw what is explained."""
    if plots is not None and experiment is not None:
        raise InputError("--plots draws what is told of the whole campaign; leave the experiment's number out")
    from sdl.report.explaining import explain_campaign, explain_experiment

    folder = home_of(home)
    if not has_ledger(folder):
        raise InputError(f"there is no ledger in {folder}; choose another --home")
    ledger = Ledger(folder)
    try:
        if ledger.campaign(name) is None:
            raise ledger.unknown(name)
        summary = summary_of(ledger, name)
        units = {n: p.unit for n, p in summary.draft.parameters.items() if p is not None}
        if experiment is not None:
            why = explain_experiment(ledger, name, experiment)
            for line in _experiment_lines(why, units):
                output.say(line)
            output.emit(_json(asdict(why)))
            return 0
        found = explain_campaign(ledger, name)
        drawn = [] if plots is None else _draw(ledger, summary, found, plots)
    finally:
        ledger.close()
    output.say(f"{name}: {summary.state}; planner '{found.planner}'; up to row {found.seq}")
    for line in describe_results(summary):
        output.say(f"  {line}")
    for line in _campaign_lines(found, units):
        output.say(line)
    for path in drawn:
        output.say(f"drew {path}")
    told = {**asdict(found), "state": summary.state, **summary.results_as_json()}
    output.emit(_json(told if plots is None else {**told, "plots": [str(path) for path in drawn]}))
    return 0


def _draw(ledger: Ledger, summary: Summary, found: CampaignExplained, folder: Path) -> list[Path]:
    """Write the figures of a campaign as it was explained, and return their files."""
    from sdl.loop import CampaignState, gains_stated
    from sdl.preflight import recorded_problem
    from sdl.report.explaining import proposals_explained
    from sdl.report.plots import write_plots
    from sdl.report.why import Why

    state = CampaignState(ledger.rows(found.name, found.seq))
    _, problem = recorded_problem(ledger, found.name)
    rule = None if summary.draft.stop is None else summary.draft.stop.gain
    why = Why(found, proposals_explained(problem, state), tuple(gains_stated(state)), rule)
    return write_plots(why, problem.space, folder)


def _json(value: Any) -> Any:  # noqa: ANN401  plain data
    """Return data as JSON has words for it: no NaN, no infinity, mappings as objects."""
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(k): _json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _number(value: float, unit: str = "dimensionless") -> str:
    return f"{value:.4g}" if unit == "dimensionless" else f"{value:.4g} {unit}"


def _value(value: object, unit: str) -> str:
    return _number(float(value), unit) if isinstance(value, int | float) else str(value)


def _point(candidate: Mapping[str, Any], units: Mapping[str, str]) -> str:
    return ", ".join(f"{k} {_value(v, units.get(k, 'dimensionless'))}" for k, v in candidate.items())


def _campaign_lines(found: CampaignExplained, units: Mapping[str, str]) -> list[str]:
    lines = []
    for model in found.models:
        lines += _model_lines(model, units)
    if (said := found.missing.get("models")) is not None:
        lines.append(f"models: {said}")
    lines += [_coverage_line(one) for one in found.coverage]
    if found.coverage:
        lines.append("  (shares with 95 % intervals after Clopper and Pearson 1934)")
    if (said := found.missing.get("coverage")) is not None:
        lines.append(f"intervals: {said}")
    return lines


def _model_lines(model: ModelTold, units: Mapping[str, str]) -> list[str]:
    results = "1 result" if model.observations == 1 else f"{model.observations} results"
    choice = model.choice
    lines = [f"model of {model.outcome}: Gaussian process ({choice['kind']}), from {results}"]
    lines.append(f"  chosen: {choice['why']}")
    if evidence := choice.get("log_evidence"):
        told = "; ".join(f"{kind} {value:.1f}" for kind, value in sorted(evidence.items(), key=lambda e: -e[1]))
        lines.append(f"  log evidence with {choice['compared_at']} results: {told}")
    lines += [f"  {said}" for said in hint_lines(choice)]
    noise = _number(model.noise_sd, model.unit)
    lines.append(
        f"  noise: {noise}{' on top of what is stated' if model.stated else ''}, inferred, at the median result"
    )
    if model.doubted:
        lines.append(f"  believed less: experiments {', '.join(map(str, model.doubted))}, which nothing else explains")
    lengths = sorted(model.lengthscales.items(), key=lambda item: item[1])
    lines.append("  length scales, in shares of the range: " + ", ".join(f"{n} {_length(v)}" for n, v in lengths))
    if model.sensitivity is not None:
        lines += _sensitivity_lines(model.sensitivity, model.unit, units)
    elif model.missing is not None and model.missing != "it is no objective":
        lines.append(f"  effects: {model.missing}")
    return lines + _influence_lines(model)


def _influence_lines(model: ModelTold) -> list[str]:
    """Return which experiments the predicted best rests on."""
    found = model.influence
    if found is None:
        return [] if model.no_influence in {None, "it is no objective"} else [f"  influence: {model.no_influence}"]
    how = "exact" if found.orders is None else f"{found.orders} orders drawn, ± standard error"
    best, none = _number(found.all, found.unit), _number(found.none, found.unit)
    lines = [f"  what the predicted best ({best}; {none} without any result) rests on (Shapley values, {how}):"]
    for share in found.shares[:_MOST_INFLUENCES]:
        error = "" if found.orders is None else f" ± {share.error:.1g}"
        which = f"experiment {share.experiment}" if share.experiment > 0 else f"known before ({share.experiment})"
        lines.append(f"    {which}: {share.value:+.3g}{error}; left out alone: {-share.left_out:+.3g}")
    return lines


def _length(value: float) -> str:
    word = "bends within it" if value <= _BENDS else "hardly bends" if value >= _STRAIGHT else "bends gently"
    return f"{value:.2g} ({word})"


def _sensitivity_lines(found: Sensitivity, unit: str, units: Mapping[str, str]) -> list[str]:
    if found.missing is not None:
        return [f"  effects: {found.missing}"]
    lines = [f"  what matters to the predicted mean, over {found.over}; effects with their 90 % band:"]
    shares = {i.parameter: i for i in found.indices}
    width = max(len(p) for p in shares)
    for effect in found.effects:
        index = shares[effect.parameter]
        # estimates of a share that is 0 scatter around it
        total = "" if index.total is None else f", in all {_share(index.total)}"
        said = _effect(effect, unit, units.get(effect.parameter, "dimensionless"))
        lines.append(f"    {effect.parameter:<{width}}  alone {_share(index.first)}{total}: {said}")
    strong = [p for p in found.pairs if p.interaction is not None and p.interaction >= _NOTEWORTHY]
    lines += [
        f"    {' × '.join(pair.parameters)}: {_share(pair.interaction or 0.0)} beyond what either does alone"
        for pair in sorted(strong, key=lambda p: -(p.interaction or 0.0))
    ]
    if any(i.total is None for i in found.indices):
        lines.append(
            "    (parameters may depend on each other there: these shares may overlap, and there are no total ones)"
        )
    return lines


def _share(value: float) -> str:
    return f"{max(value, 0.0):.0%}".replace("%", " %")


def _effect(effect: Effect, unit: str, own: str) -> str:
    low = min(range(len(effect.at)), key=lambda k: effect.mean[k])
    high = max(range(len(effect.at)), key=lambda k: effect.mean[k])

    def at(k: int) -> str:
        band = f"[{effect.low[k]:.4g}, {effect.high[k]:.4g}]"
        return f"{_number(effect.mean[k], unit)} {band} at {_value(effect.at[k], own)}"

    return f"lowest {at(low)}; highest {at(high)}"


def _coverage_line(one: Coverage) -> str:
    return (
        f"intervals of {one.outcome}: {one.held} of {one.told} measurements lay in the {one.share * 100:.0f} % interval "
        f"told before: {one.held / one.told * 100:.0f} % [{one.low * 100:.0f}, {one.high * 100:.0f}]"
    )


def _experiment_lines(why: ExperimentExplained, units: Mapping[str, str]) -> list[str]:
    lines = [f"{why.name}, experiment {why.number} ({why.state}): {_point(why.candidate, units)}"]
    lines.append(f"  proposed {_origin(why)}")
    lines += [f"  {_told_line(one)}" for one in why.outcomes]
    if (said := why.missing.get("predicted")) is not None:
        lines.append(f"  not predicted: {said}")
    outcome_units = {one.outcome: one.unit for one in why.outcomes}
    if why.why is not None:
        lines.append(f"  it {_LEANING[why.why.leaning]}: {why.why.because}")
        for one in why.why.worth:
            unit = outcome_units[one.objective]
            ratio = "" if one.ratio is None else f", {one.ratio:.2g} times that difference"
            better = f"{_number(abs(one.gain), unit)} {'better' if one.gain > 0 else 'worse'}"
            best = f"{_number(one.best, unit)} of experiment {one.best_experiment}"
            lines.append(
                f"    {one.objective}: mean {_number(one.mean, unit)}, {better} than the best predicted ({best}); "
                f"standard deviation {_number(one.sd, unit)}{ratio}"
            )
        lines += [f"    {o}: keeps its bounds with probability {p:.2f}" for o, p in why.why.keeps.items()]
    elif why.missing.get("why") != why.missing.get("predicted"):
        lines.append(f"  exploit or explore: {why.missing['why']}")
    if isinstance(p := why.described.get("probability_of_success"), float):
        lines.append(f"  does not fail with probability {p:.2f}")
    if why.nearest:
        lines.append(f"  nearest of {why.known} known then (distance: 1 is the whole range of a parameter):")
    else:
        lines.append("  nothing was known then")
    for near in why.nearest:
        got = ", ".join(f"{o} {_number(v, outcome_units.get(o, 'dimensionless'))}" for o, v in near.outcomes.items())
        failed = "failed" + ("; " if got else "") if near.state == "failed" else ""
        where = f"experiment {near.experiment}" if near.experiment > 0 else f"known before ({near.experiment})"
        lines.append(f"    {where}, {near.distance:.2g} away: {failed}{got} at {_point(near.candidate, units)}")
    return lines


_LEANING = {"exploits": "exploits", "explores": "explores", "both": "does both, exploit and explore"}


def _origin(why: ExperimentExplained) -> str:
    if why.origin == "person":
        return "by a person"
    where = f"in round {why.round}"
    if why.origin == "model":
        by = why.described.get("acquisition_function")
        return f"{where} by the model" + (f", for its {by} ({why.described.get('found')})" if by else "")
    if why.origin.startswith("initial"):
        return f"{where} from the design ({why.origin})"
    return f"{where} by planner '{why.planner}'" + (f" ({why.origin})" if why.origin else "")


def _told_line(one: Told) -> str:
    parts = []
    if one.mean is not None:
        parts.append(f"predicted {one.mean:.4g} ± {one.sd or 0.0:.2g}")
    if one.interval is not None:
        parts.append(f"to be measured in [{one.interval[0]:.4g}, {one.interval[1]:.4g}]")
    if one.measured is None:
        parts.append("not measured")
    else:
        stated = "" if one.uncertainty is None else f" ± {one.uncertainty:.2g}"
        inside = "" if one.held is None else ", inside" if one.held else ", outside"
        parts.append(f"measured {one.measured:.4g}{stated}{inside}")
    unit = "" if one.unit == "dimensionless" else f" ({one.unit})"
    return f"{one.outcome}{unit}: {', '.join(parts)}"
