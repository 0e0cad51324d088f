"""Questions as forms in Prefect; Cancel and Pause there; what Prefect shows of a process that died."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time

import pytest
from enginekit import CAMPAIGN, Gauge, Press
from personkit import Person, SlowPress

from sdl.ledger import CampaignPaused, CampaignResumed, Ledger, QuestionAnswered, QuestionOpened

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.slow,
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def prefect_server(tmp_path_factory):
    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect"))
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    os.environ["DO_NOT_TRACK"] = "1"
    from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120), temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: False}):
        from sdl_flows import forms, watch

        forms._LOOK, watch.EVERY = 1, 0.3
        yield


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def lab(drivers):
    drivers(press=SlowPress, gauge=Gauge)
    Press.behaviour.__init__()
    return Press.behaviour


@pytest.fixture
def campaign(write, lab):
    return write("pellets.yaml", CAMPAIGN)


def _run(file, home, name):
    from sdl_flows.campaign import campaign as flow

    return asyncio.run(flow(name=name, file=str(file), home=str(home), return_state=True))


class InTheUi:
    """A person at Prefect's UI: a thread that does something once something is so there.

    Where they fail, the campaign is aborted: it would wait for them for ever, and the failure would never show.
    """

    def __init__(self, home, name, act):
        self._home, self._name = home, name
        self._act = act
        self.result = None
        self.error = None
        # Prefect's settings live in a context; a thread begins with an empty one.
        import contextvars

        context = contextvars.copy_context()
        self._thread = threading.Thread(target=lambda: context.run(self._go))

    def _go(self):
        from prefect.client.orchestration import get_client

        try:
            with get_client(sync_client=True) as client:
                self.result = self._act(client)
        except BaseException as error:
            self.error = error
            Person(self._home).ask(self._name, "abort", pid=os.getpid(), host=socket.gethostname())

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._thread.join(timeout=120)
        if self.error is not None:
            raise self.error


def _until(condition, seconds=90.0):
    limit = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.2)
    return found


def _named(client, part, state=None):
    """Return the last flow run whose name holds a part, or None."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
    from prefect.client.schemas.sorting import FlowRunSort

    wanted = FlowRunFilter(name=FlowRunFilterName(like_=part))
    found = client.read_flow_runs(flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=5)
    found = [f for f in found if state is None or (f.state and f.state.type.value == state)]
    return found[0] if found else None


def _form_of(client, run):
    """Return whether a paused run has its form."""
    keyset = client.read_flow_run(run).state.state_details.run_input_keyset or {}
    answer = client._client.post(
        f"/flow_runs/{run}/input/filter", json={"prefix": keyset.get("schema", "?"), "limit": 1}
    )
    return bool(answer.json())


def _resume(client, run, run_input=None):
    """Press Resume in Prefect."""
    said = client.resume_flow_run(run, run_input=run_input)
    assert said.status.value == "ACCEPT", said.details


def _rows(home, name, kind):
    ledger = Ledger(home)
    try:
        return [r.event for r in ledger.rows(name) if isinstance(r.event, kind)]
    finally:
        ledger.close()


def test_a_form_is_answered_in_prefect_after_a_wrong_try(prefect_server, campaign, home, lab):
    lab.unknown.add(2)

    def answer(client):
        run = _until(lambda: _named(client, "one · Q1", "PAUSED"))
        _until(lambda: _form_of(client, run.id))  # Prefect shows the pause a moment before the form is there
        assert run.name == "one · Q1 · experiment 2: command"
        refused = client.resume_flow_run(run.id, run_input={"answer": "perhaps", "by": "ann"})
        assert refused.status.value == "REJECT"
        _resume(client, run.id, {"answer": "done", "by": "ann", "reason": "seen"})
        return run.id

    with InTheUi(home, "one", answer) as person:
        state = _run(campaign, home, "one")
    assert state.is_completed(), state
    (said,) = _rows(home, "one", QuestionAnswered)
    assert (said.answer, said.by, said.reason) == ("done", "ann (Prefect)", "seen")
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        form = _until(lambda: (f := client.read_flow_run(person.result)).state.is_final() and f)
        assert (form.state.type.value, form.state.message) == ("COMPLETED", "Q1 answered: done")
        assert form.parent_task_run_id is None


def test_what_was_answered_at_a_terminal_shows_in_prefect(prefect_server, campaign, home, lab):
    lab.unknown.add(2)

    def wait_for_form(client):
        run = _until(lambda: _named(client, "two · Q1", "PAUSED"))
        Person(home).ask("two", "answer", question="Q1", answer="discard", reason="looked")
        return run.id

    with InTheUi(home, "two", wait_for_form) as person:
        state = _run(campaign, home, "two")
    assert state.is_completed(), state
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        form = _until(lambda: (f := client.read_flow_run(person.result)).state.is_final() and f)
    assert (form.state.name, form.state.message) == ("Answered", "discard, by ann (looked)")


def test_cancel_in_prefect_aborts_and_makes_safe(prefect_server, campaign, home, lab):
    from prefect.states import Cancelling

    lab.unknown.add(2)

    def cancel(client):
        _until(lambda: _named(client, "three · Q1", "PAUSED"))
        run = _until(lambda: _named(client, "three · ", "RUNNING"))
        client.set_flow_run_state(run.id, Cancelling())
        return run.id

    with InTheUi(home, "three", cancel) as person:
        state = _run(campaign, home, "three")
    assert (state.type.value, state.message) == ("CANCELLED", "aborted by Prefect: cancelled in Prefect")
    assert lab.made_safe == 1
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        assert client.read_flow_run(person.result).state.type.value == "CANCELLED"
        form = _until(lambda: _named(client, "three · Q1"))
        assert form.state.type.value == "CANCELLED"
    ledger = Ledger(home)
    assert ledger.campaign("three")["state"] == "stopped"
    ledger.close()


def test_pause_in_prefect_and_at_the_terminal(prefect_server, campaign, home, lab):
    from prefect.states import Paused

    lab.unknown.add(2)

    def pause(client):
        _until(lambda: _named(client, "four · Q1", "PAUSED"))
        run = _until(lambda: _named(client, "four · ", "RUNNING"))
        client.set_flow_run_state(run.id, Paused(timeout_seconds=3600))
        _until(lambda: len(_rows(home, "four", CampaignPaused)) == 1)
        _resume(client, run.id)
        _until(lambda: [r for r in _rows(home, "four", CampaignResumed) if "resumed in Prefect" in r.reason])
        Person(home).ask("four", "pause", pid=os.getpid(), host=socket.gethostname())
        _until(lambda: client.read_flow_run(run.id).state.type.value == "PAUSED")
        Person(home).ask("four", "resume", pid=os.getpid(), host=socket.gethostname())
        _until(lambda: client.read_flow_run(run.id).state.type.value == "RUNNING")
        Person(home).ask("four", "answer", question="Q1", answer="done")

    with InTheUi(home, "four", pause):
        state = _run(campaign, home, "four")
    assert state.is_completed(), state
    assert [p.by for p in _rows(home, "four", CampaignPaused)] == ["Prefect", "ann"]
    assert len(_rows(home, "four", QuestionOpened)) == 1


def test_a_pause_in_prefect_is_not_undone_before_the_campaign_has_taken_it(
    prefect_server, campaign, home, lab, monkeypatch
):
    from prefect.states import Paused
    from sdl_flows.watch import EVERY

    from sdl.engine.inbox import InboxWatch

    monkeypatch.setattr(InboxWatch.__init__, "__defaults__", (8 * EVERY,))  # a busy process takes requests late
    lab.unknown.add(2)

    def pause(client):
        _until(lambda: _named(client, "slow · Q1", "PAUSED"))
        run = _until(lambda: _named(client, "slow · ", "RUNNING"))
        client.set_flow_run_state(run.id, Paused(timeout_seconds=3600))
        _until(lambda: len(_rows(home, "slow", CampaignPaused)) == 1)
        _until(lambda: client.read_flow_run(run.id).state.state_details.pause_timeout.year > time.gmtime().tm_year + 1)
        _resume(client, run.id)
        _until(lambda: _rows(home, "slow", CampaignResumed))
        Person(home).ask("slow", "answer", question="Q1", answer="done")
        return run.id

    with InTheUi(home, "slow", pause) as person:
        assert _run(campaign, home, "slow").is_completed()
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        states = client._client.get("/flow_run_states/", params={"flow_run_id": str(person.result)}).json()
    shown = [s["type"] for s in sorted(states, key=lambda s: s["timestamp"])]
    # Paused twice: by the person, then without a limit, for theirs would have failed the run after an hour.
    assert shown == ["PENDING", "RUNNING", "PAUSED", "PAUSED", "RUNNING", "COMPLETED"]


def test_a_campaign_that_lives_is_not_shown_as_over(prefect_server, campaign, home, lab):
    from prefect.states import Crashed

    lab.unknown.add(2)

    def call_it_crashed(client):
        _until(lambda: _named(client, "alive · Q1", "PAUSED"))
        run = _until(lambda: _named(client, "alive · ", "RUNNING"))
        client.set_flow_run_state(run.id, Crashed(message="no heartbeat"), force=True)
        _until(lambda: client.read_flow_run(run.id).state.type.value == "RUNNING")
        Person(home).ask("alive", "answer", question="Q1", answer="done")

    with InTheUi(home, "alive", call_it_crashed):
        assert _run(campaign, home, "alive").is_completed()


def test_cancelled_outright_in_prefect_is_obeyed_too(prefect_server, campaign, home, lab):
    from prefect.states import Cancelled

    lab.unknown.add(2)

    def cancel(client):
        _until(lambda: _named(client, "outright · Q1", "PAUSED"))
        run = _until(lambda: _named(client, "outright · ", "RUNNING"))
        client.set_flow_run_state(run.id, Cancelled(), force=True)
        return run.id

    with InTheUi(home, "outright", cancel) as person:
        _run(campaign, home, "outright")
    assert lab.made_safe == 1
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        assert client.read_flow_run(person.result).state.type.value == "CANCELLED"
