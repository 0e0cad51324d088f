"""From raw data to observations: what an analysis finds goes into the ledger, and from there to status, export and report."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
from enginekit import Diary, run
from typer.testing import CliRunner

from sdl.analysis import AnalysisFigure, AnalysisResult, Interval, Series
from sdl.analysis import base as analyses
from sdl.analysis.figure_data import MOST_POINTS, figure_of
from sdl.cli.main import app
from sdl.driver import Context, FieldSpec, Instrument, Reconciled, Unit, action
from sdl.engine.worker import ProcessWorker, analyse
from sdl.errors import AnalysisError
from sdl.ledger import AnalysisRecorded, CommandSettled, Ledger, ObservationRecorded
from sdl.ledger.queries import table_of
from sdl.ledger.verify import verify
from sdl.objective import Estimate
from sdl.report import render_report

CAMPAIGN = """
name: films
space:
  parameters:
    force: {type: continuous, bounds: [10, 90], unit: kN}
objectives:
  length: {goal: minimize, unit: um}
outcome_constraints:
  share: {at_least: 0.0}
protocol:
  - {instrument: scanner, action: scan, with: {force: $force}, analysis: trace,
     gives: {length: long, share: share}}
lab:
  clock: {type: virtual}
  instruments:
    scanner: {driver: scanner}
planner: {type: sobol}
concurrency: 1
stop: {experiments: 4}
"""


class Scanner(Instrument):
    """Gives the force as raw data."""

    nature = "simulated"

    @action(effect="reads", duration="1 min")
    async def scan(self, ctx: Context, force: Annotated[float, Unit("N")]) -> None:
        """Scan."""
        await ctx.sleep(60)
        ctx.artefact(
            "trace.json", json.dumps({"force": force, "n": ctx.command.experiment}).encode(), "application/json"
        )

    async def reconcile(self, command):
        return Reconciled("not_started")


FIGURE = AnalysisFigure(
    "Trace", "time", "s", "height", "um", (Series("measured", (0.0, 1.0, 2.0), (1.0, 3.0, 2.0), "points"),)
)


@dataclass(frozen=True)
class Trace:
    """Reads the scanner's file; the second experiment is odd, the third cannot be read."""

    name: str = "trace"
    technique: str = "scanning"
    gives: tuple[FieldSpec, ...] = (FieldSpec("long", "number", "mm"), FieldSpec("share", "number"))
    figure: AnalysisFigure = FIGURE

    def analyse(self, artefacts):
        return self.examine(artefacts).estimates

    def examine(self, artefacts):
        [file] = artefacts
        read = json.loads(file.data)
        if read["n"] == 3:
            raise AnalysisError(f"{file.name} is cut off")
        long = read["force"] / 1000.0
        return AnalysisResult(
            estimates={"long": Estimate(long, 0.01), "share": Estimate(0.5), "unused": Estimate(math.nan)},
            intervals={
                "long": Interval(long - 0.03, long + 0.02),
                "share": Interval(0.5, 0.5),
                "unused": Interval(0, 1),
            },
            flags=("the pellet <b>moved</b>", "noisy") if read["n"] == 2 else (),
            figure=self.figure,
            diagnostics={"chi": 1.25, "nothing": math.nan},
        )


class Plain:
    """An analysis that tells its estimates and nothing else."""

    name = "trace"
    technique = "counting"
    gives = Trace.gives

    def analyse(self, artefacts):
        return {k: e for k, e in Trace().analyse(artefacts).items() if k != "unused"}


@pytest.fixture
def use(monkeypatch, drivers):
    """Return a function that makes an analysis the one called `trace`."""
    drivers(scanner=Scanner)

    def install(analysis) -> None:
        monkeypatch.setattr(analyses, "_table", lambda: {"trace": analysis})

    return install


@pytest.fixture
def film(use, write):
    use(Trace())
    return write("films.yaml", CAMPAIGN)


def of(rows, kind) -> list:
    return [r.event for r in rows if isinstance(r.event, kind)]


def told(rows) -> list[dict]:
    """The rows of analyses and observations but for the random ids of commands."""
    found = [
        {"at": r.at, **r.event.body()} for r in rows if isinstance(r.event, AnalysisRecorded | ObservationRecorded)
    ]
    return [{k: v for k, v in body.items() if k != "command"} for body in found]


def test_interval_and_flags_reach_the_ledger_in_the_declared_unit(film, tmp_path):
    diary = Diary()
    end, state, rows = run(film, tmp_path / "home", hooks=diary)
    assert end[0] == "done"
    assert [e.state for e in state.experiments.values()] == ["done", "done", "failed", "done"]
    first, second = (o for o in of(rows, ObservationRecorded) if o.outcome == "length" and o.experiment < 3)
    force = state.experiments[1].candidate["force"]
    assert first.value == pytest.approx(force * 1000)  # kN in N, mm in µm
    assert (first.lower, first.upper) == (pytest.approx(force * 1000 - 30), pytest.approx(force * 1000 + 20))
    assert (first.status, first.flags) == ("valid", [])
    assert (second.status, second.flags) == ("flagged", ["the pellet <b>moved</b>", "noisy"])
    # what is flagged counts: for the best, for the planner
    assert state.experiments[2].outcomes["length"].value == second.value
    assert [t.state for t in state.history().trials] == ["done", "done", "failed", "done"]
    assert any("experiment 2, trace: flagged: noisy" in line for line in diary.lines)


def test_the_chain_from_raw_data_to_observation_is_recorded(film, tmp_path):
    _, _, rows = run(film, tmp_path / "home")
    settled = {c.command: c for c in of(rows, CommandSettled)}
    found = of(rows, AnalysisRecorded)
    assert [a.status for a in found] == ["succeeded", "succeeded", "refused", "succeeded"]
    for a in found:
        assert [x["sha256"] for x in a.artefacts] == [x["sha256"] for x in settled[a.command].artefacts]
        assert {"python", "numpy", "sdl"} <= set(a.environment)
    assert found[2].error == "trace.json is cut off"
    assert found[2].figure is None
    assert found[0].diagnostics == {"chi": 1.25, "nothing": None}
    assert found[0].fields["unused"] == {"value": None, "uncertainty": None, "lower": 0.0, "upper": 1.0, "unit": None}
    assert found[0].fields["long"]["unit"] == "mm"
    ids = {a.analysis: a for a in found}
    for o in of(rows, ObservationRecorded):
        assert ids[o.analysis].command == o.command
        assert ids[o.analysis].experiment == o.experiment
    ledger = Ledger(tmp_path / "home")
    kept = figure_of(ledger.artefacts.get(found[0].figure["sha256"]))
    assert kept.figure == FIGURE
    assert verify(ledger, "films").ok
    assert len(table_of(ledger, "analyses", "films")) == 4
    path = Path(ledger.artefacts._path(found[0].figure["sha256"]))
    path.chmod(0o600)
    path.write_bytes(b"{}")
    assert [f.where for f in verify(ledger, "films").findings] == ["figure of analysis 1.0.1"]
    ledger.close()


def test_status_export_and_report_tell_of_it(film, tmp_path):
    home = tmp_path / "home"
    _, state, _ = run(film, home)
    said = CliRunner().invoke(app, ["status", "films", "--home", str(home)]).stdout
    best = state.experiments[min((1, 2, 4), key=lambda n: state.experiments[n].outcomes["length"].value)].number
    assert "  flagged: experiment 2, length, share: the pellet <b>moved</b>; noisy" in said
    assert ("(flagged)" in said) == (best == 2)
    data = json.loads(CliRunner().invoke(app, ["status", "films", "--home", str(home), "--json"]).stdout)
    assert [(f["experiment"], f["outcome"]) for f in data["flagged"]] == [(2, "length"), (2, "share")]
    assert data["best"]["outcomes"]["length"]["upper"] > data["best"]["outcomes"]["length"]["value"]
    target = tmp_path / "films.csv"
    assert CliRunner().invoke(app, ["export", "films", "--home", str(home), "-o", str(target)]).exit_code == 0
    table = list(csv.DictReader(io.StringIO(target.read_text())))
    assert table[1]["length flags"] == "the pellet <b>moved</b>; noisy"
    assert table[0]["length flags"] == table[2]["length 95 % lower [um]"] == ""
    force = float(table[0]["force [kN]"])
    assert float(table[0]["length 95 % lower [um]"]) == pytest.approx(force * 1000 - 30)
    assert float(table[0]["share 95 % upper"]) == 0.5
    ledger = Ledger(home)
    page = render_report(ledger, "films")
    ledger.close()
    assert page.count('class="f-dots') == 3  # the latest three, and among them the best and the flagged one
    assert "the pellet &lt;b&gt;moved&lt;/b&gt;" in page
    assert "95 % interval" in page


def test_an_analysis_that_gives_estimates_alone(use, write, tmp_path):
    use(Plain())
    _, _, rows = run(write("films.yaml", CAMPAIGN), tmp_path / "home")
    for o in of(rows, ObservationRecorded):
        assert (o.lower, o.upper, o.flags, o.status) == (None, None, [], "valid")
        assert o.analysis is not None
    first = of(rows, AnalysisRecorded)[0]
    assert (first.figure, first.diagnostics, first.error) == (None, {}, None)
    assert set(first.fields) == {"long", "share"}
    ledger = Ledger(tmp_path / "home")
    assert "trace" in render_report(ledger, "films")
    ledger.close()


def test_a_figure_that_cannot_be_kept_costs_no_value(use, write, tmp_path):
    use(Trace(figure=AnalysisFigure("odd", "x", "s", "y", "um", (Series("a", ("one",), (1.0,)),))))  # type: ignore[arg-type]
    _, _, rows = run(write("films.yaml", CAMPAIGN), tmp_path / "home")
    first = of(rows, AnalysisRecorded)[0]
    assert (first.status, first.figure) == ("succeeded", None)
    assert first.error.startswith("the figure cannot be kept: ValueError")
    assert len(of(rows, ObservationRecorded)) == 6
    ledger = Ledger(tmp_path / "home")
    assert "the figure cannot be kept: ValueError" in render_report(ledger, "films")
    ledger.close()


def test_a_long_figure_is_thinned_and_says_so(use, write, tmp_path):
    n = 20_000
    y = [0.0] * n
    y[12_345] = 7.5  # a peak of one point must not be lost
    many = Series("counts", tuple(float(i) for i in range(n)), tuple(y))
    use(Trace(figure=AnalysisFigure("long", "x", "s", "y", "um", (many,))))
    _, _, rows = run(write("films.yaml", CAMPAIGN), tmp_path / "home")
    first = of(rows, AnalysisRecorded)[0]
    ledger = Ledger(tmp_path / "home")
    kept = figure_of(ledger.artefacts.get(first.figure["sha256"]))
    assert (12_345.0, 7.5) in set(zip(kept.figure.series[0].x, kept.figure.series[0].y, strict=True))
    assert (kept.kept[0].points, len(kept.kept[0].series.x) <= MOST_POINTS) == (n, True)
    assert f"of {n} points of every series at most" in render_report(ledger, "films")
    ledger.close()


class Killed(BaseException):
    """Stands for SIGKILL."""


def test_killed_between_settled_and_observed_the_rows_are_the_same(film, tmp_path, monkeypatch):
    _, _, undisturbed = run(film, tmp_path / "a")
    append = Ledger.append

    for experiment, has_written in ((1, False), (2, False), (3, False), (2, True)):
        home = tmp_path / f"b{experiment}{has_written}"

        def dying(self, name, moment, events, experiment=experiment, has_written=has_written):
            mine = any(isinstance(e, AnalysisRecorded) and e.experiment == experiment for e in events)
            if mine and not has_written:
                raise Killed
            rows = append(self, name, moment, events)
            if mine:
                raise Killed
            return rows

        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "append", dying)
            with pytest.raises(Killed):
                run(film, home)
        end, _, rows = run(film, home)
        assert end[0] == "done"
        assert told(rows) == told(undisturbed)
        ledger = Ledger(home)
        assert verify(ledger, "films").ok
        ledger.close()


async def _in_a_process(name: str, inputs):
    worker = ProcessWorker()
    try:
        return await worker.call(analyse, name, inputs)
    finally:
        await worker.close()


def test_all_that_an_analysis_finds_comes_back_from_the_worker_process():
    from sdl_instruments.rawdata.micrograph import Microscope, Section, micrograph, micrograph_file

    device = Microscope(width=400, height=400)
    image = micrograph(Section(0.1, 2.0), np.random.default_rng(3), device)
    data = micrograph_file(image, device, sample="s", instrument="x")
    inputs = (analyses.AnalysisInput("section.tif", "image/tiff", data),)
    found = asyncio.run(_in_a_process("microstructure", inputs))
    assert found == analyse("microstructure", inputs)
    assert found.units == {"porosity": "dimensionless", "grain_size": "um"}
    assert found.intervals["porosity"].holds(found.estimates["porosity"].value)
    assert figure_of(found.figure).figure.x_label == "intercept length"
    assert "tifffile" in found.environment
