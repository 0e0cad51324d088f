"""A campaign with two sources: a calculation that is cheap and wrong by a trend, and a measurement."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytest
from enginekit import Gauge, Press, run
from typer.testing import CliRunner

from sdl.audit import recompute
from sdl.cli.main import app
from sdl.driver import Context, Health, Instrument, Reconciled, SafeReport, Unit, action
from sdl.errors import FileProblems
from sdl.ledger import CommandIntended, ExperimentStarted, Ledger, RoundProposed
from sdl.loop import CampaignState
from sdl.planners import get_planner
from sdl.preflight import check
from sdl.report import report_data

pytest.importorskip("torch")

TWO = """
name: two
space:
  parameters:
    force: {type: continuous, bounds: [10, 90], unit: kN}
objectives:
  size: {goal: minimize, unit: mm}
sources:
  model:
    protocol: [{instrument: model, action: calculate, with: {force: $force}, gives: {size: size}}]
    cost: 6 min
  full:
    target: true
    protocol:
      - {instrument: press, action: press, with: {force: $force}}
      - {instrument: gauge, action: measure, with: {force: $force}, gives: {size: size}}
    cost: {expression: 1 + force / 1000, unit: h}
lab:
  clock: {type: virtual}
  instruments:
    press: {driver: press}
    gauge: {driver: gauge}
    model: {driver: model}
concurrency: 2
planner: {type: bayes, initial: {count: 3}}
stop: {experiments: 40, cost: 4.7 h}
"""


@dataclass(frozen=True)
class Calculated:
    """What the model says."""

    size: Annotated[float, Unit("mm")]


class Model(Instrument):
    """It is right but for a trend, by which its best is far below every measurement."""

    nature = "simulated"
    asked: ClassVar[list[float]] = []

    @action(effect="reads", duration="1 min")
    async def calculate(self, ctx: Context, force: Annotated[float, Unit("kN")]) -> Calculated:
        """Calculate."""
        await ctx.sleep(60)
        return Calculated((force - 40.0) ** 2 + 2.0 * force - 500.0)

    async def reconcile(self, command):
        return Reconciled("not_started")

    async def health(self) -> Health:
        return Health("ok")

    async def safe_state(self) -> SafeReport:
        return SafeReport(True, "nothing to do")


@pytest.fixture
def campaign(write, drivers):
    drivers(press=Press, gauge=Gauge, model=Model)
    Press.behaviour.__init__()
    return write("two.yaml", TWO)


def invoke(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.slow
def test_from_the_file_to_what_a_user_sees(campaign, tmp_path):
    home = tmp_path / "home"
    (end, reason), state, rows = run(campaign, home)
    assert end == "done" and "of 4.7 h" in reason
    started = {r.event.experiment: r.event for r in rows if isinstance(r.event, ExperimentStarted)}
    sources = {n: e.source for n, e in started.items()}
    assert set(sources.values()) == {"model", "full"}
    assert list(sources.values()).count("full") >= 3
    for r in rows:
        if isinstance(r.event, RoundProposed):
            assert len(r.event.sources) == len(r.event.candidates)
            for i, source in enumerate(r.event.sources):
                if r.event.first + i in sources:
                    assert sources[r.event.first + i] == source
        if isinstance(r.event, CommandIntended):
            assert (r.event.instrument == "model") == (sources[r.event.experiment] == "model")
    # every design point was asked of both sources
    first = [e.candidate for e in state.experiments.values()][:6]
    assert len(set(first)) == 3
    for e in state.experiments.values():
        if e.cost is not None:
            assert e.cost == pytest.approx(0.1 if e.source == "model" else 1 + e.candidate["force"] / 1000)
    assert 3.0 < state.spent("h") <= 4.7

    full = [e for e in state.experiments.values() if e.state == "done" and e.source == "full"]
    lowest = min(full, key=lambda e: e.outcomes["size"].value)
    told = json.loads(invoke("status", "two", "--home", home, "--json"))
    assert told["best"]["experiment"] == lowest.number
    assert told["cost"]["spent"] == pytest.approx(state.spent("h"))
    assert set(told["cost"]["by_source"]) == {"model", "full"}
    invoke("export", "two", "--home", home, "-o", tmp_path / "x.csv")
    with (tmp_path / "x.csv").open() as file:
        exported = {int(row["number"]): row["source"] for row in csv.DictReader(file) if row["source"]}
    assert exported == sources
    ledger = Ledger(home)
    try:
        data = report_data(ledger, "two", predict=True)
        again = CampaignState(ledger.rows("two"))
        checked = recompute(ledger, "two", lambda name, *asked: get_planner(name).propose(*asked))
    finally:
        ledger.close()
    assert data.best == lowest.number and data.target == "full"
    assert {e.number for e in data.experiments if e.counts and e.state == "done"} == {e.number for e in full}
    assert again.history() == state.history()
    assert checked.ok and checked.rounds


def test_only_the_target_ends_the_campaign(campaign, tmp_path):
    reached = run(campaign, None, "stop.target={size: {at_most: 0.5 mm}}", "stop.experiments=8")
    (_, reason), state, _ = reached
    below = [e for e in state.experiments.values() if e.source == "model" and e.outcomes["size"].value < 0.4]
    assert below  # the model says so at once, and is not believed
    if "reached" in reason:
        number = int(reason.split()[1])
        assert state.experiments[number].source == "full"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ("planner={type: sobol}",),
            "planner 'sobol' cannot choose between sources, the campaign has 2: 'model', 'full'",
        ),
        (("sources.model.protocol[0].gives={}",), "gives no objective ('size'), so nothing is learned from it"),
        (("sources.full.protocol[1].gives={}",), "no step of 'full', the target, gives 'size'"),
        (
            ("sources.full.protocol[0].with={force: 3 kN}", "sources.full.protocol[1].with={force: 3 kN}"),
            "no step of 'full'",
        ),
        (("stop.gain={more_than: 1}",), "is not computed with several sources"),
    ],
)
def test_what_does_not_go_together_is_refused(campaign, overrides, said):
    with pytest.raises(FileProblems) as refused:
        check(campaign, overrides=overrides)
    assert any(said in str(p) for p in refused.value.problems), [str(p) for p in refused.value.problems]


@pytest.mark.parametrize(
    "override",
    [
        "group={shared: [force], capacity: 2}",
        "tolerance={force: 1 kN}",
        "physics={expression: force * 2, unit: mm}",
        "transfer=[{table: old.csv}]",
    ],
)
def test_what_goes_with_one_source_only_is_refused_once(campaign, override):
    (campaign.parent / "old.csv").write_text("force,size\n10,1\n20,2\n30,3\n")
    key = override.partition("=")[0]
    with pytest.raises(FileProblems) as refused:
        check(campaign, overrides=(override, "space.parameters.more={type: continuous, bounds: [0, 1]}"))
    said = [str(p) for p in refused.value.problems if "source" in p.message]
    assert len(said) == 1, [str(p) for p in refused.value.problems]
    assert key in said[0]


def test_the_plan_tells_of_each_source(campaign):
    said = invoke("plan", campaign)
    assert "cost of an experiment on 'full' (the target, whose results count): 1 + force / 1000 [h]" in said
    assert "an experiment on 'model', which takes about 60 s, costs 0.1 h" in said
    assert "model.calculate" in said
