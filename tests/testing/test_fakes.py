"""The misbehaving fakes: each behaves as its name says, the same twice by seed, and the suite or the lab sees it."""

from __future__ import annotations

import asyncio

import pytest

from sdl.clock import VirtualClock
from sdl.testing import run_conformance
from sdl.testing.bench import Bench
from sdl.testing.fakes import MISBEHAVING, GoodPress, Line
from sdl.testing.subject import Subject

CAUGHT = {
    "fails": {"actions-work"},
    "never-ends": {"ends-in-time"},
    "slow": {"ends-in-time"},
    "lies-ready": {"busy-said"},
    "drops-replies": {"actions-work"},
    "delays-replies": {"actions-work"},
    "duplicates-replies": set(),  # a careful driver on a bad line
    "reorders-replies": set(),
    "forgets": set(),  # its driver says unknown
    "gives-nan": {"actions-work", "reconcile-same-result"},
    "gives-another-samples-data": {"same-twice"},
}


@pytest.mark.parametrize("name", CAUGHT)
def test_what_the_suite_finds(name):
    report = run_conformance(MISBEHAVING[name])
    assert set(report.broken) == CAUGHT[name], str(report)


def test_a_device_that_dies_is_found():
    assert {"actions-work", "safe-state-from-fault"} <= set(run_conformance(MISBEHAVING["dies-in-the-middle"]).broken)


@pytest.mark.parametrize("name", MISBEHAVING)
def test_without_a_share_that_goes_wrong_every_fake_is_good(name):
    report = run_conformance(MISBEHAVING[name], {"share": 0.0})
    assert report.passed, str(report)


def outcomes(driver, seed=3, share=0.5, samples=8):
    """What became of a pressing and a gauging of each sample."""

    async def main():
        async with Bench(Subject.of(driver, {"seed": seed, "share": share})) as bench, bench.life() as life:
            found = []
            for number in range(samples):
                for action in ("press", "gauge"):
                    running = life.begin(life.command(action, sample=f"s{number}"))
                    ended = await life.wait(running, 20_000.0)
                    if not ended:
                        running.task.cancel()
                        await asyncio.wait({running.task})
                        found.append(("late", None))
                        continue
                    reply = running.task.result()
                    await life.sleep(86_400.0)  # a job whose answer got lost goes on; let it end
                    found.append((reply.status, repr(sorted(reply.values.items()))))
            return found

    return asyncio.run(main())


@pytest.mark.parametrize("name", MISBEHAVING)
def test_the_same_seed_strikes_the_same_commands(name):
    driver = MISBEHAVING[name]
    assert outcomes(driver) == outcomes(driver)


@pytest.mark.parametrize(
    ("name", "status"),
    [("fails", "failed"), ("drops-replies", "unknown"), ("delays-replies", "unknown"), ("gives-nan", "failed")],
)
def test_a_share_of_the_commands_is_struck_and_as_said(name, status):
    found = [s for s, _ in outcomes(MISBEHAVING[name], share=0.4, samples=6)]
    assert set(found) <= {status, "succeeded", "failed"}
    assert status in found
    assert "succeeded" in found
    assert outcomes(MISBEHAVING[name], seed=4, share=0.4, samples=6) != outcomes(
        MISBEHAVING[name], share=0.4, samples=6
    )


def test_a_device_that_never_ends_is_late_for_ever():
    assert outcomes(MISBEHAVING["never-ends"], share=1.0, samples=1)[0] == ("late", None)


def test_dropped_answers_hide_effects_that_happened():
    async def main():
        async with Bench(Subject.of(MISBEHAVING["drops-replies"])) as bench, bench.life() as life:
            command = life.command("press")
            reply = await life.do(command)
            return reply.status, life.world.operation(command.id) is not None

    assert asyncio.run(main()) == ("unknown", True)


def test_another_samples_data_are_those_of_the_sample_before():
    good, stale = (
        outcomes(GoodPress, samples=2),
        outcomes(MISBEHAVING["gives-another-samples-data"], share=1.0, samples=2),
    )
    assert stale[3] == good[1] != good[3]


class TestLine:
    """What a careful and a careless driver hear on a bad line."""

    def hear(self, fault, *, careful):
        clock = VirtualClock()
        line = Line(clock, lambda m: {"echo": m["verb"]}, lambda m: fault if m["verb"] == "one" else None)

        async def main():
            heard = []
            with clock.actor():
                for number in [line.send({"verb": "one"}), line.send({"verb": "two"})]:
                    try:
                        heard.append((await line.receive(number if careful else None))["echo"])
                    except TimeoutError:
                        heard.append("timeout")
                heard.append(clock.elapsed())
            return heard

        return asyncio.run(main())

    def test_a_careful_one_matches_answers_to_questions(self):
        assert self.hear(None, careful=True)[:2] == ["one", "two"]
        assert self.hear("duplicate", careful=True)[:2] == ["one", "two"]
        assert self.hear("reorder", careful=True)[:2] == ["one", "two"]
        assert self.hear("drop", careful=True)[:2] == ["timeout", "two"]
        assert self.hear("delay", careful=True)[:2] == ["timeout", "two"]

    def test_a_careless_one_takes_one_answer_for_another(self):
        assert self.hear("duplicate", careful=False)[:2] == ["one", "one"]
        assert self.hear("reorder", careful=False)[:2] == ["two", "one"]
        assert self.hear("drop", careful=False)[:2] == ["two", "timeout"]

    def test_closed(self):
        line = Line(VirtualClock(), lambda m: m)
        line.close()
        line.close()
        with pytest.raises(ConnectionError):
            line.send({"verb": "one"})
