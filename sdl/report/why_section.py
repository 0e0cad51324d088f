"""The report's section "Why": models and their evidence, what matters, effects, influence, intervals, each proposal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.report.figures.effects import effect_svg, effect_values, map_svg
from sdl.report.figures.influence import MOST as MOST_INFLUENCES
from sdl.report.figures.influence import influence_svg
from sdl.report.figures.shares import MOST as MOST_SHARES
from sdl.report.figures.shares import shares_svg
from sdl.report.figures.told import gain_svg, told_svg
from sdl.report.hints import hint_lines
from sdl.report.html import Html, el, joined
from sdl.report.sections import section, table
from sdl.report.text import counted, interval_text, number, ranges_text, with_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdl.planners.bayes.explaining import ModelTold
    from sdl.planners.bayes.influence import Influence
    from sdl.planners.bayes.sensitivity import Sensitivity
    from sdl.report.data import ReportData
    from sdl.report.explaining import Coverage, ProposalTold, Told
    from sdl.report.html import Child
    from sdl.report.why import Why

MOST_EFFECTS = 12
"""Parameters whose effects are drawn for each objective, those that matter most. Chosen."""
MOST_PROPOSALS = 300
"""Experiments of which it is told why they were proposed, the latest. Chosen."""
_NO_OBJECTIVE = "it is no objective"


def why(data: ReportData) -> Html | None:
    """Return the section; None where nothing was read for it."""
    found = data.why
    if found is None:
        return None
    explained = found.explained
    parts: list[Child] = []
    for model in explained.models:
        parts += _model(data, model)
    if (said := explained.missing.get("models")) is not None:
        parts.append(el("p", f"Models: {said}.", class_="empty"))
    parts += _coverage(data, found)
    parts += _gain(found)
    parts += _proposals(data, found.proposals)
    lead = (
        f"As the planner's models stand with all that is known at row {explained.seq} of the journal; the next round would use "
        "the same. What is said of the models is no more than they believe."
        if explained.models
        else None
    )
    return section("why", "Why", *parts, lead=lead)


# --- models ----------------------------------------------------------------------------------------------------------


def _model(data: ReportData, model: ModelTold) -> list[Child]:
    choice = model.choice
    facts: list[Child] = [
        el("li", f"Gaussian process ({choice['kind']}) from {counted(model.observations, 'result')}: {choice['why']}."),
    ]
    if evidence := choice.get("log_evidence"):
        told = "; ".join(f"{kind} {value:.1f}" for kind, value in sorted(evidence.items(), key=lambda e: -e[1]))
        facts.append(el("li", f"Log evidence with {choice.get('compared_at')} results: {told}."))
    facts += [el("li", f"{said[0].upper()}{said[1:]}.") for said in hint_lines(choice)]
    noise = with_unit(number(model.noise_sd, 3), model.unit)
    extra = " on top of what is stated" if model.stated else ""
    facts.append(el("li", f"Noise of a measurement, inferred at the median result: {noise}{extra}."))
    if model.doubted:
        facts.append(
            el("li", f"Believed less, as nothing else explains them: experiments {ranges_text(model.doubted)}.")
        )
    lengths = ", ".join(f"{n} {number(v, 2)}" for n, v in sorted(model.lengthscales.items(), key=lambda item: item[1]))
    facts.append(el("li", f"Length scales in shares of the range, the shortest bends most: {lengths}."))
    parts: list[Child] = [el("h3", f"The model of {model.outcome}"), el("ul", *facts, class_="plain")]
    if model.sensitivity is not None:
        parts += _sensitivity(data, model, model.sensitivity)
    elif model.missing not in {None, _NO_OBJECTIVE}:
        parts.append(el("p", f"Effects of the parameters: {model.missing}.", class_="empty"))
    if model.influence is not None:
        parts.append(_influence(data, model.influence))
    elif model.no_influence not in {None, _NO_OBJECTIVE}:
        parts.append(el("p", f"Influence of single experiments: {model.no_influence}.", class_="empty"))
    return parts


def _sensitivity(data: ReportData, model: ModelTold, found: Sensitivity) -> list[Child]:
    if found.missing is not None:
        return [el("p", f"Effects of the parameters: {found.missing}.", class_="empty")]
    outcome = (model.outcome, model.unit)
    names = [i.parameter for i in found.indices]
    said = f"Shares of the variance of the predicted mean over {found.over}"
    if any(i.total is None for i in found.indices):
        said += "; parameters may depend on each other there, so shares may overlap"
    said += ". (Sobol indices)" if not any(i.total is None for i in found.indices) else " (correlation ratios)."
    if len(names) > MOST_SHARES:
        said += f" Of {len(names)} parameters the {MOST_SHARES} that matter most."
    drawn = found.effects[:MOST_EFFECTS]
    values = effect_values(drawn)
    curves = [_figure(effect_svg(e, data.space, outcome, values)) for e in drawn]
    note = "Mean over all other parameters, with the band that holds 90 % of draws from the model."
    if len(found.effects) > len(drawn):
        note += f" Of {len(found.effects)} parameters the {len(drawn)} that matter most."
    parts: list[Child] = [
        _figure(shares_svg(found, model.outcome), said),
        el("div", *curves, class_="multiples by-3"),
        el("p", note, class_="lead"),
    ]
    maps = [
        _figure(map_svg(p, data.space, outcome), _beyond(p.interaction)) for p in found.pairs if _is_drawable(p.mean)
    ]
    if maps:
        parts.append(el("div", *maps, class_="multiples by-3"))
        parts.append(
            el(
                "p",
                "Two at a time, of the parameters that matter most; rest the pointer on a field for its band.",
                class_="lead",
            )
        )
    return parts


def _is_drawable(rows: Sequence[Sequence[float | None]]) -> bool:
    return any(v is not None for row in rows for v in row)


def _beyond(interaction: float | None) -> str | None:
    if interaction is None:
        return None
    return f"{100 * max(interaction, 0.0):.0f} % of the variance lie in what the two do together beyond what either does alone."


def _influence(data: ReportData, found: Influence) -> Html:
    goal = data.objectives.get(found.outcome)
    what = "best" if goal is None or goal.value is None else "distance from the number to be matched"
    how = (
        "exact, over all sets of experiments"
        if found.orders is None
        else f"from {found.orders} orders drawn at random; lines are two standard errors"
    )
    said = (
        f"Shapley values over experiments: by how much each improves the predicted {what} (the best median predicted at any of "
        f"{found.points} points, hyperparameters being kept) when it joins those before it, in the mean over all orders; {how}. "
        f"They sum to what all results have improved: from {with_unit(number(found.none, 4), found.unit)} without any to "
        f"{with_unit(number(found.all, 4), found.unit)}."
    )
    if len(found.shares) > MOST_INFLUENCES:
        rest = sum(s.value for s in found.shares[MOST_INFLUENCES:])
        said += (
            f" Drawn are the {MOST_INFLUENCES} largest of {len(found.shares)}; the others add up to "
            f"{with_unit(number(rest, 2), found.unit)}."
        )
    return _figure(influence_svg(found), said)


# --- intervals, gain, proposals ----------------------------------------------------------------------------------------


def _coverage(data: ReportData, found: Why) -> list[Child]:
    coverage = found.explained.coverage
    if not coverage:
        said = found.explained.missing.get("coverage")
        return [] if said is None else [el("p", f"Intervals told before measurements: {said}.", class_="empty")]
    rows: list[list[Child]] = [_covered(one) for one in coverage]
    drawn = []
    for outcome in dict.fromkeys(one.outcome for one in coverage):
        told = told_of(found.proposals, outcome)
        if told:
            drawn.append(_figure(told_svg(outcome, data.unit_of(outcome), told)))
    return [
        el("h3", "Intervals told before the measurement"),
        table(["outcome", "was to hold", "held", "share", "95 % interval of it (Clopper and Pearson 1934)"], rows),
        el("div", *drawn, class_="pair"),
    ]


def told_of(proposals: Sequence[ProposalTold], outcome: str) -> list[tuple[int, Told]]:
    """Return (experiment, what was told and measured) of an outcome, where there are an interval and a measurement."""
    return [
        (p.number, t)
        for p in proposals
        for t in p.outcomes
        if t.outcome == outcome and t.interval is not None and t.measured is not None
    ]


def _covered(one: Coverage) -> list[Child]:
    return [
        el("b", one.outcome),
        f"{100 * one.share:.0f} %",
        f"{one.held} of {one.told}",
        f"{100 * one.held / one.told:.0f} %",
        f"{100 * one.low:.0f} … {100 * one.high:.0f} %",
    ]


def _gain(found: Why) -> list[Child]:
    if not found.gains:
        return []
    last = found.gains[-1]
    parts: list[Child] = [el("h3", "Still to be gained")]
    if any(g.probability is not None for g in found.gains):
        said = (
            "By joint draws from the models: what the best candidate of each draw has more than the experiment that is predicted "
            "to be best"
        )
        parts.append(_figure(gain_svg(found.gains, found.rule), f"{said}. {_candidates(last.described)}".strip()))
    if found.rule is not None:
        parts.append(el("p", f"The campaign stops once {found.rule.in_words}.", class_="lead"))
    if last.probability is None and last.missing:
        parts.append(el("p", f"In the last round it could not be told: {last.missing}.", class_="empty"))
    return parts


def _candidates(described: dict[str, object]) -> str:
    looked, together, of = (described.get(k) for k in ("looked_at", "candidates", "of"))
    if not isinstance(looked, int) or not isinstance(together, int):
        return ""
    pool = f" of the pool's {of} rows" if isinstance(of, int) else ""
    return f"In the last round {looked} candidates{pool} were looked at, and {together} drawn together."


def _proposals(data: ReportData, proposals: Sequence[ProposalTold]) -> list[Child]:
    by_model = [p for p in proposals if p.origin == "model" or p.leaning]
    if not by_model:
        return []
    shown = by_model[-MOST_PROPOSALS:]
    outcomes = [t.outcome for t in shown[-1].outcomes]
    head: list[Child] = ["experiment", "round", "it", "because"]
    head += [joined(o, el("span", " predicted · interval · measured", class_="quiet")) for o in outcomes]
    rows = [_proposal(data, p, outcomes) for p in shown]
    title = f"Why each experiment was proposed ({len(shown)})"
    if len(by_model) > len(shown):
        title += f"; the {len(shown)} latest of {len(by_model)}"
    notes: list[Child] = []
    if any(not p.leaning for p in shown):
        notes.append(
            el(
                "p",
                "Where no reason stands none was recorded: sdl explain NAME EXPERIMENT refits the models of the time.",
                class_="note",
            )
        )
    return [el("details", el("summary", title), table(head, rows), *notes)]


def _proposal(data: ReportData, told: ProposalTold, outcomes: Sequence[str]) -> list[Child]:
    by = {t.outcome: t for t in told.outcomes}
    leaning = {"both": "exploits and explores"}.get(told.leaning, told.leaning)
    cells: list[Child] = [
        el("b", str(told.number)),
        str(told.round),
        leaning or "–",
        told.because or told.acquisition or "–",
    ]
    return cells + [_outcome(by.get(o), data.unit_of(o)) for o in outcomes]


def _outcome(told: Told | None, unit: str) -> Child:
    if told is None or told.mean is None:
        return "–"
    said = number(told.mean, 4)
    if told.sd is not None:
        said += f" ± {number(told.sd, 2)}"
    said = with_unit(said, unit)
    if told.interval is not None:
        said += f" · {interval_text(*told.interval)}"
    if told.measured is not None:
        said += f" · {with_unit(number(told.measured, 4), unit)}"
        said += "" if told.held is None else ", inside" if told.held else ", outside"
    return said


def _figure(drawing: Html, caption: str | None = None) -> Html:
    return el("figure", drawing, el("figcaption", caption) if caption else None)
