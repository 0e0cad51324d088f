"""The report's section "Why", the figures as files, and what was known before, against ledgers whose answers are known."""

from __future__ import annotations

import sys
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from reportkit import CERAMICS
from test_report_page import Page

from sdl.campaign import StopGain
from sdl.errors import InputError, LedgerError
from sdl.ledger import RoundOpened, RoundProposed
from sdl.loop import GainStated
from sdl.planners.bayes.sensitivity import Effect, Index, PairEffect, Sensitivity
from sdl.report import convergence_png, convergence_svg, render_report, report_data
from sdl.report.figures.effects import effect_svg, effect_values, map_svg
from sdl.report.figures.shares import shares_svg
from sdl.report.figures.told import gain_svg
from sdl.report.plots import plots_of, write_plots

BAYES = CERAMICS.replace("{type: random}", "{type: bayes}")
GAIN = BAYES.replace("at_least: 0.8}}}}}}", "at_least: 0.8}}}}, gain: {{more_than: 20 uS/cm, rounds: 2}}}}")
SVG = "{http://www.w3.org/2000/svg}"


def at(temperature):
    return {"temperature": temperature, "hold": 4.0, "atmosphere": "air", "firings": 1}


def measured(conductivity):
    return {"conductivity": (conductivity, 0.004), "relative_density": (0.95, 0.003)}


def propose(story, temperature, interval, probability):
    """Propose one candidate by a model that told an interval, and how probable it was that more is to be gained."""
    story.rounds += 1
    number = len(story.experiments) + 1
    story.experiments[number] = at(temperature)
    described = {
        "origin": "model",
        "acquisition_function": "log noisy expected improvement",
        "predicted": {
            "conductivity": {"mean": sum(interval) / 2, "sd": 0.05, "interval": list(interval), "reach": 1.6}
        },
        "why": {"leaning": "explores", "because": "of <curiosity>", "worth": []},
    }
    gain = {
        "more_than": 0.02,
        "unit": "mS/cm",
        "probability": probability,
        "standard_error": 0.01,
        "missing": "too early",
    }
    diagnostics = {"interval": 0.9, "candidates": [described], "gain": gain}
    story.say(
        RoundOpened(story.rounds, 1, 1000 + story.rounds),
        RoundProposed(story.rounds, "bayes", [at(temperature)], number, diagnostics, {}, 0.25),
    )
    return number


@pytest.fixture
def told(tell):
    """Four experiments of the design, then four by a model, of whose intervals three hold."""
    pytest.importorskip("torch")
    story = tell()
    story.create(GAIN.format(name="sintering", description="Garnets."))
    story.epoch(furnace="simulated", probe="simulated")
    story.propose([at(t) for t in (1010, 1080, 1150, 1230)], "initial")
    for number, value in ((1, 0.1), (2, 0.3), (3, 0.5), (4, 0.4)):
        story.run(number, measured(value))
    for temperature, value, interval, p in (
        (1170, 0.55, (0.4, 0.6), None),
        (1160, 0.52, (0.5, 0.6), 0.7),
        (1190, 0.45, (0.5, 0.7), 0.2),
        (1165, 0.53, (0.5, 0.6), 0.03),
    ):
        story.run(propose(story, temperature, interval, p), measured(value))
    return story


def test_the_section_says_what_is_known_and_each_proposal(told):
    page = Page(render_report(told.ledger, "sintering"))
    (section,) = [text for a, text in page.of("section", id="why")]
    assert "Gaussian process (" in section
    assert "Shapley values over experiments" in section
    assert "exact, over all sets of experiments" in section  # eight results
    ((_, row),) = [(a, t) for a, t in page.of("tr") if t.startswith("conductivity90 %")]
    assert "3 of 4" in row
    assert "75 %" in row
    assert "of <curiosity>" in section
    assert "explores" in section
    assert "outside" in section
    assert "once 2 rounds in a row say that the probability is at most 0.05 that more than 0.02 mS/cm" in section
    assert "once 2 rounds in a row" in " ".join(t for _, t in page.of("section", id="goal"))
    figures = [a["aria-label"] for a, _ in page.of("svg", class_="figure")]
    assert "What matters to the predicted conductivity: shares of its variance" in figures
    assert "Predicted conductivity given temperature" in figures
    assert sum("given" in f and " and " in f for f in figures) == 3
    assert any(f.startswith("What the predicted best conductivity rests on") for f in figures)
    assert "Probability that more than 0.02 mS/cm is still to be gained, by round" in figures
    outside = [a for tag, a, _ in page.elements for k in ("src", "href") if not a.get(k, "#").startswith("#")]
    assert outside == []


def test_it_goes_as_far_as_the_report_and_no_further(told):
    seq = told.ledger.head("sintering")[0]
    before = report_data(told.ledger, "sintering", predict=True).why
    propose(told, 1100, (0.0, 1.0), 0.5)
    told.run(9, measured(0.2))
    now = report_data(told.ledger, "sintering", predict=True)
    then = report_data(told.ledger, "sintering", up_to=seq, predict=True)
    assert then.seq == then.why.explained.seq == seq
    assert then.why == before
    assert now.why.explained.models[0].observations == 9
    assert now.why.gains[-1].probability == 0.5


def test_nothing_heavy_is_asked_of_other_planners(ceramics, monkeypatch):
    import sdl.report.explaining as explaining

    monkeypatch.setitem(sys.modules, "sdl.planners.bayes.explaining", None)  # importing it would fail
    page = Page(render_report(ceramics.ledger, ceramics.name))
    (section,) = [text for a, text in page.of("section", id="why")]
    assert "planner 'random' tells of no models" in section
    assert not page.of("svg", aria_label="What matters to the predicted conductivity: shares of its variance")
    assert explaining.explain_campaign(ceramics.ledger, ceramics.name).models == ()
    assert report_data(ceramics.ledger, ceramics.name).why is None


def test_what_cannot_be_computed_leaves_the_rest_to_be_seen(told, monkeypatch):
    def broken(problem, history):
        raise RuntimeError("a <bad> matrix")

    monkeypatch.setattr("sdl.planners.bayes.explaining.models_told", broken)
    page = Page(render_report(told.ledger, "sintering"))
    (section,) = [text for a, text in page.of("section", id="why")]
    assert "could not be computed: RuntimeError: a <bad> matrix" in section
    assert "of <curiosity>" in section
    assert page.of("table", id="experiments-table")


def test_help_that_can_no_longer_be_read_leaves_the_rest_to_be_seen(told, monkeypatch):
    def broken(ledger, name, version):
        raise LedgerError("what it takes as <help> can no longer be read")

    for where in ("why", "reading"):
        monkeypatch.setattr(sys.modules[f"sdl.report.{where}"], "recorded_problem", broken)
    page = Page(render_report(told.ledger, "sintering"))
    (section,) = [text for a, text in page.of("section", id="why")]
    assert "what it takes as <help> can no longer be read" in section
    assert "Probability that more than" in " ".join(a["aria-label"] for a, _ in page.of("svg", class_="figure"))
    assert page.of("table", id="experiments-table")


def test_the_figures_as_files_need_nothing_else(told, tmp_path):
    data = report_data(told.ledger, "sintering", predict=True)
    drawn = plots_of(data.why, data.space)
    assert {
        "conductivity-shares.svg",
        "conductivity-effect-temperature.svg",
        "conductivity-influence.svg",
        "conductivity-intervals.svg",
        "still-to-be-gained.svg",
    } <= set(drawn)
    for text in drawn.values():
        assert ET.fromstring(text).tag == f"{SVG}svg"
        assert "var(" not in text
        assert "@media" not in text
        assert ".f-share, .f-cell { fill: #2a66a8" in text
    paths = write_plots(data.why, data.space, tmp_path / "new" / "folder")
    assert sorted(p.name for p in paths) == sorted(drawn)
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="choose another folder"):
        write_plots(data.why, data.space, tmp_path / "taken")


# --- figures ---------------------------------------------------------------------------------------------------------


def shapes(drawing, tag, class_):
    return [e for e in ET.fromstring(drawing).iter(f"{SVG}{tag}") if e.get("class") == class_]


def test_bars_are_as_long_as_the_shares_say():
    found = Sensitivity("the box", (Index("a", 0.5, 0.75), Index("b", 0.25, 0.25), Index("c", -0.01, 0.0)), (), ())
    drawing = shares_svg(found, "y", standalone=True)
    alone, whole = (
        [float(e.get("width")) for e in shapes(drawing, "rect", class_)][:3] for class_ in ("f-share", "f-total")
    )  # the legend comes last
    assert alone[0] == pytest.approx(2 * alone[1], abs=0.02)
    assert whole[0] == pytest.approx(1.5 * alone[0], abs=0.02)
    assert alone[2] < 1  # an estimate below 0 is 0


def test_an_effect_is_a_line_with_a_band_and_a_category_a_bar(told):
    space = report_data(told.ledger, "sintering").space
    line = Effect("hold", (0.5, 2.0, 16.0), (1.0, 2.0, 3.0), (0.5, 1.5, 2.5), (1.5, 2.5, 3.5))
    bars = Effect("atmosphere", ("air", "argon", "oxygen"), (1.0, 2.0, 3.0), (0.5, 1.5, 2.5), (1.5, 2.5, 3.5))
    values = effect_values([line, bars])
    assert (min(values), max(values)) == (0.5, 3.5)
    drawing = effect_svg(line, space, ("y", "h"), values, standalone=True)
    (band,) = shapes(drawing, "path", "f-area")
    assert band.get("d").count("L") == 5
    x = [float(c.get("cx")) for c in shapes(drawing, "circle", "f-point")]
    # along the logarithmic axis 0.5 → 2 is two fifths of the way 0.5 → 16
    assert (x[1] - x[0]) / (x[2] - x[0]) == pytest.approx(0.4, abs=0.01)
    assert len(shapes(effect_svg(bars, space, ("y", "h"), values, standalone=True), "rect", "f-area")) == 3


def test_a_map_fills_its_frame_and_says_where_nothing_lies(told):
    space = report_data(told.ledger, "sintering").space
    mean = ((1.0, 2.0), (None, 4.0), (2.5, 3.0))
    pair = PairEffect(("atmosphere", "temperature"), (("air", "argon", "oxygen"), (1050.0, 1200.0)), mean, 0.1)
    drawing = map_svg(pair, space, ("y", "h"), standalone=True)
    cells = [e for e in shapes(drawing, "rect", "f-cell") if e.find(f"{SVG}title") is not None]
    tones = {e.find(f"{SVG}title").text: float(e.get("fill-opacity")) for e in cells}
    assert len(cells) == 5
    assert len(shapes(drawing, "rect", "f-hole")) == 1
    assert max(tones, key=tones.get).startswith("atmosphere argon, temperature 1200")
    area = sum(float(e.get("width")) * float(e.get("height")) for e in cells)
    assert area == pytest.approx(5 / 6 * 190 * 1.25 * 190, rel=0.05)


def test_the_probability_falls_below_its_line():
    stated = [GainStated(n, 0.1, p, 0.01, None, {}) for n, p in ((5, None), (6, 0.8), (7, 0.04))]
    drawing = gain_svg(stated, StopGain("y", 0.1, "mS/cm", 0.05, 3), standalone=True)
    dots = [float(c.get("cy")) for c in shapes(drawing, "circle", "f-point")]
    (line,) = shapes(drawing, "line", "f-target")
    assert len(dots) == 2
    assert dots[0] < float(line.get("y1")) < dots[1]  # upwards on the page is towards 0


# --- what was known before ---------------------------------------------------------------------------------------------

KNOWN = b"""temperature,hold [min],atmosphere,firings,conductivity,relative_density,state
1100,120,air,1,0.35,0.93,done
1110,120,air,1,0.9,0.80,done
1120,240,oxygen,2,0,0,failed
"""


@pytest.fixture
def started(tell):
    story = tell()
    text = CERAMICS.format(name="sintering", description="Garnets.") + "start: {table: before.csv}\n"
    story.create(text, files={"before.csv": KNOWN})
    story.epoch(furnace="simulated", probe="simulated")
    story.propose([at(t) for t in (1010, 1080)], "initial")
    story.run(1, measured(0.1))
    story.run(2, measured(0.3))
    return story


def test_what_was_known_before_is_shown_as_such(started):
    data = report_data(started.ledger, "sintering")
    assert [(k.number, k.is_failed, k.is_feasible) for k in data.known] == [
        (0, False, True),
        (-1, False, False),
        (-2, True, False),
    ]
    assert data.best == 2  # not what was known
    assert data.best_known("conductivity") == 0.35  # the better one breaks a bound
    page = Page(render_report(started.ledger, "sintering"))
    (section,) = [text for _, text in page.of("section", id="experiments")]
    assert "Known before the campaign" in section
    assert "3 results from the table of 'start'" in section
    assert len([t for _, t in page.of("tr") if t.startswith(("0done", "-1done, not feasible", "-2failed"))]) == 3
    # in each of the four figures of an outcome two of them, one as a cross, and the failed one as a tick
    known = page.of("circle", class_="f-known")
    assert len([t for _, t in known if "known before the campaign (0)" in t]) == 8
    assert len(page.of("path", class_="f-known f-cross")) == 8
    root = ET.fromstring(convergence_svg(data))
    (line,) = [e for e in root.iter(f"{SVG}line") if "best known" in (e.findtext(f"{SVG}title") or "")]
    assert "0.35" in line.findtext(f"{SVG}title")
    assert convergence_png(data).startswith(b"\x89PNG")


def test_left_out_predictions_know_what_was_known(tell):
    pytest.importorskip("torch")
    story = tell()
    rows = "\n".join(f"{t},240,air,1,{0.1 + 0.002 * (t - 1000)},0.95,done" for t in np.linspace(1000, 1200, 6))
    header = KNOWN.decode().splitlines()[0]
    text = BAYES.format(name="sintering", description="Garnets.") + "start: {table: before.csv}\n"
    story.create(text, files={"before.csv": f"{header}\n{rows}\n".encode()})
    story.epoch(furnace="simulated", probe="simulated")
    story.propose([at(1090)], "initial")
    story.run(1, measured(0.28))
    data = report_data(story.ledger, "sintering", predict=True)
    points = {p.number: p for p in data.predictions.by_outcome["conductivity"]}
    assert set(points) == {1, 0, -1, -2, -3, -4, -5}
    assert points[1].predicted == pytest.approx(0.28, abs=0.03)
    assert {s.experiment for s in data.why.explained.models[0].influence.shares} == set(points)
