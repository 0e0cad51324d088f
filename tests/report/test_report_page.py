"""The report against the ledger it is made from."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from reportkit import CERAMICS, Story, point

from sdl.errors import InputError, LedgerError
from sdl.ledger import Ledger
from sdl.ledger.queries import table_of
from sdl.report import ReportData, convergence_png, convergence_svg, render_report, report_data, write_report
from sdl.report.page import POLICY, page

VOID = {"br", "col", "hr", "input", "meta"}


class Page(HTMLParser):
    """Reads a page back: every element with its attributes, and the text within it; unbalanced tags are an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self._open: list[tuple[str, dict[str, str], list[str]]] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element: tuple[str, dict[str, str], list[str]] = (tag, {k: v or "" for k, v in attrs}, [])
        assert len(element[1]) == len(attrs), f"an attribute stands twice in {attrs}"
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element[2].append(data)

    def of(self, tag: str, **wanted: str) -> list[tuple[dict[str, str], str]]:
        keys = {k.rstrip("_").replace("_", "-"): v for k, v in wanted.items()}
        return [
            (attrs, "".join(text))
            for t, attrs, text in self.elements
            if t == tag and all(attrs.get(k) == v for k, v in keys.items())
        ]

    @property
    def text(self) -> str:
        return "".join("".join(text) for tag, _, text in self.elements if tag == "main")


def written(ledger: Ledger, name: str, tmp_path: Path) -> tuple[str, tuple[int, str]]:
    path = tmp_path / "report.html"
    head = write_report(ledger, name, path)
    return path.read_text("utf-8"), head


def test_numbers_in_the_table_are_those_of_the_journal(ledger: Ledger, ceramics: Story, tmp_path: Path) -> None:
    page = Page(written(ledger, ceramics.name, tmp_path)[0])
    shown = {
        (row, cell["data-outcome"]): (float(cell["data-value"]), cell.get("data-uncertainty"))
        for row in range(1, 9)
        for cell, _ in cells(page, row)
        if "data-outcome" in cell
    }
    recorded = {
        (o["experiment"], o["outcome"]): (o["value"], None if o["uncertainty"] is None else repr(o["uncertainty"]))
        for o in table_of(ledger, "observations", ceramics.name)
    }
    assert shown == recorded
    for e in table_of(ledger, "experiments", ceramics.name):
        row = cells(page, e["number"])
        assert row[0][0]["data-value"] == str(e["number"])
        assert row[1][0]["data-value"] == str(e["round"])
        assert row[2][1] == e["state"]
        values = [cell["data-value"] for cell, _ in row[4:8]]
        assert values == [v if isinstance(v, str) else repr(v) for v in e["candidate"].values()]
        assert [t["datetime"] for t, _ in times(page, e["number"])] == [e["started"], e["finished"]]
    assert cells(page, 8)[-1][1] == "probe.act: the door <b>jammed</b>"
    assert all(c["data-simulated"] == "true" for c, _ in page.of("td") if "data-simulated" in c)


def cells(page: Page, row: int) -> list[tuple[dict[str, str], str]]:
    return within(page, row, "td")


def times(page: Page, row: int) -> list[tuple[dict[str, str], str]]:
    return within(page, row, "time")


def within(page: Page, row: int, tag: str) -> list[tuple[dict[str, str], str]]:
    place = next(i for i, (t, a, _) in enumerate(page.elements) if t == "tr" and a.get("id") == f"e{row}")
    found = []
    for t, attrs, text in page.elements[place + 1 :]:
        if t in {"tr", "section"}:
            break
        if t == tag:
            found.append((attrs, "".join(text)))
    return found


def test_head_of_the_journal_stands_in_the_report(ledger: Ledger, ceramics: Story, tmp_path: Path) -> None:
    text, head = written(ledger, ceramics.name, tmp_path)
    assert head == ledger.head(ceramics.name)
    page = Page(text)
    embedded = json.loads(page.of("script", id="sdl-head")[0][1])
    assert embedded == {"campaign": ceramics.name, "seq": head[0], "hash": head[1]}
    assert page.of("b", id="head-seq")[0][1] == str(head[0])
    assert page.of("code", id="head-hash")[0][1] == head[1]
    assert ledger.home is not None
    noted = [json.loads(line) for line in (ledger.home / "heads" / "sintering.jsonl").read_text().splitlines()]
    assert [(n["seq"], n["hash"], n["where"]) for n in noted] == [(*head, "report report.html")]


def test_rows_that_come_in_meanwhile_are_not_claimed(
    ledger: Ledger, ceramics: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ledger.head(ceramics.name)

    def late(data: ReportData) -> str:
        ceramics.propose([point(9)])
        return page(data)

    monkeypatch.setattr("sdl.report.write.page", late)
    text, head = written(ledger, ceramics.name, tmp_path)
    assert head == before != ledger.head(ceramics.name)
    assert json.loads(Page(text).of("script", id="sdl-head")[0][1])["hash"] == head[1]
    assert ledger.home is not None
    assert head[1] in (ledger.home / "heads" / "sintering.jsonl").read_text()
    assert 'id="e9"' not in text


def test_opens_offline(ledger: Ledger, ceramics: Story, tmp_path: Path) -> None:
    text, _ = written(ledger, ceramics.name, tmp_path)
    page = Page(text)
    loading = {"src", "srcset", "href", "xlink:href", "action", "data", "poster", "background", "formaction"}
    assert not [(t, a) for t, attrs, _ in page.elements for a in attrs if a in loading]
    assert not {t for t, _, _ in page.elements} & {"link", "img", "iframe", "object", "embed", "base", "form"}
    assert not re.search(r"https?://|url\(|@import", text)
    assert page.of("meta", http_equiv="Content-Security-Policy")[0][0]["content"] == POLICY
    assert POLICY.startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:")


def test_nobody_elses_markup_gets_in(tell: Any, ledger: Ledger, tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>\\\"' onload=x <!-- & see http://example.org"
    story: Story = tell("evil")
    text = CERAMICS.format(name="evil", description=f'"{evil}"').replace("argon", "'<img src=x>'")
    story.create(text)
    story.epoch(furnace="simulated", probe="<i>odd</i>")
    story.propose([{**point(1), "atmosphere": "<img src=x>"}], "<b>origin</b>")
    story.run(1, {"conductivity": (0.5, None), "relative_density": (0.95, None)}, "failed")
    story.propose([{**point(2), "atmosphere": "<img src=x>"}])
    story.run(2, {"conductivity": (0.5, None), "relative_density": (0.95, None)})
    story.ask(1, "<script>alert(2)</script>")
    story.end("stopped", "<script>alert(3)</script>")
    html = render_report(ledger, "evil")
    page = Page(html)
    assert len(page.of("script")) == 2  # the head, and the page's own
    assert not page.of("img")
    assert not page.of("i")
    assert "alert(1)</script>" in page.text
    assert "<img src=x>" in page.text
    assert not [a for _, attrs, _ in page.elements for a in attrs if a.startswith("on")]


def test_goal_best_and_what_was_simulated(ledger: Ledger, ceramics: Story) -> None:
    data = report_data(ledger, ceramics.name, predict=True)
    assert [e.number for e in data.experiments if e.is_feasible] == [3, 4, 5, 6, 7]
    assert data.best == 5
    assert data.best_so_far[-1] == (8, pytest.approx(0.45))
    assert [e.is_initial for e in data.experiments] == [True] * 4 + [False] * 4
    assert data.random is None
    page = Page(render_report(ledger, ceramics.name))
    assert "Maximise conductivity (in mS/cm)." in page.text
    assert "relative_density ≥ 0.9 count as feasible" in page.text
    assert "conductivity is ≥ 0.8 mS/cm" in page.text
    assert [t for a, t in page.of("span") if "nature" in a.get("class", "")] == ["simulated", "virtual time"]
    assert "Experiment 5 of round 2" in page.text
    assert "numpy 2.0" in page.text
    assert "abacus" in page.text
    assert "driver_of_furnace" in page.text
    assert len(page.of("svg", class_="figure")) == 1 + 4 * 2 + len(data.predictions.by_outcome) + 1


def test_leave_one_out(ledger: Ledger, ceramics: Story) -> None:
    pytest.importorskip("botorch")
    found = report_data(ledger, ceramics.name, predict=True).predictions
    assert set(found.by_outcome) == {"conductivity", "relative_density"}
    assert [p.number for p in found.by_outcome["conductivity"]] == [1, 2, 3, 4, 5, 6, 7]
    assert found.by_outcome["conductivity"][0].measured == pytest.approx(0.1123456789)


def test_without_the_planners_library_the_report_says_so(
    ledger: Ledger, ceramics: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*args: object) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("sdl.planners.leave_one_out", missing)
    assert "pip install 'sdl[bayes]'" in Page(render_report(ledger, ceramics.name)).text


def test_nothing_has_happened_yet(tell: Any, ledger: Ledger, tmp_path: Path) -> None:
    story: Story = tell("new")
    story.create(CERAMICS.format(name="new", description=""))
    data = report_data(ledger, "new")
    assert (data.state, data.best, data.experiments) == ("created", None, ())
    page = Page(written(ledger, "new", tmp_path)[0])
    assert "not started" in page.text
    assert "No experiment has given a result yet." in page.text
    assert "needs at least 3 results, there are none" in page.text
    assert convergence_png(data).startswith(b"\x89PNG")


def test_only_failures(tell: Any, ledger: Ledger) -> None:
    story: Story = tell("unlucky")
    story.create(CERAMICS.format(name="unlucky", description="x"))
    story.epoch(furnace="simulated", probe="simulated")
    story.propose([point(n) for n in range(1, 4)])
    for n in range(1, 4):
        story.run(n, {}, "failed")
    story.end("failed", "every experiment failed")
    page = Page(render_report(ledger, "unlucky"))
    assert "failed — every experiment failed" in page.text
    assert "0 done, 3 failed" in page.text
    assert page.text.count("the door <b>jammed</b>") >= 3
    assert convergence_png(report_data(ledger, "unlucky")).startswith(b"\x89PNG")


def test_under_way_with_a_question(tell: Any, ledger: Ledger) -> None:
    story: Story = tell("live")
    story.create(CERAMICS.format(name="live", description="x"))
    story.epoch(furnace="real", probe="simulated")
    story.propose([point(1), point(2), point(3)])
    story.run(1, {"conductivity": (0.5, 0.1), "relative_density": (0.5, 0.1)})
    story.command(2, 0, "furnace", 60.0, "unknown")
    story.command(3, 0, "furnace", 60.0, "open")
    story.ask(2, "Did the furnace fire sample 2?")
    assert report_data(ledger, "live").state == "interrupted"
    lock = ledger.own("live")
    lock.take()
    try:
        page = Page(render_report(ledger, "live"))
    finally:
        lock.release()
    assert [t for a, t in page.of("span") if "state-running" in a.get("class", "")] == ["running"]
    assert "Did the furnace fire sample 2?" in page.text
    assert "No result keeps all outcome constraints." in page.text
    assert [t for a, t in page.of("span") if "nature" in a.get("class", "")] == ["simulated", "real", "virtual time"]


WORDS = """\
name: {name}
space:
  parameters:
    solvent: {{type: categorical, values: [{names}]}}
    {long}: {{type: discrete, values: [1, 2, 4, 8]}}
objectives:
  {outcome}: {{goal: match, value: 7, unit: degC}}
protocol:
  - {{instrument: bath, action: stir, with: {{solvent: $solvent, x: ${long}}}, gives: {{{outcome}: t}}}}
lab: {{instruments: {{bath: {{driver: gone}}}}}}
planner: {{type: random}}
stop: {{experiments: 5}}
"""


def test_words_long_names_and_a_number_to_match(tell: Any, ledger: Ledger) -> None:
    long, outcome = "p" * 90, "o" * 95
    name = "c" * 100
    names = [f"a solvent with a name of many words, number {i}" for i in range(30)]
    story: Story = tell(name)
    story.create(WORDS.format(name=name, names=", ".join(f"'{n}'" for n in names), long=long, outcome=outcome))
    story.epoch(bath="manual")
    story.propose([{"solvent": names[n], long: 2.0} for n in range(4)])
    for n in range(1, 5):
        story.run(n, {outcome: (5.0 + n, 0.1)}, instruments=["bath"], units={outcome: "degC"})
    data = report_data(ledger, name)
    assert data.best == 2
    assert data.best_so_far == ((1, 1.0), (2, 0.0), (3, 0.0), (4, 0.0))
    page = Page(render_report(ledger, name))
    assert "as close as possible to 7\N{NO-BREAK SPACE}°C" in page.text


POOL = """\
name: pool
space:
  parameters:
    t: {type: continuous, bounds: [0, 500], unit: degC}
    kind: {type: categorical, values: [a, b]}
  candidates: {table: data/pool.csv}
objectives: {y: {goal: minimize, unit: mV}}
protocol:
  - {instrument: archive, action: measure, with: {kelvin: $t, kind: $kind}, gives: {y: volts}}
lab:
  instruments:
    archive:
      driver: replay
      settings: {table: data/measured.csv, outcomes: [volts], units: {kelvin: K, volts: V}}
planner: {type: random}
stop: {experiments: 4}
"""
ROWS = "t,kind\n0,a\n100,a\n0,b\n"
MEASURED = "kelvin,kind,volts\n273.15,a,0.001\n373.15,a,0.002\n273.15,b,0.006\n273.15,a,0.003\n"


def pool(story: Story, text: str = POOL, measured: str = MEASURED) -> Story:
    story.create(text, {"data/pool.csv": ROWS.encode(), "data/measured.csv": measured.encode()}, clock="real")
    story.epoch(archive="replay")
    story.propose([{"t": 0.0, "kind": "b"}])
    story.run(1, {"y": (6.0, None)}, instruments=["archive"], units={"y": "mV"}, simulated=False)
    story.propose([{"t": 0.0, "kind": "a"}])
    story.run(2, {"y": (2.0, None)}, instruments=["archive"], units={"y": "mV"}, simulated=False)
    return story


def test_random_is_expected_from_the_replayed_table(tell: Any, ledger: Ledger) -> None:
    pool(tell("pool"))
    data = report_data(ledger, "pool")
    assert data.random is not None
    # Outcomes of the three rows, in mV, the point measured twice averaged: 2, 2, 6.
    assert data.random.expected == pytest.approx(((2 + 2 + 6) / 3, 2.0))
    assert (data.random.optimum, data.random.rows) == (pytest.approx(2.0), 3)
    page = Page(render_report(ledger, "pool"))
    assert [t for a, t in page.of("span") if "nature" in a.get("class", "")] == ["replayed"]
    assert "random, expected" in page.text


@pytest.mark.parametrize(
    ("text", "measured", "why"),
    [
        (POOL, "\n".join(MEASURED.split("\n")[:3]) + "\n", "1 of the pool's 3 rows were never measured"),
        (POOL.replace("units:", "replicates: draw, units:"), MEASURED, "replicates are drawn"),
        (POOL.replace("driver: replay", "driver: other"), MEASURED, "not on record"),
        (POOL.replace("measured.csv, out", "elsewhere.csv, out"), MEASURED, "not among the recorded files"),
        (POOL.replace("outcomes: [volts]", "outcomes: [current]"), MEASURED, "no measured column"),
    ],
)
def test_where_outcomes_are_not_all_known_no_curve_is_invented(
    tell: Any, ledger: Ledger, text: str, measured: str, why: str
) -> None:
    pool(tell("pool"), text, measured)
    data = report_data(ledger, "pool")
    assert data.random is None
    assert why in (data.random_missing or "")
    assert "Random search is not shown" in Page(render_report(ledger, "pool")).text
    assert "random, expected" not in convergence_svg(data)


def test_pictures_of_their_own(ledger: Ledger, ceramics: Story) -> None:
    data = report_data(ledger, ceramics.name)
    root = ET.fromstring(convergence_svg(data))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    png = convergence_png(data)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert png.endswith(b"IEND\xaeB`\x82")


def test_no_such_campaign_and_no_such_folder(ledger: Ledger, ceramics: Story, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="has no campaign 'nothing'; it has: sintering"):
        write_report(ledger, "nothing", tmp_path / "r.html")
    with pytest.raises(InputError, match="cannot be written"):
        write_report(ledger, ceramics.name, tmp_path / "no" / "r.html")
    assert ledger.home is not None
    assert not (ledger.home / "heads").exists()


def test_writing_leaves_nothing_else_behind(ledger: Ledger, ceramics: Story, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    write_report(ledger, ceramics.name, folder / "r.html")
    write_report(ledger, ceramics.name, folder / "r.html")
    assert [p.name for p in folder.iterdir()] == ["r.html"]
