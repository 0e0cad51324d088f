"""The flow under Prefect's own harness, and the command with a server of its own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.slow,
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def prefect_server(tmp_path_factory):
    """A server of Prefect's harness: a free port, a temporary database, gone afterwards."""
    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect"))
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    os.environ["DO_NOT_TRACK"] = "1"
    from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120), temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: True}):
        yield


def _until(condition, seconds=60.0):
    """Poll: Prefect's records come late."""
    limit = time.monotonic() + seconds
    while True:
        found = condition()
        if found or time.monotonic() > limit:
            return found
        time.sleep(0.2)


def _runs(flow_run_id):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    with get_client(sync_client=True) as client:
        return client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])), limit=100)


def _last_flow_run():
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        return client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)[0]


def test_one_flow_a_campaign_one_task_an_experiment(prefect_server, campaigns, tmp_path):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
    from sdl_flows.campaign import campaign

    state = asyncio.run(
        campaign(
            name="flow-test",
            planner="random",
            file=str(campaigns / "opv_photostability.yaml"),
            home=str(tmp_path),
            overrides=("planner={type: random}", "stop.experiments=4"),
            return_state=True,
        )
    )
    assert state.is_completed()
    run = _last_flow_run()
    assert run.name == "flow-test · random"
    tasks = _until(lambda: [t for t in _runs(run.id) if t.state_name == "Completed"][3:] and _runs(run.id))
    assert sorted(t.name.split(" · ")[0] for t in tasks) == ["001", "002", "003", "004"]
    assert all("wf3" in t.name for t in tasks)
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id])), limit=100
        )
    by_type = {a.type: a for a in found}
    assert {"progress", "table", "markdown"} <= set(by_type)
    assert by_type["progress"].data == 100.0
    tables = [json.loads(a.data) for a in sorted(found, key=lambda a: a.created) if a.type == "table"]
    assert [len(tables[-1]), {row["state"] for row in tables[-1]}] == [4, {"done"}]
    markdown = next(a for a in found if a.type == "markdown" and "Best so far" in str(a.data))
    assert "data:image/png;base64," in markdown.data
    assert "Report:" in markdown.data


def test_a_failed_experiment_fails_its_task_and_not_the_flow(prefect_server, write, tmp_path):
    from sdl_flows.campaign import campaign

    write("points.csv", "a,y\n0,1\n1,2\n")
    file = write(
        "misses.yaml",
        """
        name: misses
        space: {parameters: {a: {type: discrete, values: [0, 0.5, 1]}}}
        objectives: {y: {goal: minimize}}
        protocol: [{instrument: table, action: measure, with: {a: $a}, gives: {y: y}}]
        lab:
          instruments:
            table: {driver: replay, settings: {table: points.csv, outcomes: [y]}}
        planner: {type: sobol}
        stop: {experiments: 3}
        """,
    )
    state = asyncio.run(campaign(name="misses", file=str(file), home=str(tmp_path / "home"), return_state=True))
    assert state.is_completed()
    run = _last_flow_run()
    states = _until(lambda: len(s := sorted(t.state_name for t in _runs(run.id))) == 3 and "Running" not in s and s)
    assert states == ["Completed", "Completed", "Failed"]


def test_a_flow_without_a_file_is_refused(prefect_server):
    from sdl_flows.campaign import campaign

    from sdl.errors import InputError

    with pytest.raises(InputError, match="needs 'file'"):
        asyncio.run(campaign(name="nothing"))


def _sdl(*arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    return subprocess.run(
        [sys.executable, "-m", "sdl.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**environment, "HOME": str(Path(str(arguments[-1])).parent)},
    )


def test_run_starts_a_server_of_its_own_and_leaves_it_running(campaigns, tmp_path):
    home = tmp_path / "home"
    try:
        options = ["--set", "planner={type: random}", "--set", "stop.experiments=3"]
        first = _sdl("run", campaigns / "opv_photostability.yaml", *options, "--json", "--home", home)
        assert first.returncode == 0, first.stderr
        assert json.loads(first.stdout.strip().splitlines()[-1])["experiments"]["done"] == 3
        assert "Prefect server started: http://127.0.0.1:" in first.stderr
        status = json.loads(_sdl("server", "status", "--json", "--home", home).stdout.strip().splitlines()[-1])
        assert status["running"]
        second = _sdl("run", campaigns / "opv_photostability.yaml", *options, "--name", "again", "--home", home)
        assert second.returncode == 0, second.stderr
        assert f"Prefect server runs: {status['url']}" in second.stdout
    finally:
        stopped = _sdl("server", "stop", "--home", home)
    assert "stopped" in stopped.stdout
    gone = json.loads(_sdl("server", "status", "--json", "--home", home).stdout.strip().splitlines()[-1])
    assert not gone["running"]
    stat = Path(f"/proc/{status['pid']}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"
