"""Analyses in the report: figures of some experiments, flags of all, and words for what is left out."""

from __future__ import annotations

import math
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from reportkit import CERAMICS, Story, point

from sdl.analysis import AnalysisFigure, Series
from sdl.analysis.figure_data import MEDIA_TYPE, NAME, figure_bytes, figure_of
from sdl.ledger import AnalysisRecorded, ExperimentFinished, ExperimentStarted, Ledger, ObservationRecorded
from sdl.report import render_report, report_data
from sdl.report.figures.analysis import analysis_svg, left_out
from sdl.report.reading_analyses import BEST, LATEST, MOST_EXPERIMENTS

X = tuple(float(n) for n in range(1, 3000))
PATTERN = AnalysisFigure(
    "Pattern <1>", "2θ", "degree", "intensity", "counts",
    (
        Series("measured", X, tuple(math.sin(x / 50) ** 2 for x in X), "points"),
        Series("fit", X, tuple(math.sin(x / 50) ** 2 for x in X)),
    ),
)  # fmt: skip


def analysed(
    story: Story,
    number: int,
    value: float,
    flags: tuple[str, ...] = (),
    figure: AnalysisFigure | None = PATTERN,
    status: str = "succeeded",
) -> None:
    """Tell of an experiment whose conductivity an analysis gave, its density the instrument itself."""
    story.say(ExperimentStarted(number, "default", f"s{number}"))
    command = story.command(number, 0, "furnace", 3600.0)
    ref = None if figure is None else story.ledger.artefacts.put(NAME, figure_bytes(figure), MEDIA_TYPE)
    story.say(
        AnalysisRecorded(
            f"{number}.0.1", number, 0, command, "trace", status,  # type: ignore[arg-type]
            [{"name": "raw.csv", "sha256": "a" * 64}],
            {"sigma": {"value": value, "uncertainty": 0.01, "lower": value - 0.03, "upper": value + 0.02, "unit": "S/m"}}
            if status == "succeeded" else {},
            list(flags), {"chi_square": 1.234, "odd": None},
            None if ref is None else {"name": ref.name, "sha256": ref.sha256, "size": ref.size, "media_type": ref.media_type},
            {"numpy": "2.0"}, None if status == "succeeded" else "the file is <cut>",
        )
    )  # fmt: skip
    if status != "succeeded":
        story.say(ExperimentFinished(number, "failed", "analysis trace: the file is <cut>"))
        return
    seen = "flagged" if flags else "valid"
    story.say(
        ObservationRecorded(
            f"{number}.conductivity.1", number, "conductivity", value, 0.01, "mS/cm", "default", seen, command,  # type: ignore[arg-type]
            None, value - 0.03, value + 0.02, list(flags), f"{number}.0.1",
        ),
        ObservationRecorded(
            f"{number}.relative_density.1", number, "relative_density", 0.95, None, "dimensionless", "default", "valid", command
        ),
        ExperimentFinished(number, "done"),
    )  # fmt: skip


@pytest.fixture
def garnets(tell) -> Story:
    story = tell()
    story.create(CERAMICS.format(name="sintering", description="Garnets."))
    story.epoch(furnace="simulated", probe="simulated")
    return story


def section(page: str) -> str:
    return page.partition('<section id="analyses"')[2].partition("</section>")[0]


def shown(page: str) -> list[int]:
    return [int(n) for n in re.findall(r'data-experiment="(\d+)"', page)]


def test_values_intervals_flags_and_figure_are_shown(ledger: Ledger, garnets: Story) -> None:
    garnets.propose([point(1), point(2)])
    analysed(garnets, 1, 0.5, ("noisy <spectrum>",))
    analysed(garnets, 2, 0.4)
    page = render_report(ledger, "sintering")
    part = section(page)
    assert shown(part) == [1, 2]
    assert "Experiment 1 (best, flagged)" in part
    assert re.search(r"0\.500 ± 0\.010\sS/m", part)
    assert re.search(r"0\.47 … 0\.52\sS/m", part)
    assert "noisy &lt;spectrum&gt;" in part
    assert "<spectrum>" not in page
    assert "Pattern &lt;1&gt;. Thinned: of 2999 points of every series at most" in part
    assert part.count("<svg") == 2
    assert "chi_square" in part
    assert "a" * 64 in part
    # the best candidate and the table tell of it too
    best = page.partition('<section id="best"')[2].partition("</section>")[0]
    assert "95 % interval" in best
    assert "Look before trusting it: noisy &lt;spectrum&gt;" in best
    table = page.partition('<section id="experiments"')[2]
    assert "look before trusting it: noisy &lt;spectrum&gt;" in table
    assert "95 % interval: 0.47 … 0.52" in table


def test_without_analyses_and_flags_there_is_no_such_section(ledger: Ledger, ceramics: Story) -> None:
    page = render_report(ledger, ceramics.name)
    assert section(page) == ""
    assert "95 % interval" not in page


def test_a_large_campaign_shows_best_latest_and_flagged_and_says_how_many_are_left_out(
    ledger: Ledger, garnets: Story
) -> None:
    count = 60
    garnets.propose([point(n % 12 + 1) for n in range(1, count + 1)])
    for n in range(1, count + 1):
        flags = ("noisy",) if n in {5, 6, 30} else ()
        analysed(
            garnets, n, 2.0 if n == 17 else 0.3 + 0.001 * n, flags, status="refused" if n == count else "succeeded"
        )
    page = render_report(ledger, "sintering")
    part = section(page)
    wanted = [17, *range(count - 1, count - 1 - LATEST, -1), 30, 6, 5]
    assert shown(part) == wanted
    assert f"Analyses of {count - len(wanted)} further experiments are left out" in part
    assert 'noisy <span class="quiet">(experiment 5–6, 30)</span>' in part
    data = report_data(ledger, "sintering")
    assert data.analyses.left_out == count - len(wanted)


def test_very_many_flags_do_not_blow_it_up(ledger: Ledger, garnets: Story) -> None:
    count = 80
    garnets.propose([point(n % 12 + 1) for n in range(1, count + 1)])
    for n in range(1, count + 1):
        analysed(garnets, n, 0.3 + 0.001 * n, (f"residuals are {n} % " + "x" * 1000,))
    page = render_report(ledger, "sintering")
    part = section(page)
    assert len(shown(part)) == MOST_EXPERIMENTS
    assert "40 flags of earlier experiments left out here" in part
    assert f"Analyses of {count - MOST_EXPERIMENTS} further experiments are left out" in part
    assert len(part) < 1_500_000


def test_a_figure_that_is_gone_is_said(ledger: Ledger, garnets: Story) -> None:
    garnets.propose([point(1)])
    analysed(garnets, 1, 0.5)
    [event] = [r.event for r in ledger.rows("sintering") if isinstance(r.event, AnalysisRecorded)]
    assert event.figure is not None
    Path(ledger.artefacts._path(event.figure["sha256"])).unlink()
    part = section(render_report(ledger, "sintering"))
    assert "No figure: artefact" in part
    assert "is missing" in part
    assert re.search(r"0\.500 ± 0\.010\sS/m", part)


ODD = {
    "nothing": AnalysisFigure("t", "x", "s", "y", "m", ()),
    "no points": AnalysisFigure("t", "x", "s", "y", "m", (Series("a", (), ()),)),
    "one point": AnalysisFigure("t", "x", "s", "y", "m", (Series("a", (1.0,), (1.0,)),)),
    "one value": AnalysisFigure("t", "x", "s", "y", "m", (Series("a", (1.0, 1.0), (2.0, 2.0), "area"),)),
    "not a number": AnalysisFigure("t", "x", "s", "y", "m", (Series("a", (math.nan,) * 2, (1.0, math.inf)),)),
    "below zero on logarithmic axes": AnalysisFigure(
        "t", "x", "s", "y", "m", (Series("a", (-1.0, 0.0, 10.0), (1.0, 1.0, 5.0), "area"),), "log", "log"
    ),
    "nothing above zero": AnalysisFigure("t", "x", "s", "y", "m", (Series("a", (-1.0,), (1.0,)),), "log", "log"),
    "huge": AnalysisFigure("t", "x", "s", "y", "m", (Series("a", (-1.7e308, 1.7e308), (1.7e308, -1.7e308)),), equal_axes=True),
    "tiny": AnalysisFigure("t", "x", "s", "y", "m", (Series("a", (0.0, 5e-324), (1e-300, 2e-300)),), equal_axes=True),
    "many series": AnalysisFigure(
        "t", "x", "s", "y", "m", tuple(Series(f"a rather long name of a series {n}", (1.0, 2.0), (n, n)) for n in range(40))
    ),
    "names": AnalysisFigure("<b>&", "<x>", "<s>", '"y', "m**2", (Series("</svg>", (1.0, 2.0), (1.0, 2.0), "points"),)),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_figures_are_drawn_all_the_same(name: str) -> None:
    kept = figure_of(figure_bytes(ODD[name]))
    drawing = analysis_svg(kept)
    ET.fromstring(drawing)
    assert "nan" not in drawing
    assert "inf" not in re.sub(r">[^<]*<", "><", drawing)
    numbers = [float(n) for d in re.findall(r' d="([^"]*)"', drawing) for n in re.findall(r"-?\d+\.\d+", d)]
    assert all(-1.0 <= n <= 1000.0 for n in numbers)
    said = left_out(kept) or ""
    assert ("no points to draw" in drawing) == (name in {"nothing", "no points", "not a number", "nothing above zero"})
    assert ("cannot be drawn" in said) == (
        name in {"not a number", "below zero on logarithmic axes", "nothing above zero"}
    )
    assert ("further series" in said) == (name == "many series")


def test_equal_axes_have_the_same_length_for_a_unit() -> None:
    circle = [(math.cos(a / 10), math.sin(a / 10)) for a in range(63)]
    series = Series("circle", tuple(x for x, _ in circle), tuple(y for _, y in circle))
    drawing = analysis_svg(figure_of(figure_bytes(AnalysisFigure("t", "x", "", "y", "", (series,), equal_axes=True))))
    [d] = re.findall(r'd="(M[^"]*)" class="f-line', drawing)
    points = [tuple(map(float, p.split(","))) for p in d[1:].split("L")]
    width = max(x for x, _ in points) - min(x for x, _ in points)
    height = max(y for _, y in points) - min(y for _, y in points)
    assert width == pytest.approx(height, rel=0.01)
    assert height > 200


def test_of_a_pareto_set_the_first_and_the_latest_are_shown(ledger: Ledger, tell) -> None:
    story: Story = tell()
    text = CERAMICS.format(name="sintering", description="Garnets.")
    story.create(text.replace("unit: mS/cm}\n", "unit: mS/cm}\n  relative_density: {goal: minimize}\n", 1))
    story.epoch(furnace="simulated", probe="simulated")
    story.propose([point(n) for n in range(1, 11)])
    for n in range(1, 11):
        analysed(story, n, 0.5)  # equal ones beat nobody
    part = section(render_report(ledger, "sintering"))
    assert shown(part) == [*range(1, BEST + 1), 10, 9, 8]
    assert "Experiment 10 (in the Pareto set)" in part
    assert part.partition("Some of the Pareto set, the latest and the flagged experiments.")[1]
