"""Constraints that people add on the way: planners keep them, before and after a restart, and rounds can be recomputed."""

from __future__ import annotations

import asyncio

import pytest
from enginekit import CAMPAIGN, Gauge, Press, proposals, run
from personkit import Person, on, stays

from sdl.audit import recompute
from sdl.engine import InlineWorker, open_session
from sdl.engine.amending import held
from sdl.engine.by_people import opened
from sdl.engine.worker import propose as ask
from sdl.ledger import (
    ConstraintAdded,
    ExperimentFinished,
    ExperimentRejected,
    Inbox,
    Ledger,
    RoundOpened,
    RoundProposed,
)
from sdl.ledger.changed import changed
from sdl.ledger.verify import verify
from sdl.preflight import check


@pytest.fixture
def lab(drivers):
    drivers(press=Press, gauge=Gauge)
    Press.behaviour.__init__()


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def campaign(write, lab):
    return write("pellets.yaml", CAMPAIGN.replace("experiments: 5", "experiments: 12"))


def verdicts(home, name):
    ledger = Ledger(home)
    try:
        assert verify(ledger, name).findings == ()
        found = recompute(ledger, name, lambda *asked: ask(*asked).proposal)
        assert found.ok, found.text()
        return {r.verdict for r in found.rounds}
    finally:
        ledger.close()


def test_nothing_is_proposed_beyond_it_from_then_on_and_after_a_restart(campaign, home):
    person = Person(
        home,
        (
            on(ExperimentFinished, experiment=2),
            "reject",
            {"experiment": 2, "reason": "it melts", "constraint": "force <=  30"},
        ),
    )

    end, state, rows = run(campaign, home, hooks=person, steer=stays)
    assert end[0] == "done"
    ((outcome, said),) = person.outcomes()
    assert outcome == "done"
    assert said.startswith("from now on nothing is proposed that breaks force <= 30")
    added = next(r.seq for r in rows if isinstance(r.event, ConstraintAdded))
    opened_after = {r.event.round for r in rows if isinstance(r.event, RoundOpened) and r.seq > added}
    after = [
        c
        for r in rows
        if isinstance(r.event, RoundProposed) and r.event.round in opened_after
        for c in r.event.candidates
    ]
    assert len(after) >= 4
    assert all(c["force"] <= 30 for c in after)
    assert any(c["force"] > 30 for c in proposals(rows))
    assert list(state.constraints) == ["force <= 30"]
    assert verdicts(home, "pellets") == {"equal"}
    assert "only force <= 30, by ann at experiment 2: it melts" in changed(rows)[0]

    with held(check(campaign, overrides=("stop.experiments=18",)), home) as amending:
        found = amending.plan("Mia", "")
        assert "still in force, by sdl reject: force <= 30 (--lift takes it away)" in found.notes
        amending.carry_out(found)
    _, _, rows = run(campaign, home, "stop.experiments=18")
    assert all(c["force"] <= 30 for c in proposals(rows)[-6:])
    with held(check(campaign, overrides=("stop.experiments=30",)), home) as amending:
        amending.carry_out(amending.plan("Mia", "", ("force <= 30",)))
    _, state, rows = run(campaign, home, "stop.experiments=30")
    assert not state.constraints
    assert any(c["force"] > 30 for c in proposals(rows)[-12:])
    assert verdicts(home, "pellets") == {"equal"}


def test_what_was_proposed_while_a_person_ruled_it_out_is_not_started(campaign, home):
    class Thinks(InlineWorker):
        """Somebody rules a part of the space out while the planner is at it."""

        engine = None
        asked = False

        async def call(self, function, *arguments):
            if function is ask and not self.asked:
                self.asked = True
                ledger = Ledger(home)
                Inbox(ledger).put("pellets", "ann", "add", {"values": {"force": "50 kN"}, "reason": ""})
                body = {"experiment": 1, "reason": "melts", "constraint": "force <= 11"}
                Inbox(ledger).put("pellets", "ann", "reject", body)
                ledger.close()
                self.engine._inbox.look()
            return await super().call(function, *arguments)

    async def go():
        worker = Thinks()
        session = open_session(check(campaign, overrides=("stop.experiments=4",)), home)
        try:
            worker.engine = await session.engine(worker)
            await worker.engine.run()
            return session.state, session.ledger.rows(session.name)
        finally:
            await session.close()

    state, rows = asyncio.run(go())
    first = next(r for r in rows if isinstance(r.event, RoundProposed))
    broken = [first.event.first + i for i, c in enumerate(first.event.candidates) if c["force"] > 11]
    gone = [r.event.experiment for r in rows if isinstance(r.event, ExperimentRejected)]
    assert broken
    assert gone == [1, *broken]
    assert all(state.experiments[n].started is None for n in gone)
    assert all(e.candidate["force"] <= 11 for e in state.in_state("done"))
    assert verdicts(home, "pellets") == {"equal"}


PEOPLE = """
    name: by-hand
    space:
      parameters:
        temperature: {type: continuous, bounds: [1000, 1250], unit: degC}
        hold: {type: continuous, bounds: [1, 16], unit: h}
      candidates: {table: pool.csv}
    objectives: {conductivity: {goal: maximize, unit: mS/cm}}
    planner: {type: random}
    stop: {experiments: 12}
"""


class ByHand:
    def __init__(self, file, home):
        self.file, self.home = file, home

    def propose(self, count):
        with opened(check(self.file), self.home) as session:
            return [e.candidate for e in asyncio.run(session.propose(count, InlineWorker()))]

    def ask(self, kind, **body):
        ledger = Ledger(self.home)
        request = Inbox(ledger).put("by-hand", "Mia", kind, {"reason": "", **body})
        with opened(check(self.file), self.home) as session:
            state = session.state
        found = Inbox(ledger).one(request)
        ledger.close()
        return found.outcome, found.said, state


@pytest.fixture
def by_hand(write, home):
    rows = [f"{t},{h}" for t in (1000, 1100, 1200, 1250) for h in (1, 5, 10, 16)]
    write("pool.csv", "temperature,hold\n" + "\n".join(rows) + "\n")
    return ByHand(write("c.yaml", PEOPLE), home)


def test_rows_of_a_pool_that_break_it_are_left_out(by_hand, home):
    by_hand.propose(3)
    outcome, said, state = by_hand.ask("reject", experiment=1, constraint="temperature + 10*hold <= 1200")
    assert outcome == "done"
    given_up = [n for n in (2, 3) if state.experiments[n].state == "aborted"]
    for n in given_up:
        assert state.experiments[n].candidate["temperature"] + 10 * state.experiments[n].candidate["hold"] > 1200
    assert ("is given up with it" in said) == bool(given_up)
    later = by_hand.propose(12)
    assert later
    assert all(c["temperature"] + 10 * c["hold"] <= 1200 for c in later)
    outcome, said, _ = by_hand.ask("add", values={"temperature": "1250 degC", "hold": "16 h"})
    assert outcome == "refused"
    assert "temperature + 10*hold <= 1200 is broken" in said
    assert verdicts(home, "by-hand") == {"equal"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("temprature <= 1200", "did you mean 'temperature'", id="unknown"),
        pytest.param("temperature <= 900", "no row of the 16 candidates keeps temperature <= 900", id="nothing-left"),
        pytest.param("temperature", "is no constraint", id="no-condition"),
        pytest.param("__import__('os')", "is no constraint", id="code"),
    ],
)
def test_what_is_no_constraint_changes_nothing(by_hand, text, said, home):
    by_hand.propose(1)
    outcome, told, state = by_hand.ask("reject", experiment=1, constraint=text)
    assert outcome == "refused"
    assert said in told
    assert not state.constraints
    assert state.experiments[1].state == "proposed"


def test_a_constraint_in_force_is_not_added_twice(by_hand):
    by_hand.propose(1)
    assert by_hand.ask("reject", experiment=1, constraint="hold <= 10")[0] == "done"
    outcome, said, _ = by_hand.ask("reject", experiment=1, constraint="hold  <= 10")
    assert (outcome, said) == ("refused", "the constraint hold <= 10 is in force already")
