"""`transfer:` from tables and ledgers: units, overlap, what is refused, and that its data belong to the version."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sdl.audit import recompute
from sdl.engine import InlineWorker, open_session
from sdl.engine.worker import propose
from sdl.errors import FileProblems
from sdl.ledger import Ledger, ObservationRecorded
from sdl.ledger.export import export
from sdl.preflight import check
from sdl.preflight.recorded import recorded_problem

CAMPAIGNS = Path(__file__).parents[2] / "campaigns"
CAMPAIGN = """\
name: second
space:
  parameters:
    temperature: {type: continuous, bounds: [1000, 1250], unit: degC}
    hold:        {type: continuous, bounds: [0.5, 16], unit: h, scale: log}
    li_excess:   {type: continuous, bounds: [0, 0.3]}
    atmosphere:  {type: categorical, values: [air, argon]}
transfer: TRANSFER
objectives:
  conductivity: {goal: maximize, unit: mS/cm}
outcome_constraints:
  relative_density: {at_least: 0.90}
protocol:
  - {instrument: dispenser,  action: weigh,   with: {li_excess: $li_excess, mass: 2 g}}
  - {instrument: furnace,    action: sinter,  with: {temperature: $temperature, hold: $hold, atmosphere: $atmosphere, firings: 1}}
  - {instrument: impedance,  action: measure, analysis: bulk_conductivity, gives: {conductivity: bulk_conductivity}}
  - {instrument: pycnometer, action: measure, gives: {relative_density: relative_density}}
lab:
  clock: {type: virtual}
  world: {seed: 1}
  instruments:
    dispenser:  {driver: simulated_dispenser}
    furnace:    {driver: simulated_box_furnace}
    impedance:  {driver: simulated_impedance_analyser}
    pycnometer: {driver: simulated_pycnometer}
planner: {type: bayes}
stop: {experiments: 5}
"""
TABLE = """\
number,state,T [K],hold [min],li_excess,atmosphere,sigma [S/m],sigma standard uncertainty [S/m],reason
1,done,1373.15,60,0.1,air,0.01,0.001,
2,done,1423.15,120,0.2,argon,0.02,,
3,failed,1423.15,120,0.2,argon,,,cracked
4,done,1423.15,120,0.2,oxygen,0.03,,
5,done,1573.15,120,0.2,argon,0.04,,
6,done,1473.15,,0.2,argon,0.05,,
"""
COLUMNS = "columns: {temperature: T, conductivity: sigma}"


@pytest.fixture
def write(tmp_path):
    def made(transfer: str, table: str = TABLE) -> Path:
        (tmp_path / "old.csv").write_text(table)
        (tmp_path / "c.yaml").write_text(CAMPAIGN.replace("TRANSFER", transfer))
        return tmp_path / "c.yaml"

    return made


def problems(path: Path) -> str:
    with pytest.raises(FileProblems) as caught:
        check(path)
    return "\n".join(f"{p.where}: {p.message}" for p in caught.value.problems)


def test_rows_arrive_in_the_units_of_the_campaign_and_the_overlap_is_told(write):
    checked = check(write(f"[{{table: old.csv, {COLUMNS}}}]"))
    (task,) = checked.problem.transfer
    assert task.name == "old"
    assert dict(task.trials[0].candidate) == pytest.approx(
        {"temperature": 1100.0, "hold": 1.0, "li_excess": 0.1, "atmosphere": "air"}
    )
    first = task.trials[0].outcomes["conductivity"]
    assert (first.value, first.uncertainty) == (pytest.approx(0.1), pytest.approx(0.01))
    assert task.trials[1].outcomes["conductivity"].uncertainty is None
    assert [dict(t.candidate)["temperature"] for t in task.trials] == pytest.approx([1100.0, 1150.0, 1300.0])
    assert task.overlap == (
        "3 of 6 rows (1 failed, 1 whose 'atmosphere' is none of this campaign's, 1 without a usable 'hold' left aside), 2 of "
        "them within the bounds; gives 'conductivity'"
    )
    assert "old.csv" in checked.campaign.files.used, "its hash is part of the campaign's version"
    assert checked.problem.known == (), "they are no experiments of this campaign"


def test_a_source_that_only_helped_is_left_out_and_simulators_are_named(write):
    header, *rows = TABLE.splitlines()
    told = {"1": "true,false", "2": "false,true", "5": "true,true", "6": "true,true"}
    rows = [
        f"{row},{told.get(row[0], ',')}"
        for row in [*rows, "7,done,1373.15,90,0.1,air,0.02,,", "8,done,1373.15,80,0.1,air,0.02,,"]
    ]
    table = "\n".join([f"{header},of the target,simulated", *rows]) + "\n"
    (task,) = check(write(f"[{{table: old.csv, {COLUMNS}}}]", table)).problem.transfer
    assert [t.outcomes["conductivity"].value for t in task.trials] == pytest.approx([0.1, 0.4, 0.2, 0.2])
    assert "1 of a source whose results only help, such as a simulation," in task.overlap
    assert ", 3 of them within the bounds, 1 by simulators; gives 'conductivity'" in task.overlap


def test_a_parameter_that_was_constant_there_is_stated(write):
    table = "temperature,hold,li_excess,conductivity\n1100,1,0.1,0.2\n1150,2,0.2,0.3\n1200,3,0.1,0.4\n"
    (task,) = check(write("[{table: old.csv, name: before, with: {atmosphere: argon}}]", table)).problem.transfer
    assert task.name == "before"
    assert {t.candidate["atmosphere"] for t in task.trials} == {"argon"}
    assert task.overlap.endswith("; stated: atmosphere argon")


def test_other_data_are_another_version(write):
    one = check(write(f"[{{table: old.csv, {COLUMNS}}}]"))
    two = check(write(f"[{{table: old.csv, {COLUMNS}}}]", TABLE.replace("0.01,0.001", "0.015,0.001")))
    assert one.campaign.digest != two.campaign.digest
    assert one.problem.transfer[0].digest != two.problem.transfer[0].digest


GOOD = "temperature,hold,li_excess,atmosphere,conductivity\n" + "1100,1,0.1,air,0.2\n" * 3


@pytest.mark.parametrize(
    ("transfer", "table", "said"),
    [
        ("{table: old.csv}", GOOD, "transfer: must be a list of {campaign: NAME} or {table: FILE}"),
        ("[{name: x}]", GOOD, "give either 'campaign' (its name in a ledger) or 'table'"),
        ("[{table: old.csv, home: x}]", GOOD, "'home' goes with 'campaign'"),
        ("[{table: old.csv}, {table: old.csv}]", GOOD, "two earlier campaigns are called 'old'"),
        ("[{table: older.csv}]", GOOD, "older.csv cannot be read"),
        ("[{table: c.yaml, name: x}]", GOOD, "a table of an earlier campaign is a .csv file"),
        ("[{table: old.csv, columns: {temp: T}}]", GOOD, "columns: 'temp' is neither a parameter nor an outcome"),
        ("[{table: old.csv, columns: {hold: time}}]", GOOD, "old.csv has no column 'time'"),
        ("[{table: old.csv, units: {T: K}}]", GOOD, "units: old.csv has no column 'T'"),
        ("[{table: old.csv, with: {pressure: 3}}]", GOOD, "with: 'pressure' is no parameter"),
        ("[{table: old.csv, with: {hold: 3 h}}]", GOOD, "with: 'hold' has a column in old.csv"),
        (
            "[{table: old.csv}]",
            GOOD.replace("li_excess", "Li"),
            "old.csv has no column 'li_excess'; say what it was there",
        ),
        ("[{table: old.csv, with: {li_excess: 3 K}}]", GOOD.replace("li_excess", "Li"), "with: li_excess: "),
        ("[{table: old.csv, units: {hold: K}}]", GOOD, "old.csv, column 'hold': "),
        (
            "[{table: old.csv}]",
            GOOD.replace("0.2\n", "high\n", 1),
            "old.csv, row 2, column 'conductivity': 'high' is not a number",
        ),
        ("[{table: old.csv}]", GOOD.replace("conductivity", "grain"), "old.csv has no outcome; one of 'conductivity'"),
        (
            "[{table: old.csv}]",
            GOOD.replace("air", "neon"),
            "0 rows that can be used, at least 3 are needed: 3 whose 'atmosphere'",
        ),
        ("[{campaign: gone, home: nowhere}]", GOOD, "there is no ledger in "),
    ],
)
def test_what_is_wrong_is_named(write, transfer, table, said):
    assert said in problems(write(transfer, table))


def test_a_planner_that_takes_no_earlier_campaigns_refuses_them(write):
    path = write(f"[{{table: old.csv, {COLUMNS}}}]")
    path.write_text(path.read_text().replace("{type: bayes}", "{type: random}"))
    assert "planner 'random' takes no earlier campaigns as help" in problems(path)


def run(checked, home):
    async def main():
        session = open_session(checked, home)
        try:
            return await (await session.engine(InlineWorker(), None)).run()
        finally:
            await session.close()

    return asyncio.run(main())


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """The home of an earlier campaign over a larger space."""
    home = tmp_path_factory.mktemp("earlier")
    overrides = ("stop.experiments=14", "planner={type: random}")
    assert run(check(CAMPAIGNS / "electrolyte_sintering.yaml", overrides=overrides), home)[0] == "done"
    return home


def test_a_campaign_of_a_ledger_is_what_its_export_is(earlier, write, tmp_path):
    (from_ledger,) = check(write(f"[{{campaign: electrolyte-sintering, home: '{earlier}'}}]")).problem.transfer
    ledger = Ledger(earlier)
    export(ledger, "electrolyte-sintering", "csv", tmp_path / "exported.csv")
    ledger.close()
    (from_table,) = check(write("[{table: exported.csv}]")).problem.transfer
    assert from_ledger.trials == from_table.trials
    assert from_ledger.overlap == from_table.overlap
    assert {t.candidate["atmosphere"] for t in from_ledger.trials} <= {"air", "argon"}
    assert "gives 'conductivity', 'relative_density'" in from_ledger.overlap


def test_where_the_earlier_campaign_goes_on_this_one_keeps_what_it_began_with(earlier, write, tmp_path):
    own = tmp_path / "earlier"
    shutil.copytree(earlier, own)
    path = write(f"[{{campaign: electrolyte-sintering, home: '{own}', name: old}}]")
    home = tmp_path / "home"
    begun = check(path, home=home)
    asyncio.run(open_session(begun, home).close())
    ledger = Ledger(own)
    for row in ledger.rows("electrolyte-sintering"):
        if isinstance(row.event, ObservationRecorded):
            of = row.event
            newer = replace(of, observation=f"{of.observation}.b", supersedes=of.observation, value=2 * of.value)
            ledger.append("electrolyte-sintering", 9e9, [newer])
    ledger.close()
    again = check(path, home=home)
    assert again.problem.transfer == begun.problem.transfer
    asyncio.run(open_session(again, home).close())  # the same campaign, so it goes on
    anew = check(path).problem.transfer  # as an amendment fetches it
    assert anew[0].trials != begun.problem.transfer[0].trials
    path.write_text(path.read_text().replace("name: old", "name: older"))
    assert check(path, home=home).problem.transfer[0].trials == anew[0].trials


@pytest.mark.slow
def test_what_was_copied_is_enough_to_recompute(earlier, write, tmp_path):
    pytest.importorskip("botorch")
    path = write(f"[{{campaign: electrolyte-sintering, home: '{earlier}'}}]")
    checked = check(path, overrides=("planner={type: bayes, initial: {count: 4}}",))
    key = "transfer/electrolyte-sintering.csv"
    assert key in checked.campaign.files.used
    home = tmp_path / "home"
    assert run(checked, home)[0] == "done"
    path.write_text(path.read_text().replace(str(earlier), str(tmp_path / "gone")))
    ledger = Ledger(home)
    _, problem = recorded_problem(ledger, "second")
    assert [t.trials for t in problem.transfer] == [t.trials for t in checked.problem.transfer]
    found = recompute(ledger, "second", lambda *asked: propose(*asked).proposal)
    assert [r.verdict for r in found.rounds] == ["equal"] * 5, found.text()
    last = [r.event for r in ledger.rows("second") if r.event.kind == "round.proposed"][-1].diagnostics
    told = last["models"]["conductivity"]["choice"]["hints"]["electrolyte-sintering"]
    assert told["kind"] == "transfer"
    assert isinstance(told["evidence"], float)
    ledger.close()
