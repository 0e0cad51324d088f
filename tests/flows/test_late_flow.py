"""A late command in Prefect: an event, on which automations can act, and an artifact; under Prefect's own harness."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.slow,
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore"),
]

CAMPAIGN = """
name: slow-pump
space: {parameters: {x: {type: discrete, values: [0.1, 0.9], unit: mL}}}
objectives: {pushed: {goal: maximize, unit: mL}}
protocol: [{instrument: pump, action: push, with: {x: $x}, gives: {pushed: pushed}}]
lab:
  clock: {type: scaled, factor: 1000}
  instruments:
    pump:
      driver: python
      settings:
        target: Pump
        file: pump.py
        nature: simulated
        actions:
          push:
            effect: irreversible
            parameters: {x: {unit: mL, limits: [0, 1]}}
            results: {pushed: {unit: mL}}
            duration: 10 s
            late: 100 s
planner: {type: sobol}
stop: {experiments: 1}
"""

PUMP = """
import time

class Pump:
    def push(self, x):
        time.sleep(2)
        return x
"""


@pytest.fixture(scope="module")
def prefect_server(tmp_path_factory):
    """A server of Prefect's harness: a free port, a temporary database, gone afterwards."""
    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect"))
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    os.environ["DO_NOT_TRACK"] = "1"
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


def _until(condition, seconds=60.0):
    """Poll: Prefect's records come late."""
    limit = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < limit:
        time.sleep(0.2)
    return found


def _events() -> list[dict]:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        answer = client._client.post("/events/filter", json={"filter": {"event": {"name": ["sdl.command.late"]}}})
        return answer.json()["events"]


def test_an_event_and_an_artifact(prefect_server, write, tmp_path):
    from prefect.client.orchestration import get_client
    from sdl_flows.campaign import campaign

    write("pump.py", PUMP)
    file = write("pump.yaml", CAMPAIGN)
    state = asyncio.run(campaign(name="slow-pump", file=str(file), home=str(tmp_path / "home"), return_state=True))
    assert state.is_completed()
    (event,) = _until(_events)
    assert event["resource"]["prefect.resource.id"] == "sdl.campaign.slow-pump"
    assert event["payload"]["limit"] == {"value": 100.0, "unit": "s"}
    assert "pump.push" in event["payload"]["text"]
    with get_client(sync_client=True) as client:
        artifacts = [a for a in client.read_artifacts(limit=100) if a.key == "slow-pump-late"]
    assert len(artifacts) == 1
    assert "pump.push is late" in str(artifacts[0].data)
