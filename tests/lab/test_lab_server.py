"""A lab server and its client: once each, results kept, campaigns apart from each other."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace

import httpx
import pytest
from labkit import Person, command, effects, plan_of, served, standing, until

from sdl.clock import ClockSettings, RealClock
from sdl.driver import digest_of
from sdl.errors import DriverError, InstrumentFault, LabError, LedgerError, OutcomeUnknown, ProtocolError
from sdl.lab.client import RemoteLab
from sdl.lab.served_plan import served_plan
from sdl.lab.wire import command_json

FAST = ClockSettings("scaled", 1000.0)


def test_a_command_and_its_raw_data_come_over(tmp_path):
    async def main():
        async with served(tmp_path, clock=RealClock(1000.0)) as lab:
            client = await lab.client()
            reply = await client.execute(command("p", "probe", "read", with_={"x": 3.0}), False)
            assert (reply.status, reply.values, reply.simulated) == ("succeeded", {"value": 9.0}, True)
            (trace,) = reply.artefacts
            assert lab.store.get(trace.sha256) == b"x\n3.0\n"  # in the campaign's own store
            assert reply.duration >= 1.0
            assert [c.id for c, _ in await client.commands_sent()] == ["p"]
            assert lab.server.log.record("p").reply == reply
            await client.close()

    asyncio.run(main())


def test_the_campaign_is_told_once_when_a_command_began(tmp_path, monkeypatch):
    monkeypatch.setattr("sdl.lab.client.FIRST_WAIT", 0.05)

    async def main():
        async with served(tmp_path, clock=RealClock(1000.0)) as lab:
            client = await lab.client()
            began = []
            client.when_started(lambda c, moment: began.append((c.id, moment, client.busy())))
            reply = await client.execute(command("f", with_={"hold": 500.0}), True)
            # known while it is under way, and not said again at its end
            assert began == [("f", lab.server.log.record("f").started, {"oven": "fire, experiment 1"})]
            assert began[0][1] <= reply.started
            assert client.busy() == {}
            short = await client.execute(command("g", "idle", "nothing"), True)
            assert began[1:] == [("g", short.started, {})]
            await client.close()

    asyncio.run(main())


def test_what_is_asked_twice_is_done_once(tmp_path):
    async def main():
        async with served(tmp_path, clock=RealClock(1000.0)) as lab:
            client = await lab.client()
            asked = command("f", with_={"hold": 100.0})
            replies = await asyncio.gather(*(client.execute(asked, True) for _ in range(4)))
            assert len(set(map(str, replies))) == 1
            assert replies[0].status == "succeeded"
            assert await client.execute(asked, True) == replies[0]
            assert effects(tmp_path) == ["f"]
            with pytest.raises(ProtocolError, match="with other arguments"):
                await client.execute(command("f", with_={"hold": 101.0}), True)
            assert effects(tmp_path) == ["f"]
            await client.close()

    asyncio.run(main())


def test_a_message_that_was_garbled_on_its_way_moves_nothing(tmp_path):
    async def main():
        async with served(tmp_path) as lab, httpx.AsyncClient(base_url=lab.url, trust_env=False) as http:
            asked = command("f", with_={"hold": 0.0})
            good = {"command": command_json(asked), "begins_sample": True, "digest": asked.digest}
            bad = {**good, "digest": digest_of("oven", "fire", {"hold": 1.0})}
            answer = await http.post("/commands", json=bad)
            assert (answer.status_code, "digest differs" in answer.json()["error"]) == (409, True)
            for broken in ({**good, "surplus": 1}, {"command": {}}, [1]):
                answer = await http.post("/commands", json=broken)
                assert answer.status_code == 422
                assert "cannot be read" in answer.json()["error"]
            assert (await http.get("/commands/f")).status_code == 404
            unknown = replace(asked, instrument="kiln")
            answer = await http.post(
                "/commands", json={"command": command_json(unknown), "begins_sample": True, "digest": unknown.digest}
            )
            assert answer.json() == {"error": "command f: the lab has no instrument 'kiln'"}
            assert effects(tmp_path) == []

    asyncio.run(main())


def test_an_older_process_commands_nothing(tmp_path):
    async def main():
        async with served(tmp_path) as lab:
            orphan = await lab.client(epoch=1)
            owner = await lab.client(epoch=2)
            for do in (
                orphan.execute(command("f"), True),
                orphan.abort(),
                orphan.safe_state(),
                orphan.take_over("c.id", 1),
            ):
                with pytest.raises(ProtocolError, match="taken"):
                    await do
            assert effects(tmp_path) == []
            assert (await owner.execute(command("f", epoch=2), True)).status == "succeeded"
            assert await owner.known_epoch("c.id") == 2
            assert await owner.known_epoch("other") == 0
            await orphan.close()
            await owner.close()

    asyncio.run(main())


def test_the_samples_of_two_campaigns_of_one_name_are_not_mixed_up(tmp_path):
    async def main():
        async with served(tmp_path) as lab:
            one = await lab.client()
            await lab.server.message()
            stranger = await lab.stranger()
            await stranger.take_over("c.other", 1)  # nothing has been touched yet
            await one.execute(command("f"), True)
            late = await lab.stranger()
            with pytest.raises(ProtocolError, match=r"another campaign named 'c'.*choose another --name"):
                await late.take_over("c.late", 1)
            for client in (one, stranger, late):
                await client.close()

    asyncio.run(main())


def test_each_campaign_withdraws_and_aborts_its_own(tmp_path):
    async def main():
        async with served(tmp_path) as lab:
            one, two = await lab.client("one"), await lab.client("two")
            firing = asyncio.create_task(one.execute(command("1a", with_={"hold": 600.0}), True))
            await until(lambda: "1a" in effects(tmp_path))
            await two.abort()
            reports = await two.safe_state()
            assert not reports["oven"].confirmed
            assert "left alone: at work for another campaign" in reports["oven"].message
            waiting = [asyncio.create_task(c.execute(command(f"{c._name}b"), True)) for c in (one, two)]
            await until(lambda: len(lab.server.log.unfinished()) == 3)
            assert not firing.done()
            one.withdraw()
            withdrawn = await waiting[0]
            assert (withdrawn.status, withdrawn.error) == ("not_started", "withdrawn from the queue")
            assert lab.server.log.record("oneb").reply == withdrawn
            assert not waiting[1].done()
            await one.abort()
            assert (await firing).status == "aborted"
            assert (await waiting[1]).status == "succeeded"
            assert (await one.safe_state())["oven"].confirmed
            await one.close()
            await two.close()

    asyncio.run(main())


def test_campaigns_that_both_wait_go_in_turn(tmp_path):
    async def main():
        async with served(tmp_path, clock=RealClock(1000.0)) as lab:
            one, two = await lab.client("one"), await lab.client("two")
            first = asyncio.create_task(one.execute(command("0", with_={"hold": 300.0}), True))
            await until(lambda: effects(tmp_path) == ["0"])
            tasks = []
            for number, client in enumerate((one, one, one, two, two)):
                asked = command(f"{client._name}{number}", with_={"hold": 0.0})
                tasks.append(asyncio.create_task(client.execute(asked, True)))
                await until(lambda n=number: len(lab.server.log.unfinished()) == n + 2)
            late = command("late", with_={"hold": 0.0}, step=1)
            tasks.append(asyncio.create_task(one.execute(late, False)))
            await until(lambda: len(lab.server.log.unfinished()) == 7)
            await asyncio.gather(first, *tasks)
            # a sample under way first, then in turn, each campaign's own in order of arrival
            assert effects(tmp_path) == ["0", "late", "two3", "one0", "two4", "one1", "one2"]
            await one.close()
            await two.close()

    asyncio.run(main())


@pytest.mark.parametrize("answer", ["value", "fault", "nobody"])
def test_the_campaigns_people_are_asked(tmp_path, answer):
    asked = []

    async def ask(form):
        asked.append(form)
        if answer == "fault":
            raise InstrumentFault("it broke")
        if answer == "nobody":
            raise OutcomeUnknown("nobody")
        return {"value": 4.5}

    async def main():
        async with served(tmp_path) as lab:
            client = await lab.client()
            client.put_questions_to(ask)
            reply = await client.execute(command("q", "person", "tell"), True)
            await client.close()
            return reply

    reply = asyncio.run(main())
    assert len(asked) == 1
    assert asked[0].title == "length"
    assert asked[0].fields[0].upper == 10
    assert {"value": "succeeded", "fault": "failed", "nobody": "unknown"}[answer] == reply.status
    assert (reply.values, reply.error) in [
        ({"value": 4.5}, None),
        ({}, "it broke"),
        ({}, "length: nobody can be asked here; to be done was: measure it"),
    ]


def test_a_question_waits_for_the_campaign_to_come_back(tmp_path):
    async def ask(form):
        return {"value": 1.0}

    async def main():
        async with served(tmp_path) as lab:
            dead = await lab.client(epoch=1)
            asking = asyncio.create_task(dead.execute(command("q", "person", "tell"), True))
            dead.put_questions_to(lambda form: asyncio.sleep(3600))
            await until(lambda: "q" in lab.server.work.jobs and lab.server.work.jobs["q"].question is not None)
            asking.cancel()
            back = await lab.client(epoch=2)
            back.put_questions_to(ask)
            assert (await back.reconcile(command("q", "person", "tell"))).values == {"value": 1.0}
            await dead.close()
            await back.close()

    asyncio.run(main())


def test_an_instrument_that_asks_for_it_is_made_safe_when_its_campaign_is_gone(tmp_path, caplog):
    async def main():
        async with served(tmp_path, plan=plan_of(safe_after={"oven": 0.3})) as lab:
            gone = await lab.client()
            firing = asyncio.create_task(gone.execute(command("f", with_={"hold": 600.0}), True))
            await until(lambda: effects(tmp_path) == ["f"])
            firing.cancel()
            gone._beating.cancel()  # as if its process were dead
            await until(lambda: lab.server.log.record("f").state == "finished")
            assert lab.server.log.record("f").reply.status == "aborted"
            back = await lab.client(epoch=2)
            assert (await back.reconcile(command("f"))).status == "aborted"
            await gone.close()
            await back.close()

    asyncio.run(main())
    assert "oven: campaign 'c' has been gone for" in caplog.text
    assert "oven: safe state confirmed: heater off" in caplog.text


def test_what_a_campaign_that_is_gone_had_sent_does_not_begin_after_the_instrument_was_made_safe(tmp_path, caplog):
    async def main():
        async with served(tmp_path, plan=plan_of(safe_after={"oven": 0.3})) as lab:
            gone = await lab.client()
            firings = await _two_firings(lab, gone, tmp_path)
            for firing in firings:
                firing.cancel()
            gone._beating.cancel()
            await until(lambda: "safe state confirmed" in caplog.text)
            await until(lambda: lab.server.log.record("g").state == "finished")
            assert lab.server.log.record("f").reply.status == "aborted"
            assert lab.server.log.record("g").reply.status == "not_started"
            assert effects(tmp_path) == ["f"]
            await gone.close()

    asyncio.run(main())


def test_an_abort_does_not_overtake_what_withdraws(tmp_path):
    async def main():
        async with served(tmp_path) as lab:
            client = await lab.client()
            firings = await _two_firings(lab, client, tmp_path)
            ask, held = client._server.request, asyncio.Event()

            async def first_comes_late(method, path, *args, **options):
                if path.endswith("/withdraw") and not held.is_set():
                    held.set()
                    await until(lambda: lab.server.log.record("f").state == "finished")
                return await ask(method, path, *args, **options)

            client._server.request = first_comes_late
            client.withdraw()
            await held.wait()
            await client.abort()
            replies = await asyncio.gather(*firings)
            assert [r.status for r in replies] == ["aborted", "not_started"]
            assert effects(tmp_path) == ["f"]
            await client.close()

    asyncio.run(main())


def test_a_lab_that_is_stopped_begins_nothing_before_its_release(tmp_path, monkeypatch):
    refused = (
        r"refuses: lab 'bench' was stopped by somebody at 127.0.0.1 at 20\S+; no command begins before .* "
        r"sdl lab release URL; command {} was not started"
    )

    async def post(url, path):
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            answer = await http.post(path)
            return answer.status_code, answer.json()

    async def main():
        async with served(tmp_path) as lab:
            client = await lab.client()
            firings = await _two_firings(lab, client, tmp_path)
            _, said = await post(lab.url, "/lab/safe")
            assert said["instruments"]["oven"] == {"confirmed": True, "message": "heater off"}
            replies = await asyncio.gather(*firings)
            assert [r.status for r in replies] == ["aborted", "not_started"]
            with pytest.raises(LabError, match=refused.format("h")):  # at once: it is not asked again
                await asyncio.wait_for(client.execute(command("h"), True), 20)
            await client.close()
            await lab.server.idle.wait()
        async with served(tmp_path) as lab:
            client = await lab.client()
            with pytest.raises(LabError, match=refused.format("h")):
                await asyncio.wait_for(client.execute(command("h"), True), 20)
            async with httpx.AsyncClient(base_url=lab.url, trust_env=False) as http:
                assert (
                    (await http.get("/lab/health")).json()["stopped"].startswith("stopped by somebody at 127.0.0.1 at")
                )
            assert effects(tmp_path) == ["f"]
            _, said = await post(lab.url, "/lab/release")
            assert said["stopped"].startswith("stopped by somebody at 127.0.0.1 at 20")
            assert await post(lab.url, "/lab/release") == (200, {"stopped": None})
            assert (await client.execute(command("h"), True)).status == "succeeded"
            await client.close()
        async with served(tmp_path) as lab:
            assert lab.server.stopping.stopped is None
            client = await lab.client()
            with monkeypatch.context() as broken:
                broken.setattr(lab.server.log, "set_stop", _full)
                status, said = await post(lab.url, "/lab/safe")
            assert status == 503
            assert "is stopped (safe states: oven confirmed" in said["error"]
            assert "only until its server ends: the disk is full" in said["error"]
            with pytest.raises(LabError, match="command i was not started"):
                await asyncio.wait_for(client.execute(command("i"), True), 20)
            await client.close()

    asyncio.run(main())


def test_a_command_withdrawn_in_the_moment_of_its_arrival_is_answered(tmp_path):
    async def main():
        async with served(tmp_path) as lab:
            client = await lab.client()
            lab.server.submit(replace(command("f"), campaign="c.id"), True)
            assert lab.server.withdraw("c.id", 1) == 1  # nothing came in between
            assert (await lab.server.work.news("f", 20.0)).reply.status == "not_started"
            assert lab.server.idle.is_set()
            assert effects(tmp_path) == []
            await client.close()

    asyncio.run(main())


def _full(*_):
    raise LedgerError("the disk is full")


def test_what_an_earlier_life_accepted_does_not_begin_in_a_lab_that_is_stopped(tmp_path):
    async def main():
        async with served(tmp_path) as lab:
            client = await lab.client()
            firings = await _two_firings(lab, client, tmp_path)
            for firing in firings:
                firing.cancel()
            await client.close()
        async with served(tmp_path) as lab:  # nobody has asked for the second one yet
            await lab.server.stopping.stop("token t")
            assert lab.server.log.record("g").reply.status == "not_started"
            lab.server.stopping.release("token t")
            client = await lab.client(epoch=2)
            assert await client.reconcile(command("g", samples=("g",), experiment=2)) is None
            assert effects(tmp_path) == ["f"]
            await client.close()

    asyncio.run(main())


async def _two_firings(lab, client, folder):
    """Send two firings; the second waits for the first."""

    def sent(id_, number):
        firing = command(id_, with_={"hold": 600.0}, experiment=number, samples=(id_,))
        return asyncio.create_task(client.execute(firing, True))

    first = sent("f", 1)
    await until(lambda: effects(folder) == ["f"])
    second = sent("g", 2)
    await until(lambda: lab.server.log.record("g") is not None)
    return [first, second]


def test_an_answer_reaches_the_server_where_the_campaign_ends_right_after(tmp_path):
    async def main():
        async with served(tmp_path) as lab:
            client = await lab.client()
            lost = command("m", "arm", "move", with_={"breaks": True})
            assert (await client.execute(lost, True)).status == "unknown"
            client.answered(lost, "aborted")
            await client.close()
            assert lab.server.log.record("m").answer == "aborted"

    asyncio.run(main())


def test_others_fire_on_without_their_campaign(tmp_path):
    async def main():
        async with served(tmp_path, plan=plan_of(safe_after={"blind": 0.1}), clock=RealClock(100.0)) as lab:
            gone = await lab.client()
            firing = asyncio.create_task(gone.execute(command("f", with_={"hold": 200.0}), True))
            await until(lambda: effects(tmp_path) == ["f"])
            firing.cancel()
            gone._beating.cancel()
            await until(lambda: lab.server.log.record("f").state == "finished")
            assert lab.server.log.record("f").reply.status == "succeeded"
            await gone.close()

    asyncio.run(main())


def test_the_lab_is_described_over_the_wire(tmp_path):
    async def main():
        plan = plan_of(FAST, places={"tray": 3}, containers={"crucible": 1200.0}, safe_after={"oven": 60.0})
        async with served(tmp_path, plan=plan, clock=RealClock(1000.0)) as lab:
            told = await asyncio.to_thread(served_plan, lab.url, None)
            assert told.clock == FAST
            assert (told.name, told.places, told.containers) == ("bench", {"tray": 3}, {"crucible": 1200.0})
            assert told.server == lab.url
            for name, instrument in plan.instruments.items():
                assert told.instruments[name].description == instrument.description
            assert told.instruments["oven"].safe_after == 60.0
            fire = told.instruments["oven"].description.actions["fire"]
            assert await asyncio.to_thread(fire.seconds, {"hold": 77.0}) == 77.0
            asked = lab.server.plan.instruments["oven"].description.actions["fire"]
            reply = await asyncio.create_task(_fired_by(told, lab.store))
            assert reply.status == "succeeded"
            assert fire.seconds({"hold": 5.0}) == asked.seconds({"hold": 5.0}) == 5.0  # known: nobody had to be asked
            assert told.instruments["probe"].description.actions["read"].estimate is None
            client = await lab.client()
            assert abs(client.clock.now() - lab.server.clock.now()) < 0.2 * 1000
            assert {h.state for h in (await client.health()).values()} == {"ok"}
            await client.close()

    asyncio.run(main())


async def _fired_by(plan, store):
    client = RemoteLab(plan, "f", None, store.put)
    await client.open()
    await client.take_over("f.id", 1)
    try:
        return await client.execute(command("est", with_={"hold": 5.0}), True)
    finally:
        await client.close()


def test_scaled_time_never_goes_back_for_a_campaign(tmp_path):
    async def main():
        async with served(tmp_path, plan=plan_of(FAST), clock=RealClock(1000.0, 5000.0)) as lab:
            client = await lab.stranger()
            await client.close()
            await client.open(at_least=90_000.0)
            assert client.clock.now() >= 90_000.0
            await client.take_over("c.id", 1)
            assert lab.server.clock.now() >= 90_000.0
            await client.close()

    asyncio.run(main())


def test_raw_data_with_another_hash_do_not_count(tmp_path):
    async def main():
        async with served(tmp_path, clock=RealClock(1000.0)) as lab:
            client = await lab.client()
            real = lab.server.store.get
            lab.server.store.get = lambda sha256: real(sha256) + b"!"
            with pytest.raises(LedgerError, match="arrived with another hash"):
                await client.execute(command("p", "probe", "read", with_={"x": 3.0}), False)
            lab.server.store.get = real
            reply = await client.execute(command("p", "probe", "read", with_={"x": 3.0}), False)
            assert hashlib.sha256(lab.store.get(reply.artefacts[0].sha256)).hexdigest() == reply.artefacts[0].sha256
            await client.close()

    asyncio.run(main())


def test_a_result_is_kept_until_the_disk_takes_it(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("sdl.lab.work._AGAIN", 0.01)

    async def main():
        async with served(tmp_path) as lab:
            client = await lab.client()
            finished, left = lab.server.log.finished, 3

            def full(reply, moment):
                nonlocal left
                left -= 1
                if left >= 0:
                    raise LedgerError("the disk is full")
                finished(reply, moment)

            lab.server.log.finished = full
            assert (await client.execute(command("f"), True)).status == "succeeded"
            assert left == -1
            await client.close()

    asyncio.run(main())
    assert caplog.text.count("cannot be kept yet: the disk is full") == 3


def test_what_cannot_be_written_down_as_started_waits_for_the_disk_at_its_instrument(tmp_path, monkeypatch, caplog):
    """Nothing moves before it stands in the log, and nobody need ask for it again once it can be written."""
    monkeypatch.setattr("sdl.lab.driving.AGAIN", 0.01)

    async def main():
        async with served(tmp_path) as lab:
            client = await lab.client()
            started, refused = lab.server.log.started, []

            def full(command, moment):
                if len(refused) < 3:
                    refused.append(command)
                    assert effects(tmp_path) == []
                    raise LedgerError("the disk is full")
                started(command, moment)

            lab.server.log.started = full
            replies = await asyncio.gather(*(client.execute(command(i), True) for i in "fg"))
            assert [r.status for r in replies] == ["succeeded", "succeeded"]
            assert refused == ["f"] * 3  # it keeps its place before the other
            assert effects(tmp_path) == ["f", "g"]
            await client.close()

    asyncio.run(main())
    assert caplog.text.count("is not begun: the disk is full") == 3


def test_what_cannot_be_accepted_is_asked_again_and_not_lost(tmp_path):
    async def main():
        async with served(tmp_path) as lab:
            said = []
            client = await lab.client()
            client.say_to(said.append)
            accept, left = lab.server.log.accept, 2

            def full(*arguments):
                nonlocal left
                left -= 1
                if left >= 0:
                    raise LedgerError("the disk is full")
                accept(*arguments)

            lab.server.log.accept = full
            assert (await client.execute(command("f"), True)).status == "succeeded"
            assert effects(tmp_path) == ["f"]
            assert len(said) == 2
            assert "does not answer (the disk is full)" in said[0]
            assert "answers again" in said[1]
            await client.close()

    asyncio.run(main())


def test_an_ending_server_starts_nothing_more(tmp_path):
    async def main():
        async with served(tmp_path, clock=RealClock(100.0)) as lab:
            client = await lab.client(patience=0.3)
            firing = asyncio.create_task(client.execute(command("f", with_={"hold": 100.0}), True))
            await until(lambda: effects(tmp_path) == ["f"])
            waiting = asyncio.create_task(client.execute(command("g"), True))
            await until(lambda: len(lab.server.log.unfinished()) == 2)
            (under_way,) = lab.server.stop()
            assert under_way.startswith("oven.fire of c.id, experiment 1")
            with pytest.raises(LabError, match="about to end and accepts no command"):
                lab.server.submit(replace(command("h"), campaign="c.id"), True)
            with pytest.raises(LabError, match=r"has not answered for 0 s .*about to end"):
                await waiting
            assert (await firing).status == "succeeded"
            await lab.server.idle.wait()
            assert lab.server.log.record("g").state == "accepted"
            assert (await standing(lab.url, "f"))["state"] == "finished"
            await client.close()
        async with served(tmp_path, clock=RealClock(100.0)) as lab:
            client = await lab.client(epoch=2)
            assert effects(tmp_path) == ["f"]
            assert (await client.reconcile(command("g"))).status == "succeeded"
            assert effects(tmp_path) == ["f", "g"]
            assert await client.reconcile(command("h")) is None  # it never came, and its epoch is over
            await client.close()

    asyncio.run(main())


def test_whoever_was_not_taken_over_may_still_send(tmp_path):
    async def main():
        async with served(tmp_path) as lab:
            client = await lab.client()
            with pytest.raises(ProtocolError, match="could still come: take the campaign over first"):
                await client.reconcile(command("never"))
            await client.close()

    asyncio.run(main())


def test_an_instrument_that_does_not_answer_is_said_at_the_start(tmp_path, monkeypatch):
    async def dead(self):
        raise TimeoutError("no answer on port 5")

    monkeypatch.setattr(Person, "connect", dead)

    async def main():
        with pytest.raises(DriverError, match=r"person \(person\): TimeoutError: no answer on port 5"):
            async with served(tmp_path):
                pass

    asyncio.run(main())


PLACES = {"shelf": 1, "tray": 1}


def move(id_: str, to: str, *samples: str, **options):
    return command(id_, "arm", "move", with_=options, destination=to, samples=samples)


def test_a_person_says_what_became_of_a_move_and_the_instrument_goes_on(tmp_path):
    """Until then the arm gets no command and the sample holds room at both ends, whoever asks and over a restart."""

    async def main():
        async with served(tmp_path, plan=plan_of(places=PLACES)) as lab:
            client = await lab.client()
            assert (await client.execute(move("a", "shelf", "s1"), True)).status == "succeeded"
            lost = await client.execute(move("b", "tray", "s1", breaks=True), False)
            assert (lost.status, lost.error) == ("unknown", "the cable came off")
            stuck = asyncio.create_task(client.execute(move("d", "tray", "s2"), True))
            await until(lambda: len(lab.server.log.unfinished()) == 1)
            stuck.cancel()
            await client.close()
        async with served(tmp_path, plan=plan_of(places=PLACES)) as lab:
            assert lab.server.lab.places.held("shelf") == lab.server.lab.places.held("tray") == ("s1",)
            client = await lab.client(epoch=2)
            waiting = asyncio.create_task(client.reconcile(move("d", "tray", "s2")))
            await until(lambda: "d" in lab.server.work.jobs)
            assert lab.server.work.standing("d").state == "accepted"
            client.answered(move("b", "tray", "s1"), "not_started")
            assert (await waiting).status == "succeeded"
            assert lab.server.lab.places.held("tray") == ("s2",)
            await client.tell_answered("b", "succeeded")  # it was told before: nothing changes
            assert lab.server.lab.places.held("tray") == ("s2",)
            client.cleared("s1")
            await until(lambda: lab.server.lab.places.held("shelf") == ())
            await client.close()
        async with served(tmp_path, plan=plan_of(places=PLACES)) as lab:
            assert lab.server.lab.places.held("shelf") == ()
            assert lab.server.lab.places.held("tray") == ("s2",)
            client = await lab.client(epoch=3)
            assert (await client.execute(replace(move("e", "shelf", "s1"), epoch=3), True)).status == "succeeded"
            with pytest.raises(ProtocolError, match="never accepted here"):
                await client.tell_answered("none", "succeeded")
            await client.close()
        async with served(tmp_path, plan=plan_of(places=PLACES)) as lab:
            assert lab.server.lab.places.held("shelf") == ("s1",)

    asyncio.run(main())


def test_what_may_simply_be_sent_again_keeps_no_instrument(tmp_path):
    """The campaign decided so, and died before the server heard of it."""

    async def main():
        async with served(tmp_path) as lab:
            dead = await lab.client()
            lost = replace(move("a", "", "s1", breaks=True), destination=None)
            assert (await dead.execute(lost, False)).status == "unknown"
            back = await lab.client(epoch=2)
            back.lost = {"a"}
            waiting = asyncio.create_task(back.execute(replace(move("c", "", "s2"), epoch=2, destination=None), True))
            await until(lambda: len(lab.server.log.unfinished()) == 1)
            back.reserve([("a", "arm")])  # it is still a question: kept
            assert lab.server.log.record("a").is_lost
            back.reserve([])
            assert (await waiting).status == "succeeded"
            assert not lab.server.log.record("a").is_lost
            await dead.close()
            await back.close()

    asyncio.run(main())


def test_a_command_that_waits_for_room_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("sdl.lab.client.FIRST_WAIT", 0.05)

    async def main():
        async with served(tmp_path, plan=plan_of(places=PLACES)) as lab:
            client = await lab.client()
            said = []
            client.say_to(said.append)
            await client.execute(move("a", "shelf", "s1"), True)
            waiting = asyncio.create_task(client.execute(move("b", "shelf", "s2"), True))
            await until(lambda: said)
            assert said == ["experiment 1, arm.move waits: 'shelf' holds 1 of 1: 's1'"]
            await client.execute(move("d", "tray", "s1"), False)
            assert (await waiting).status == "succeeded"
            await client.close()

    asyncio.run(main())


def test_a_server_that_is_away_for_the_moment_of_opening_is_asked_again(tmp_path):
    """Pre-flight has asked it just before; a campaign that is under way would wait for it too."""

    async def go():
        said: list[str] = []
        async with served(tmp_path) as lab:
            plan = await asyncio.to_thread(served_plan, lab.url, None)
            port = int(lab.url.rpartition(":")[2])
        client = RemoteLab(plan, "c", None, lab.store.put)
        client.say_to(said.append)
        opening = asyncio.create_task(client.open())
        await until(lambda: said)
        async with served(tmp_path, port=port):
            await opening
            await client.close()
        assert "does not answer" in said[0]
        assert "answers again" in said[-1]

    asyncio.run(go())
