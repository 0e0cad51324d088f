"""Campaigns that change on their way: what is kept, what is refused; every round can be recomputed by its own version."""

from __future__ import annotations

import asyncio
from typing import Annotated

import pytest
from enginekit import CAMPAIGN, Diary, Gauge, Press, proposals, run

from sdl.audit import recompute
from sdl.driver import Context, Limits, Unit, action
from sdl.engine import InlineWorker, open_session
from sdl.engine.amending import held
from sdl.engine.by_people import opened
from sdl.engine.changes import changes
from sdl.engine.worker import propose as ask
from sdl.errors import InputError, NameInUseError
from sdl.ledger import ExperimentRejected, Ledger, RoundOpened, RoundProposed, VersionRecorded
from sdl.ledger.verify import verify
from sdl.loop import CampaignState
from sdl.preflight import check, recorded_problem


class BakingPress(Press):
    """A press that can also bake."""

    @action(effect="irreversible", duration="1 h")
    async def bake(self, ctx: Context, time: Annotated[float, Unit("h"), Limits(0, 100)]) -> None:
        """Bake the pellet."""
        await ctx.sleep(time * 3600)


@pytest.fixture
def lab(drivers):
    drivers(press=BakingPress, gauge=Gauge)
    Press.behaviour.__init__()


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def campaign(write, lab):
    return write("pellets.yaml", CAMPAIGN)


BAKED = CAMPAIGN.replace(
    "objectives:\n", "    time: {type: continuous, bounds: [1, 10], unit: h, was: 0 h}\nobjectives:\n"
).replace(
    "  - {instrument: gauge", "  - {instrument: press, action: bake, with: {time: $time}}\n  - {instrument: gauge"
)


def amend(file, home, *overrides, lift=()):
    """Amend; returns what was planned."""
    with held(check(file, overrides=tuple(overrides)), home) as amending:
        found = amending.plan("Mia", "why not", lift)
        amending.carry_out(found)
        return found


def rows_of(home, name="pellets"):
    ledger = Ledger(home)
    try:
        return ledger.rows(name)
    finally:
        ledger.close()


def verdicts(home, name="pellets"):
    """Verify, and recompute every round."""
    ledger = Ledger(home)
    try:
        assert verify(ledger, name).findings == ()
        found = recompute(ledger, name, lambda *asked: ask(*asked).proposal)
        assert found.ok, found.text()
        return [r.verdict for r in found.rounds]
    finally:
        ledger.close()


class StopsAt(Diary):
    """Stops the campaign at a row of some kind, so that what follows is left to the next start."""

    def __init__(self, kind, count=1):
        super().__init__()
        self.kind, self.count, self.engine = kind, count, None

    def steer(self, engine):
        self.engine = engine

    def recorded(self, rows, view):
        for row in rows:
            if isinstance(row.event, self.kind):
                self.count -= 1
                if self.count == 0:
                    self.engine.stop("for the amendment")


def test_a_finished_campaign_is_prolonged(campaign, home):
    run(campaign, home)
    found = amend(campaign, home, "stop.experiments=8")
    assert [(c.where, c.was, c.becomes) for c in found.changes] == [("stop.experiments", "5", "8")]
    assert "it was done and goes on: 3 experiments may still be started" in found.notes
    with pytest.raises(NameInUseError, match=r"stop\.experiments: recorded 8, now 5"):
        run(campaign, home)
    end, state, _ = run(campaign, home, "stop.experiments=8")
    assert end[0] == "done"
    assert state.started == 8
    assert set(verdicts(home)) == {"equal"}
    versions = [r.event for r in rows_of(home) if isinstance(r.event, VersionRecorded)]
    assert [(v.version, v.by, v.reason) for v in versions] == [(1, "", ""), (2, "Mia", "why not")]
    assert "by" not in versions[0].body()  # as it was written before there were amendments


def test_bounds_and_frozen_values_hold_for_what_is_proposed_and_all_history_counts(campaign, home, write):
    run(campaign, home)
    found = amend(campaign, home, "space.parameters.force.bounds=[10, 20]", "stop.experiments=9")
    outside = next(n for n in found.notes if "lie outside" in n)
    assert "they stay data" in outside
    _, state, rows = run(campaign, home, "space.parameters.force.bounds=[10, 20]", "stop.experiments=9")
    assert all(10 <= c["force"] <= 20 for c in proposals(rows)[5:])
    assert len(state.history().trials) == 9
    assert set(verdicts(home)) == {"equal"}


def test_a_new_parameter_needs_its_value_so_far(campaign, home, write):
    run(campaign, home)
    without = write("without.yaml", BAKED.replace(", was: 0 h", ""))
    with pytest.raises(InputError, match=r"'time' is new: what was its value in the 5 experiments so far\?"):
        amend(without, home, "stop.experiments=8")
    assert rows_of(home)[-1].event.state == "done"  # nothing was changed
    baked = write("baked.yaml", BAKED)
    found = amend(baked, home, "stop.experiments=8")
    assert "'time' was 0 h in the 5 experiments so far" in found.notes
    _, state, rows = run(baked, home, "stop.experiments=8")
    assert all("time" in c for c in proposals(rows)[5:])
    assert set(verdicts(home)) == {"equal"}
    ledger = Ledger(home)
    try:
        _, problem = recorded_problem(ledger, "pellets")
        told = problem.told(state.history())
        assert [t.candidate["time"] for t in told.trials][:5] == [0.0] * 5
        assert all("time" in c for r in told.rounds for c in r.candidates)
        _, first = recorded_problem(ledger, "pellets", 1)
        assert first.told(state.history()) == state.history()
    finally:
        ledger.close()
    # and out again: it varied meanwhile, so what was measured depends on it
    with pytest.raises(InputError, match="'time' had 4 values so far"):
        amend(campaign, home, "stop.experiments=9")
    frozen = write("frozen.yaml", BAKED.replace("was: 0 h", "was: 0 h, frozen: 120 min"))
    amend(frozen, home, "stop.experiments=10")
    _, _, rows = run(frozen, home, "stop.experiments=10")
    assert [c["time"] for c in proposals(rows)[8:]] == [2.0, 2.0]
    assert set(verdicts(home)) == {"equal"}


def test_what_is_under_way_goes_on_by_its_protocol_or_the_amendment_is_refused(campaign, home, write):
    from sdl.ledger import CommandSettled

    stopping = StopsAt(CommandSettled)
    run(campaign, home, hooks=stopping, steer=stopping.steer)
    state = CampaignState(rows_of(home))
    under_way = [e.number for e in state.in_state("running")]
    assert under_way
    with pytest.raises(InputError, match=r"is under way by the recorded version, and 'protocol'") as caught:
        amend(write("baked.yaml", BAKED), home)
    assert "sdl reject pellets NUMBER" in str(caught.value)
    found = amend(campaign, home, "space.parameters.force.bounds=[10, 95]")
    assert any("goes on as it began" in n for n in found.notes)
    end, state, _ = run(campaign, home, "space.parameters.force.bounds=[10, 95]")
    assert end[0] == "done"
    assert all(state.experiments[n].state == "done" for n in under_way)
    assert set(verdicts(home)) == {"equal"}


def test_proposals_that_were_not_started_are_given_up_where_they_no_longer_fit(campaign, home):
    stopping = StopsAt(RoundProposed)
    run(campaign, home, hooks=stopping, steer=stopping.steer)
    first = CampaignState(rows_of(home)).in_state("proposed")
    assert len(first) == 2
    amend(campaign, home, "space.parameters.force.bounds=[5, 6]")
    gone = [r.event.experiment for r in rows_of(home) if isinstance(r.event, ExperimentRejected)]
    assert gone == [e.number for e in first]
    _, state, _ = run(campaign, home, "space.parameters.force.bounds=[5, 6]")
    assert [e.state for e in state.experiments.values()] == ["aborted"] * 2 + ["done"] * 5


def test_a_round_without_an_answer_belongs_to_the_version_that_asked(campaign, home):
    class Dies(InlineWorker):
        async def call(self, function, *arguments):
            raise InputError("the planner broke")

    async def broken():
        session = open_session(check(campaign), home)
        try:
            engine = await session.engine(Dies())
            await engine.run()
        finally:
            await session.close()

    with pytest.raises(InputError, match="the planner broke"):
        asyncio.run(broken())
    found = amend(campaign, home, "planner={type: sobol}")
    assert "round 1 was never answered; the planner is asked anew" in found.notes
    _, _, rows = run(campaign, home, "planner={type: sobol}")
    assert [r.event.round for r in rows if isinstance(r.event, RoundOpened)][:2] == [1, 2]
    assert next(r.event.round for r in rows if isinstance(r.event, RoundProposed)) == 2
    assert set(verdicts(home)) == {"equal"}


def test_what_cannot_be_amended_is_refused_with_what_to_write(campaign, home, write):
    run(campaign, home)
    for override, said in (
        ("space.parameters.force.unit=N", "was in kN and would be in N"),
        ("objectives.size.unit=mm", "was measured in um and would be in mm"),
        ("lab.clock={type: real}", "cannot become real"),
        ("stop.experiments=5", "nothing differs from the recorded version"),
    ):
        with pytest.raises(InputError) as caught:
            amend(campaign, home, override)
        assert said in str(caught.value)
    with pytest.raises(InputError, match="has no campaign 'other'"):
        amend(write("o.yaml", CAMPAIGN.replace("name: pellets", "name: other")), home)
    assert [r.event.version for r in rows_of(home) if isinstance(r.event, VersionRecorded)] == [1]


def test_a_campaign_that_somebody_has_is_not_amended(campaign, home):
    run(campaign, home)
    ledger = Ledger(home)
    owner = ledger.own("pellets")
    owner.take()
    try:
        with pytest.raises(NameInUseError, match="sdl stop pellets, then amend"):
            amend(campaign, home, "stop.experiments=8")
    finally:
        owner.release()
        ledger.close()


PEOPLE = """
    name: by-hand
    space:
      parameters:
        temperature: {type: continuous, bounds: [1000, 1250], unit: degC}
        gas: {type: categorical, values: [air, argon]}
    objectives: {conductivity: {goal: maximize, unit: mS/cm}}
    planner: {type: random}
    stop: {experiments: 4}
"""


def test_people_keep_what_they_have_and_tell_a_new_outcome_of_old_samples(write, home, tmp_path):
    file = write("c.yaml", PEOPLE)
    sheet = tmp_path / "r.csv"

    def tell(text, path):
        sheet.write_text(text)
        with opened(check(path), home) as session:
            return session.tell(sheet, "Mia", ""), session.state

    with opened(check(file), home) as session:
        asyncio.run(session.propose(2, InlineWorker()))
    tell("experiment,conductivity\n1,2\n", file)
    with pytest.raises(InputError, match="values can be added to a category, not taken away"):
        amend(write("w.yaml", PEOPLE.replace("[air, argon]", "[helium, neon]")), home)
    wide = write(
        "v2.yaml",
        PEOPLE.replace("[air, argon]", "[air, argon, oxygen]").replace(
            "objectives: {", "objectives: {density: {goal: maximize, unit: percent}, "
        ),
    )
    found = amend(wide, home)
    assert "people keep experiment 2 as proposed; sdl reject gives one up" in found.notes
    assert "1 of 1 experiment have no 'density'; people may tell it of samples that they kept" in found.notes
    told, state = tell("experiment,conductivity,density\n1,2,95\n2,3,96\n", wide)
    assert told.experiments == [1, 2]
    assert state.experiments[1].outcomes["density"].value == 95
    with opened(check(wide), home) as session:
        assert len(asyncio.run(session.propose(5, InlineWorker()))) == 2
    assert verdicts(home, "by-hand") == ["equal", "equal"]


def test_changes_name_parameters_as_a_whole_and_constraints_one_by_one():
    old = {"space": {"parameters": {"a": {"bounds": [0, 1]}}, "constraints": [{"type": "linear", "x": 1}]}, "name": "x"}
    new = {
        "space": {
            "parameters": {"a": {"bounds": [0, 2]}, "b": {"type": "integer", "bounds": [1, 2]}},
            "constraints": [{"type": "linear", "x": 1}, {"expression": "a < 1"}],
        },
        "outcome_constraints": {"y": {"at_least": 1}},
        "name": "other",
    }
    found = [(c.where, c.was, c.becomes) for c in changes(old, new, {"a.csv": "1" * 64}, {"a.csv": "2" * 64})]
    assert found == [
        ("space.parameters.a.bounds", "[0, 1]", "[0, 2]"),
        ("space.parameters.b", "", "{type: integer, bounds: [1, 2]}"),
        ("space.constraints", "", "{expression: a < 1}"),
        ("outcome_constraints.y", "", "{at_least: 1}"),
        ("file a.csv", "SHA-256 111111111111…", "SHA-256 222222222222…"),
    ]
