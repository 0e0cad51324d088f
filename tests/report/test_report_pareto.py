"""Several objectives in the report: the Pareto set, its figures, the hypervolume and the progress of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from reportkit import Story

from sdl.ledger import Ledger
from sdl.report import convergence_png, convergence_svg, render_report, report_data
from sdl.report.figures.canvas import Canvas
from sdl.report.figures.front import front_svg

TEXT = """\
name: front
space:
  parameters:
    x: {{type: continuous, bounds: [0, 100], unit: mm}}
objectives:
{objectives}
outcome_constraints:
  safe: {{at_least: 0}}
protocol:
  - {{instrument: probe, action: measure, with: {{x: $x}}, gives: {{{gives}}}}}
lab: {{clock: {{type: virtual}}, instruments: {{probe: {{driver: gone}}}}}}
planner: {{type: random}}
stop: {{experiments: 20{target}}}
"""
TWO = {"strength": "{goal: maximize, unit: MPa, reference: 1}", "mass": "{goal: minimize, unit: kg, reference: 10}"}
UNITS = {"strength": "MPa", "mass": "kg"}

#                (strength, mass, safe); 2 is beaten by 3, 4 is not safe, 6 is beyond the reference
ROWS = [
    (3.0, 6.0, 1.0),
    (4.0, 5.0, 1.0),
    (5.0, 4.0, 1.0),
    (9.0, 1.0, -1.0),
    (7.0, 8.0, 1.0),
    (8.0, 11.0, 1.0),
    (2.0, 2.0, 1.0),
]


def told(
    ledger: Ledger,
    objectives: Mapping[str, str],
    rows: Sequence[Sequence[float | None]],
    units: Mapping[str, str] | None = None,
    target: str = "",
) -> Story:
    """A campaign with one experiment a row: its objectives in order, then `safe`; None where it failed."""
    story = Story(ledger, "front")
    names = [*objectives, "safe"]
    lines = "\n".join(f"  {name}: {spec}" for name, spec in objectives.items())
    gives = ", ".join(f"{name}: {name}" for name in names)
    story.create(TEXT.format(objectives=lines, gives=gives, target=target and f", target: {target}"))
    story.epoch(probe="simulated")
    if rows:
        story.propose([{"x": float(n)} for n in range(1, len(rows) + 1)], "model")
    for number, row in enumerate(rows, start=1):
        outcomes = {n: (v, None) for n, v in zip(names, row, strict=False) if v is not None}
        story.run(number, outcomes, "done" if outcomes else "failed", ["probe"], units)
    return story


@pytest.fixture
def two(ledger: Ledger) -> Story:
    return told(ledger, TWO, [*ROWS, (None,)], UNITS, "{strength: {at_least: 9}, mass: {at_most: 2}}")


def test_the_pareto_set_and_its_hypervolume(ledger: Ledger, two: Story) -> None:
    data = report_data(ledger, two.name)
    assert data.best is None
    assert data.front is not None
    assert data.front.numbers == (6, 5, 3, 7)
    assert data.front.beyond == (6,)
    assert data.front.reference == {"strength": 1.0, "mass": 10.0}
    # areas down to (1, 10): 2·4; 3·5; 4·6; the same; + 2·2; the same; + 1·2; the same after a failure
    assert [n for n, _ in data.front.volumes] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [v for _, v in data.front.volumes] == pytest.approx([8, 15, 24, 24, 28, 28, 30, 30])
    assert data.best_so_far_of("mass")[-1] == (8, 2.0)
    assert data.best_so_far_of("strength")[-1] == (8, 8.0)


def section_of(page: str, key: str) -> str:
    return page.partition(f'<section id="{key}"')[2].partition("</section>")[0]


def test_what_the_page_shows(ledger: Ledger, two: Story) -> None:
    page = render_report(ledger, two.name)
    front = section_of(page, "pareto")
    cells = [row.split("</b>")[0].rpartition("<b>")[2] for row in front.partition("<tbody>")[2].split("<tr>")[1:]]
    assert cells == ["6", "5", "3", "7"]
    assert front.count("<svg") == 1
    assert front.count('class="f-best"') == 4 + 1  # and once in the legend
    assert front.count("f-cross") == 1 + 1
    assert "Experiment 6 is not better than the reference point" in front
    assert "1 experiment failed or aborted" in front
    progress = section_of(page, "convergence")
    assert "hypervolume / (MPa · kg)" in progress
    assert (
        "Reference point: strength 1\N{NO-BREAK SPACE}MPa, mass 10\N{NO-BREAK SPACE}kg; as the campaign gives it."
        in progress
    )
    assert progress.count("<svg xmlns") == 0
    assert progress.count('class="figure"') == 1 + 2
    assert "Best mass so far" in progress
    assert section_of(page, "best") == ""
    assert "in one experiment strength is ≥ 9 MPa and mass is ≤ 2 kg by its stated uncertainty" in page
    assert "More than 10\N{NO-BREAK SPACE}kg counts as no gain." in page
    assert page.count('class="is-best"') == 4


def test_the_line_is_the_edge_of_what_is_dominated(ledger: Ledger, two: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, list[tuple[float, float]]] = {}
    monkeypatch.setattr(Canvas, "line", lambda _, points, class_, hover="": drawn.update({class_: list(points)}))
    data = report_data(ledger, two.name)
    ET.fromstring(front_svg(data, "strength", "mass", standalone=True))
    corners = drawn["f-curve"]
    # mass grows upwards: pixels from the top fall as it grows; (strength, mass) of the corners
    by_x = sorted({x for x, _ in corners})
    by_y = sorted({y for _, y in corners}, reverse=True)
    strengths, masses = [1, 2, 5, 7, 8], [2, 4, 8, 11]
    values = [(strengths[by_x.index(x)], masses[by_y.index(y)]) for x, y in corners]
    steps = [v for i, v in enumerate(values) if i == 0 or v != values[i - 1]]
    assert steps == [(8, 11), (7, 11), (7, 8), (5, 8), (5, 4), (2, 4), (2, 2), (1, 2)]


def test_the_reference_follows_from_the_results(ledger: Ledger) -> None:
    goals = {"strength": "{goal: maximize}", "mass": "{goal: match, value: 5}"}
    told(ledger, goals, [(10.0, 7.0, 1.0), (20.0, 9.0, 1.0), (15.0, 0.0, 1.0)])
    data = report_data(ledger, "front")
    assert data.front is not None
    assert data.front.numbers == (2, 1)
    assert data.front.reference == pytest.approx({"strength": 9.0, "mass": 4.2})  # distances 2 and 4, and a tenth more
    assert data.front.volumes[-1][1] == pytest.approx(1 * 2.2 + 10 * 0.2)
    assert "|mass − 5|" in front_svg(data, "strength", "mass")
    assert "so it moves with the results" in render_report(ledger, "front")


@pytest.mark.parametrize(("count", "drawings"), [(3, 3), (4, 6), (5, 0)])
def test_more_objectives(ledger: Ledger, count: int, drawings: int) -> None:
    goals = {f"o{i}": "{goal: maximize}" for i in range(count)}
    rows: list[Any] = [[float((i * n) % 7) for i in range(1, count + 1)] + [1.0] for n in range(1, 8)]
    told(ledger, goals, rows)
    data = report_data(ledger, "front")
    assert data.front is not None
    page = render_report(ledger, "front")
    assert section_of(page, "pareto").count('class="figure"') == drawings
    progress = section_of(page, "convergence")
    if count == 3:
        assert data.front.missing is None
        assert data.front.volumes[-1][1] > data.front.volumes[0][1]
        assert progress.count('class="figure"') == 1 + 3
    else:
        assert f"Hypervolume: left out; it is computed for 2 or 3 objectives, and there are {count}." in progress
        assert progress.count('class="figure"') == count
    assert convergence_png(data).startswith(b"\x89PNG")


HUGE = [(1e200, -1e200, 1.0), (-1e200, -1.1e200, 1.0)]


@pytest.mark.parametrize("rows", [[], [(None,), (None,)], [(1.0, 2.0, -1.0)], [(1.0, None, 1.0)], HUGE])
def test_nothing_to_show_yet(ledger: Ledger, rows: list[Any]) -> None:
    told(ledger, {"strength": "{goal: maximize}", "mass": "{goal: minimize}"}, rows)
    data = report_data(ledger, "front")
    assert data.front is not None
    assert data.front.missing is not None
    page = render_report(ledger, "front")
    assert f"Hypervolume: left out; {data.front.missing}." in page
    ET.fromstring(convergence_svg(data))
    assert convergence_png(data).startswith(b"\x89PNG")
