"""The report's sections that are words, tiles and small tables: head, goal, space, best candidate, questions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.objective import describe_desirability, desirability_of
from sdl.report.data import NATURES
from sdl.report.html import Html, el, joined
from sdl.report.text import (
    counted,
    cut,
    duration_text,
    estimate_text,
    interval_text,
    moment_text,
    number,
    ranges_text,
    seconds_between,
    unit_text,
    with_unit,
)
from sdl.space import Continuous, Discrete, Integer
from sdl.units import DIMENSIONLESS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdl.objective import Objective
    from sdl.report.data import ReportData
    from sdl.report.html import Child
    from sdl.space import Value

_MOST_WORDS = 12

STATES = {
    "created": "not started",
    "running": "running",
    "paused": "paused by a person",
    "interrupted": "interrupted: its process is gone",
    "waiting": "waiting for a person",
    "stopped": "stopped, can go on",
    "failed": "failed",
    "done": "done",
}


def section(key: str, title: str, *children: Child, lead: Child = None) -> Html:
    """Return a section of the page, with a line of explanation under its title where there is one."""
    said = None if lead is None else el("p", lead, class_="lead")
    return el("section", el("h2", title, id=f"{key}-title"), said, *children, id=key, aria_labelledby=f"{key}-title")


def table(head: Sequence[Child], rows: Sequence[Sequence[Child]], class_: str = "") -> Html:
    """Return a small table."""
    top = el("thead", el("tr", *(el("th", h, scope="col") for h in head)))
    body = el("tbody", *(el("tr", *(el("td", c) for c in row)) for row in rows))
    return el("div", el("table", top, body, class_=class_ or None), class_="scroll")


def code(text: str) -> Html:
    """Return text in a fixed-width face."""
    return el("code", text)


# --- head ------------------------------------------------------------------------------------------------------------


def head(data: ReportData) -> Html:
    """Return title, badges, description and what came of it in a few figures."""
    description = el("p", data.description, class_="description") if data.description else None
    return el(
        "header",
        el("p", "Campaign report", class_="kicker"),
        el("h1", data.name),
        description,
        el("p", _state_badge(data), *_nature_badges(data), class_="badges"),
        _nature_note(data),
        _tiles(data),
    )


def _state_badge(data: ReportData) -> Html:
    said = joined(STATES.get(data.state, data.state), f" — {data.reason}" if data.reason else None)
    return el("span", said, class_=f"badge state-{data.state}")


def _nature_badges(data: ReportData) -> list[Html]:
    badges = [el("span", NATURES[n], class_=f"badge nature nature-{n}") for n in data.natures]
    if data.clock != "real":
        badges.append(el("span", f"{data.clock} time", class_="badge nature nature-clock"))
    return badges


def _nature_note(data: ReportData) -> Html | None:
    """Say in a sentence what in this report was not measured for it."""
    by_nature: dict[str, list[str]] = {}
    for instrument in data.instruments:
        by_nature.setdefault(instrument.nature, []).append(instrument.name)
    sentences = {
        "simulated": "Simulated instruments ({}): their values come from a computer model, not from a laboratory.",
        "replay": "Replayed instruments ({}): their values were measured earlier and are looked up in a table.",
        "calculation": "Calculated ({}): values come from a calculation.",
    }
    said = [text.format(", ".join(by_nature[n])) for n, text in sentences.items() if n in by_nature]
    if data.clock == "virtual":
        said.append("Dates are those of virtual time, which begins on 2000-01-01.")
    if data.clock == "scaled":
        said.append("Dates are those of a clock that runs faster than the one on the wall.")
    return el("p", " ".join(said), class_="note") if said else None


def _tiles(data: ReportData) -> Html:
    started = len(data.started)
    failed, aborted, running = data.count("failed"), data.count("aborted"), data.count("running")
    parts = [f"{data.count('done')} done"]
    parts += [
        f"{count} {word}" for count, word in ((failed, "failed"), (aborted, "aborted"), (running, "running")) if count
    ]
    return el(
        "dl",
        _best_tile(data),
        _tile("Experiments", f"{started} of {data.budget}", ", ".join(parts)),
        *_cost_tile(data),
        _tile("Planner", data.planner, counted(len(data.rounds), "round")),
        _tile(
            "Lab time",
            duration_text(seconds_between(data.first, data.last)),
            f"since {moment_text(data.first)[:16]} UTC",
        ),
        class_="tiles",
    )


def _cost_tile(data: ReportData) -> list[Html]:
    if data.cost_unit is None:
        return []
    below = "no limit" if data.cost_limit is None else f"of {with_unit(number(data.cost_limit), data.cost_unit)}"
    return [_tile("Cost", with_unit(number(data.spent), data.cost_unit), below)]


def _best_tile(data: ReportData) -> Html:
    if data.front is not None:
        found = data.front.numbers
        shown = counted(len(found), "experiment") if found else "none yet"
        where = f"no. {cut(ranges_text(sorted(found)), 60)}" if found else "no feasible result"
        return _tile("Pareto set", shown, where, wide=True)
    best, unit = data.best_experiment, data.unit_of(data.objective)
    shown = "none yet" if best is None else with_unit(estimate_text(best.outcomes[data.objective]), unit)
    where = "no feasible result" if best is None else f"experiment {best.number}"
    return _tile(f"Best {data.objective}", shown, where, wide=True)


def _tile(name: str, value: str, below: str, *, wide: bool = False) -> Html:
    return el(
        "div",
        el("dt", name),
        el("dd", value, class_="figure-of"),
        el("dd", below, class_="below"),
        class_="wide" if wide else None,
    )


# --- goal and space --------------------------------------------------------------------------------------------------


def goal(data: ReportData) -> Html:
    """Return what is wanted, in words."""
    items = [el("li", _goal_of(name, objective)) for name, objective in data.objectives.items()]
    items += [
        el("li", "Only results with ", el("b", name), f" {number_of(str(bounds))} count as feasible.")
        for name, bounds in data.outcome_constraints.items()
    ]
    stop = [f"Stop after {counted(data.budget, 'experiment')} were started"]
    if data.targets:
        reached = " and ".join(f"{name} is {number_of(str(t))}" for name, t in data.targets.items())
        one = "in one experiment " if len(data.targets) > 1 else ""
        stop.append(f"or as soon as {one}{reached} by its stated uncertainty")
    if data.gain is not None:
        stop.append(f"or once {data.gain.in_words}")
    if data.cost_limit is not None and data.cost_unit is not None:
        whole = with_unit(number(data.cost_limit), data.cost_unit)
        stop.append(f"or where the next one would cost more than is left of {whole}")
    items.append(el("li", ", ".join(stop) + "."))
    several = len(data.costs) > 1
    for name, cost in data.costs.items():
        items.append(el("li", f"An experiment{f' on {name}' if several else ''} costs ", code(str(cost)), "."))
    if several:
        items.append(el("li", "Only results of ", el("b", data.target), " count; the others help to find them."))
    if data.concurrency > 1:
        items.append(el("li", f"Up to {data.concurrency} experiments run at a time."))
    note = None
    if data.front is not None:
        note = el(
            "p",
            "What is sought is the Pareto set: the feasible results that no other one beats, which is to be better in one "
            "objective and worse in none.",
            class_="note",
        )
    return section("goal", "Goal", el("ul", *items, class_="plain"), note)


def number_of(text: str) -> str:
    """Return bounds as the campaign's objects write them, with printed units."""
    value, space, unit = text.rpartition(" ")
    return f"{value}{space}{unit_text(unit)}" if value and not unit[:1].isdigit() else text


def _goal_of(name: str, objective: Objective) -> Html:
    unit = unit_text(objective.unit)
    what = joined(el("b", name), f" (in {unit})" if unit else None)
    if objective.goal == "match":
        value = number(float(objective.value)) if objective.value is not None else ""
        said = joined("Bring ", what, f" as close as possible to {with_unit(value, objective.unit)}.")
    else:
        said = joined("Maximise " if objective.goal == "maximize" else "Minimise ", what, ".")
    if objective.desirability is not None:
        return joined(said, f" Desirability: {describe_desirability(objective)}.")
    if objective.reference is None:
        return said
    given = with_unit(number(float(objective.reference)), objective.unit)
    beyond = {"maximize": "Less than", "minimize": "More than", "match": "What is farther away than"}[objective.goal]
    return joined(said, f" {beyond} {given} counts as no gain.")


def space(data: ReportData) -> Html:
    """Return parameters, constraints and pool."""
    rows: list[list[Child]] = []
    for name, parameter in data.space.parameters.items():
        match parameter:
            case Continuous():
                allowed = f"{number(parameter.lower)} … {number(parameter.upper)}"
                kind = "continuous, log scale" if parameter.scale == "log" else "continuous"
            case Integer():
                allowed, kind = f"{number(parameter.lower)} … {number(parameter.upper)}", "integer"
            case Discrete():
                allowed, kind = _listed([number(float(v)) for v in parameter.values]), "discrete"
            case _:
                allowed, kind = _listed(parameter.values), "categorical"
        rows.append([el("b", name), kind, allowed, unit_text(parameter.unit) or "–"])
    said = [el("li", "Constraint: ", code(str(c))) for c in data.space.constraints]
    if data.space.pool is not None:
        said.append(el("li", f"Pool: only its {len(data.space.pool)} rows may be proposed."))
    return section(
        "space",
        "Space",
        table(["parameter", "kind", "allowed", "unit"], rows),
        el("ul", *said, class_="plain") if said else None,
    )


def _listed(words: Sequence[str]) -> str:
    """Return the words, or the first of very many; the campaign file stands further down in full."""
    if len(words) <= _MOST_WORDS:
        return ", ".join(words)
    return f"{', '.join(words[:_MOST_WORDS])}, … ({len(words)} in all)"


# --- best ------------------------------------------------------------------------------------------------------------


def value_text(value: Value, unit: str) -> str:
    """Return a parameter's value with its unit."""
    return value if isinstance(value, str) else with_unit(number(float(value), 6), unit)


def best(data: ReportData) -> Html:
    """Return the best feasible candidate with its outcomes."""
    found = data.best_experiment
    if found is None:
        some = any(data.objective in e.outcomes for e in data.experiments if e.state == "done")
        why = "No result keeps all outcome constraints." if some else "No experiment has given a result yet."
        return section("best", "Best candidate", el("p", why, class_="empty"))
    parameters = [[el("b", n), value_text(v, data.units.get(n, DIMENSIONLESS))] for n, v in found.candidate.items()]
    intervals = {
        name: interval_text(o.lower, o.upper)
        for name, o in found.observed.items()
        if o.lower is not None and o.upper is not None
    }
    outcomes = [
        [
            el("b", name),
            with_unit(estimate_text(e), data.unit_of(name)),
            *([with_unit(intervals[name], data.unit_of(name)) if name in intervals else "–"] if intervals else []),
            _role(data, name, e.value),
        ]
        for name, e in found.outcomes.items()
        if name in data.outcomes
    ]
    flags = dict.fromkeys(f for o in found.observed.values() if o.status == "flagged" for f in o.flags or ("flagged",))
    flag_note = None
    if flags:
        flag_note = el("p", "Look before trusting it: ", "; ".join(flags), class_="note")
    stated = all(e.uncertainty is not None for e in found.outcomes.values())
    lead = f"Experiment {found.number} of round {found.round}. "
    lead += (
        "± is the standard uncertainty."
        if stated
        else "Where no ± stands, no uncertainty was stated with the measurement."
    )
    if data.objectives[data.objective].goal != "match":
        lead += " It is the best of what was measured: chosen among noisy results, its value is likely to flatter it."
    return section(
        "best",
        "Best candidate",
        el(
            "div",
            table(["parameter", "value"], parameters),
            table(["outcome", "value", *(["95 % interval"] if intervals else []), ""], outcomes),
            class_="pair",
        ),
        flag_note,
        lead=lead,
    )


def _role(data: ReportData, outcome: str, value: float) -> str:
    words = []
    if outcome in data.objectives:
        words.append(
            {"maximize": "maximised", "minimize": "minimised", "match": "matched"}[data.objectives[outcome].goal]
        )
        if data.objectives[outcome].desirability is not None:
            words.append(f"desirability {number(desirability_of(data.objectives[outcome], value))}")
    if outcome in data.outcome_constraints:
        words.append(f"must be {number_of(str(data.outcome_constraints[outcome]))}")
    return ", ".join(words)


# --- questions -------------------------------------------------------------------------------------------------------


def questions(data: ReportData) -> Html:
    """Return what only a person can settle."""
    if not data.questions:
        return section("questions", "Open questions", el("p", "None.", class_="empty"))
    items = [
        el(
            "li",
            el("b", f"{q.question} · experiment {q.experiment}: "),
            q.text,
            " ",
            el("span", f"command {q.command}", class_="quiet") if q.command else None,
        )
        for q in data.questions
    ]
    return section(
        "questions",
        "Open questions",
        el("ul", *items, class_="questions"),
        lead="Nobody but a person can settle these; the experiments they belong to stay open until then.",
    )
