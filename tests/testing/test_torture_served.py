"""Torture with a lab server in a process of its own: it finds nothing wrong, and finds what is broken on purpose."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sdl.cli.outcome import Output
from sdl.cli.torture import served_subject, torture
from sdl.driver import Reconciled, Reply
from sdl.errors import InputError
from sdl.lab.client import RemoteLab
from sdl.lab.sql_log import SqlLog, commands
from sdl.ledger import CommandSettled
from sdl.preflight import check
from sdl.testing.torture import Fault, Torture
from sdl.testing.torture.faults import AT_RANDOM
from sdl.testing.torture.orders import OrderedBoundaries, order
from sdl.testing.torture.planning import ON_THE_WAY, places, planned
from sdl.testing.torture.proxy import Network, message_of, route
from sdl.testing.torture.served import ServedLane
from sdl.testing.torture.served_verdict import judge_served

CAMPAIGN = Path(__file__).parents[2] / "campaigns" / "electrolyte_sintering.yaml"
OPTIONS = ("stop.experiments=3", "planner={type: sobol}")


def subject(**sabotage):
    return served_subject(check(CAMPAIGN, overrides=OPTIONS), CAMPAIGN, OPTIONS, inline=True, sabotage=sabotage)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return ServedLane(subject(), tmp_path_factory.mktemp("whole")).undisturbed()


@pytest.mark.slow
def test_twenty_faults_and_nothing_happens_twice_or_is_lost(tmp_path):
    result = Torture(partial(ServedLane, subject()), tmp_path, faults=20, seed=3).run()
    assert result.problems == []
    by_process = Counter(process for process, _, _ in result.struck.elements())
    assert by_process.total() >= 20
    assert set(by_process) == {"campaign", "server", "network"}
    said = result.as_json()
    assert said["campaigns_equal_to_undisturbed"] == said["campaigns_compared"] > 0
    assert said["questions"] == 0
    assert sum(said["struck_server"].values()) == by_process["server"]
    assert set(said["median_seconds_to_resume_by_process"]) == {"campaign", "server"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        Fault("kill", "after effect", 2, process="server"),
        Fault("kill both", "before commit of finished", 2, process="server"),
        Fault("kill both", "after commit of command.intended", 2),
        Fault("freeze", "after commit of started", 2, process="server"),
        Fault("freeze", "before sending", 3),
        Fault("full disk", "before commit of accepted", 2, process="server"),
        Fault("full disk", "before commit of started", 2, process="server"),
        Fault("full disk", "before commit of finished", 2, process="server"),
        Fault("full disk", "before commit of command.settled", 2),
        Fault("freeze", AT_RANDOM, seconds=0.3, process="server"),
        *[Fault(kind, "POST /commands", 1, process="network") for kind in ON_THE_WAY],
    ],
    ids=str,
)
def test_each_kind_of_fault_strikes_and_is_survived(tmp_path, undisturbed, fault):
    records, met = undisturbed
    assert fault.boundary == AT_RANDOM or met[fault.process][fault.boundary] >= fault.count
    trial = ServedLane(subject(), tmp_path).trial(0, iter([fault]), records)
    assert [a.struck for a in trial.attempts] == [True]
    assert trial.problems == ()
    # A campaign that ends for want of disk leaves shared time, which goes on without it.
    assert trial.is_compared == (fault.kind != "full disk" or fault.process != "campaign")
    assert (trial.attempts[0].resumed is not None) == (fault.kind in {"kill", "kill both", "orphan request"})


def forgets_its_log() -> None:
    """Break the server: each of its lives begins with an empty list of commands."""
    from sqlalchemy import create_engine, inspect

    made = SqlLog.__init__

    def forgetting(self, url, *more):
        engine = create_engine(url)
        with engine.begin() as connection:
            if inspect(connection).has_table("commands"):
                connection.execute(commands.delete())
        engine.dispose()
        made(self, url, *more)

    SqlLog.__init__ = forgetting


def dispatches_twice() -> None:
    """Break the client: what was answered is sent again as a new command."""
    execute = RemoteLab.execute

    async def twice(self, command, begins_sample, progress=None):
        await execute(self, command, begins_sample, progress)
        return await execute(self, replace(command, id=command.id[::-1]), begins_sample, progress)

    RemoteLab.execute = twice


def loses_a_result() -> None:
    """Break the client: one that was started again takes what the server has done for never started."""

    reconcile = RemoteLab.reconcile

    async def nothing(self, command):
        await reconcile(self, command)

    RemoteLab.reconcile = nothing


def tells_another_result() -> None:
    """Break the client: results of one instrument are not those that the server sent."""
    execute = RemoteLab.execute

    async def other(self, command, begins_sample, progress=None) -> Reply:
        reply = await execute(self, command, begins_sample, progress)
        return replace(reply, values={n: 2 * v if isinstance(v, float) else v for n, v in reply.values.items()})

    RemoteLab.execute = other


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sabotage", "fault", "said"),
    [
        ({"server": forgets_its_log}, Fault("kill", "after effect", 2, process="server"), "the server's log"),
        ({"campaign": dispatches_twice}, None, "the ledger never meant it"),
        ({"campaign": loses_a_result}, Fault("kill", "before commit of command.settled", 3), "executed twice"),
        ({"campaign": tells_another_result}, None, "the server's log has"),
    ],
    ids=["forgets its log", "dispatches twice", "loses a result", "tells another result"],
)
def test_what_is_broken_is_caught(tmp_path, undisturbed, sabotage, fault, said):
    faults = iter([] if fault is None else [fault])
    trial = ServedLane(subject(**sabotage), tmp_path).trial(0, faults, undisturbed[0])
    assert any(said in problem for problem in trial.problems), trial.problems


def cannot_reconcile() -> None:
    """Take the instruments' memory away: none of them can say what became of a command."""
    from sdl_instruments.ceramics.base import WorldInstrument

    async def unknown(self, command):
        del self, command
        return Reconciled("unknown")

    WorldInstrument.reconcile = unknown


@pytest.mark.slow
def test_instruments_that_cannot_reconcile_ask_a_person_once(tmp_path, undisturbed):
    """The server dies in the middle of a firing; a person who looks into the furnace says what became of it."""
    fault = Fault("kill", "after effect", 3, process="server")
    trial = ServedLane(subject(server=cannot_reconcile), tmp_path).trial(0, iter([fault]), undisturbed[0])
    assert [a.struck for a in trial.attempts] == [True]
    assert trial.problems == ()
    assert 1 <= trial.verdict.questions <= 2  # two experiments at once


def test_what_one_of_three_does_not_know_is_caught(undisturbed):
    records, _ = undisturbed
    reads = subject().reads

    def lost(**changes):
        return judge_served(replace(records, **changes), (), reads).lost

    assert lost() == ()
    assert any("the server's log does not know it" in p for p in lost(commands=records.commands[1:]))
    assert any("the ledger says succeeded, the server's log has no result" in p for p in lost(commands=()))
    first = records.commands[0]
    accepted = replace(first, state="accepted", reply=None)
    assert any("the server's log says: accepted" in p for p in lost(commands=(accepted, *records.commands[1:])))
    unsettled = tuple(r for r in records.rows if not isinstance(r.event, CommandSettled))
    assert sum("the server's log says succeeded, the ledger nothing" in p for p in lost(rows=unsettled)) == 12
    meant = tuple(r for r in records.rows if r.event.kind != "command.intended")
    assert any("the ledger never meant it" in p for p in lost(rows=meant))
    started = replace(first, state="started", reply=None)
    assert any("is started in the server's log" in p for p in lost(commands=(started, *records.commands[1:])))


def test_faults_reach_every_boundary_of_every_process_equally_often(undisturbed):
    _, met = undisturbed
    assert set(met) == {"campaign", "server", "network"}  # the worker is the campaign's own process here
    faults = planned(met, np.random.default_rng(0))
    found = [next(faults) for _ in range(1500)]
    often = Counter((f.process, f.boundary) for f in found)
    wanted = {(process, name) for process, names in places(met).items() for name in names}
    assert set(often) == wanted
    assert max(often.values()) - min(often.values()) <= 2
    assert {f.kind for f in found if f.process == "server"} == {"kill", "kill both", "freeze", "full disk"}
    assert {f.kind for f in found if f.process == "network"} == set(ON_THE_WAY)
    assert {f.boundary for f in found if f.kind == "orphan request"} == {"POST /commands"}
    again = planned(met, np.random.default_rng(0))
    assert [next(again) for _ in range(1500)] == found


def test_the_server_meets_every_commit_of_its_log(undisturbed):
    _, met = undisturbed
    for row, number in (("accepted", 12), ("started", 12), ("finished", 12), ("epoch", 1)):
        assert met["server"][f"before commit of {row}"] == met["server"][f"after commit of {row}"] == number
    assert met["server"]["before effect"] == 12
    assert met["network"]["POST /commands"] == met["campaign"]["before sending"] == 12


def test_an_order_counts_from_where_it_is_given(tmp_path):
    boundaries = OrderedBoundaries(tmp_path / "orders", tmp_path / "note")
    assert [boundaries.due("a") for _ in range(3)] == [None] * 3
    fault = Fault("freeze", "a", 2, process="server")
    order(tmp_path / "orders", fault, 1)
    found = [boundaries.due(name) for name in "abaa"]
    assert [f is not None for f in found] == [False, False, True, False]
    assert (found[2].kind, found[2].process) == ("freeze", "server")
    order(tmp_path / "orders", fault, 2)
    order(tmp_path / "orders", None, 3)
    assert [boundaries.due("a") for _ in range(3)] == [None] * 3
    assert (tmp_path / "note").read_text() == "struck\n"


def test_a_served_lab_needs_virtual_time(tmp_path):
    (tmp_path / "labs").mkdir()
    lab = (CAMPAIGN.parent / "labs" / "simulated_ceramics.yaml").read_text()
    scaled = lab.replace("{type: virtual}", "{type: scaled, factor: 1000}")
    (tmp_path / "labs" / "simulated_ceramics.yaml").write_text(scaled)
    file = tmp_path / "c.yaml"
    file.write_text(CAMPAIGN.read_text())
    with pytest.raises(InputError, match="needs virtual time, but lab 'simulated-ceramics' has scaled time"):
        torture(file, OPTIONS, False, 1, 0, 1, tmp_path / "kept", Output(as_json=True), served=True)


def test_routes_leave_ids_out():
    assert route("POST", "/commands/4f0c/taken?x=1") == "POST /commands/*/taken"
    assert route("POST", "/commands?wait=0") == "POST /commands"
    assert route("GET", "/lab/health") == "GET /lab/health"
    assert route("GET", "/artefacts/ab12") == "GET /artefacts/*"


@pytest.mark.parametrize(
    ("kind", "reached", "is_answered"),
    [
        ("drop request", 1, False),
        ("drop reply", 2, False),
        ("half reply", 2, False),
        ("double request", 3, True),
        ("delay reply", 2, True),
        ("delay request", 2, True),
        ("late request", 2, False),
    ],
)
def test_the_network_does_to_a_message_what_is_ordered(tmp_path, kind, reached, is_answered):
    """The second of five requests suffers; each carries its number, and the far end writes down what it got."""
    got, answered, enough = [], [], asyncio.Event()

    async def far(reader, writer):
        request = await message_of(reader)
        got.append(int(request.partition(b"\r\n\r\n")[2]))
        if len(got) >= 3 + reached:
            enough.set()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    async def ask(port, number):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /commands HTTP/1.1\r\nContent-Length: 1\r\n\r\n%d" % number)
        try:
            answered.append((await message_of(reader)).endswith(b"ok"))
        except asyncio.IncompleteReadError:
            answered.append(False)
        finally:
            writer.close()

    async def main():
        order(tmp_path / "orders", Fault(kind, "POST /commands", 2, process="network"), 1)
        end = await asyncio.start_server(far, "127.0.0.1", 0)
        boundaries = OrderedBoundaries(tmp_path / "orders", tmp_path / "note")
        network = Network(end.sockets[0].getsockname()[1], boundaries)
        way = await asyncio.start_server(network._client, "127.0.0.1", 0)
        for number in range(1, 6):
            await ask(way.sockets[0].getsockname()[1], number)
        await enough.wait()
        way.close()
        end.close()

    asyncio.run(asyncio.wait_for(main(), 30))
    assert answered == [True, is_answered, True, True, True]
    expected = {"drop request": [1, 3, 4, 5], "double request": [1, 2, 2, 3, 4, 5], "late request": [1, 3, 4, 5, 2]}
    assert got == expected.get(kind, [1, 2, 3, 4, 5])
