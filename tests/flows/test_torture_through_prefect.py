"""Torture through Prefect: campaign and Prefect server are killed; then what Prefect shows of a campaign that has ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdl.cli.main import app
from sdl.cli.torture import runner
from sdl.preflight import check
from sdl.testing.torture import Fault, Subject

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.slow,
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore"),
]

CAMPAIGN = Path(__file__).parents[2] / "campaigns" / "electrolyte_sintering.yaml"
OPTIONS = ("stop={experiments: 2}", "planner={type: sobol}")


def subject(sabotage=None) -> Subject:
    return Subject.of(
        check(CAMPAIGN, overrides=OPTIONS), runner(CAMPAIGN, OPTIONS, simulate=False, engine="prefect"), sabotage
    )


@pytest.fixture(scope="module")
def prefect(tmp_path_factory) -> Iterator:
    from sdl_flows.torture import TorturedServer

    server = TorturedServer(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


FAULTS = (
    Fault("kill", "after commit of epoch.raised"),  # before there is a flow run
    Fault("kill", "after effect"),
    Fault("freeze", "before commit of command.settled"),
    Fault("kill", "after commit of campaign.ended"),  # before Prefect knows of the end
)
AWAY = Fault(
    "kill", "before commit of campaign.ended", process="prefect"
)  # it is away when the flow run's end is to be said


def test_whatever_dies_the_ledger_is_whole_and_nothing_is_shown_that_still_runs(prefect, tmp_path):
    from sdl_flows.torture import PrefectLane

    lane = PrefectLane(prefect, subject(), tmp_path)
    undisturbed, met = lane.undisturbed()
    assert AWAY.boundary in met["prefect"]
    for number, faults in enumerate((FAULTS, (AWAY,))):
        trial = lane.trial(number, iter(faults), undisturbed)
        assert trial.problems == ()
        assert [a.fault for a in trial.attempts if a.struck] == list(faults)
        assert trial.verdict.difference is None


def nothing_is_put_right() -> None:
    from sdl_flows import runs, watch

    async def nothing(session, own):
        return []

    runs.put_right = watch.put_right = nothing


def test_a_flow_run_that_is_left_as_running_is_caught(prefect, tmp_path):
    from sdl_flows.torture import PrefectLane

    lane = PrefectLane(prefect, subject(nothing_is_put_right), tmp_path)
    trial = lane.trial(0, iter([Fault("kill", "after effect")]), None)
    (problem,) = trial.problems
    assert "of a campaign that has ended as Running" in problem


def test_the_command_and_that_a_served_lab_is_refused(tmp_path):
    from typer.testing import CliRunner

    asked = ["torture", str(CAMPAIGN), "--engine", "prefect", "--json"]
    refused = CliRunner().invoke(app, [*asked, "--served"])
    assert refused.exit_code == 2
    said = CliRunner().invoke(
        app, [*asked, *(a for o in OPTIONS for a in ("--set", o)), "--faults", "1", "--keep", str(tmp_path / "kept")]
    )
    assert said.exit_code == 0, said.output
    found = json.loads(said.stdout.strip().splitlines()[-1])
    assert found["faults"] >= 1
    assert found["problems"] == []
    from sdl_flows import server

    assert server.found(tmp_path / "kept" / "prefect-server") is None  # it ended with the torture
