"""What a step's author wants done where it fails, and before it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytest
from enginekit import CAMPAIGN, Gauge, Press, run, settled
from personkit import Person, on, stays

from sdl.driver import Context, Unit, action
from sdl.errors import InstrumentFault, OutcomeUnknown
from sdl.ledger import CommandIntended, ExperimentFinished, QuestionAnswered, QuestionOpened, StepSkipped


@dataclass
class Mood:
    """How often a gauge fails before it works, by experiment, and how."""

    fails: dict[int, int]
    error: type[Exception] = InstrumentFault
    also: tuple[str, ...] = ()


class MoodyGauge(Gauge):
    """Fails so often."""

    mood: ClassVar[Mood] = Mood({})

    async def perform(self, action, ctx, arguments):
        left = self.mood.fails.get(ctx.command.experiment, 0)
        if left and (self.name == "gauge" or self.name in self.mood.also):
            self.mood.fails[ctx.command.experiment] = left - 1
            raise self.mood.error("no contact")
        return await super().perform(action, ctx, arguments)

    @action(effect="repeatable", duration="1 min")
    async def wipe(self, ctx: Context, force: Annotated[float, Unit("N")]) -> None:
        """Wipe the anvil."""
        await ctx.sleep(60)


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def mood(drivers):
    drivers(press=Press, gauge=MoodyGauge)
    Press.behaviour.__init__()
    MoodyGauge.mood = Mood({})
    return MoodyGauge.mood


@pytest.fixture
def campaign(write, mood):
    return write(
        "pellets.yaml",
        CAMPAIGN.replace("gauge: {driver: gauge}", "gauge: {driver: gauge}\n    gauge_2: {driver: gauge}"),
    )


def _sent(rows, number, name="measure"):
    return [
        r.event.instrument
        for r in rows
        if isinstance(r.event, CommandIntended) and (r.event.experiment, r.event.action) == (number, name)
    ]


# --- where it fails --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [InstrumentFault, OutcomeUnknown])
def test_a_retry_is_a_new_command_and_comes_so_often(campaign, home, mood, error):
    mood.fails.update({1: 2, 2: 9})
    mood.error = error
    end, state, rows = run(campaign, home, "protocol[1].if_fails={retry: 2}", "concurrency=1")
    assert state.experiments[1].state == "done"
    assert len(_sent(rows, 1)) == len(_sent(rows, 2)) == 3
    ids = [r.event.command for r in rows if isinstance(r.event, CommandIntended)]
    assert len(ids) == len(set(ids))
    occurrences = {
        r.event.occurrence for r in rows if isinstance(r.event, CommandIntended) and r.event.action == "measure"
    }
    assert occurrences == {0}  # an attempt more draws nothing anew
    if error is InstrumentFault:
        assert (end[0], state.experiments[2].state) == ("done", "failed")
    else:  # what nobody knows after the last retry is a question, not a failure
        assert (end[0], [q.experiment for q in state.open_questions()]) == ("waiting", [2])


def test_after_a_restart_retries_are_counted_on(campaign, home, mood):
    mood.fails[1] = 9
    stopped = {}

    class StopAfterTwo(Person):
        def recorded(self, rows, view):
            if settled(rows) == ["failed"]:
                stopped["n"] = stopped.get("n", 0) + 1
                if stopped["n"] == 2:
                    self.engine.stop("enough")

    hook = StopAfterTwo(home)
    options = ("protocol[1].if_fails={retry: 3}", "concurrency=1")
    end, _, _ = run(campaign, home, *options, hooks=hook, steer=lambda e: setattr(hook, "engine", e))
    assert end[0] == "stopped"
    end, state, rows = run(campaign, home, *options)
    assert end[0] == "done"
    assert len(_sent(rows, 1)) == 4
    assert state.experiments[1].state == "failed"


def test_another_instrument_of_the_same_kind(campaign, home, mood):
    mood.fails.update({1: 1, 2: 2})
    mood.also = ("gauge_2",)
    end, state, rows = run(campaign, home, "protocol[1].if_fails={instrument: gauge_2}", "concurrency=1")
    assert end[0] == "done"
    assert _sent(rows, 1) == ["gauge", "gauge_2"]
    assert _sent(rows, 2) == ["gauge", "gauge_2"]
    assert _sent(rows, 3) == ["gauge"]
    assert [e.state for e in state.experiments.values()] == ["done", "failed", "done", "done", "done"]
    assert state.experiments[2].reason == "gauge_2.measure: no contact"


WIPES = (
    "protocol=[{instrument: press, action: press, with: {force: $force}},"
    " {instrument: gauge, action: wipe, with: {force: $force}, if_fails: %s},"
    " {instrument: gauge, action: measure, with: {force: $force}, gives: {size: size}}]"
)


def test_a_skipped_step_is_said_and_the_experiment_goes_on(campaign, home, mood):
    mood.fails[1] = 1
    end, state, rows = run(campaign, home, WIPES % "skip", "concurrency=1")
    assert end[0] == "done"
    assert [e.state for e in state.experiments.values()] == ["done"] * 5
    (skipped,) = [r.event for r in rows if isinstance(r.event, StepSkipped)]
    assert (skipped.experiment, skipped.step) == (1, 1)
    assert skipped.reason == "gauge.wipe: no contact; its policy is to skip it"


@pytest.mark.parametrize(
    ("word", "state_of_one", "wipes"), [("retry", "done", 2), ("skip", "done", 1), ("fail", "failed", 1)]
)
def test_a_person_says_how_it_goes_on(campaign, home, mood, word, state_of_one, wipes):
    mood.fails[1] = 1
    person = Person(home, (on(QuestionOpened), "answer", {"question": "Q1", "answer": word, "reason": "looked"}))
    end, state, rows = run(campaign, home, WIPES % "ask", "concurrency=1", hooks=person, steer=stays)
    assert end[0] == "done"
    assert state.experiments[1].state == state_of_one
    assert len(_sent(rows, 1, "wipe")) == wipes
    (question,) = [r.event for r in rows if isinstance(r.event, QuestionOpened)]
    assert (question.about, question.answers) == ("failure", ["retry", "skip", "fail", "abort"])
    # it kept its turn meanwhile: nothing else was begun
    opened = next(r.seq for r in rows if isinstance(r.event, QuestionOpened))
    answered = next(r.seq for r in rows if isinstance(r.event, QuestionAnswered))
    assert not [r for r in rows if opened < r.seq < answered and isinstance(r.event, CommandIntended)]


def test_a_step_that_gives_an_outcome_cannot_be_skipped_by_anybody(campaign, home, mood):
    mood.fails[1] = 1
    person = Person(
        home,
        (on(QuestionOpened), "answer", {"question": "Q1", "answer": "skip"}),
        (on(QuestionOpened), "answer", {"question": "Q1", "answer": "fail"}),
    )
    end, state, _ = run(campaign, home, "protocol[1].if_fails=ask", hooks=person, steer=stays)
    assert end[0] == "done"
    assert person.outcomes()[0] == ("refused", "'skip' is no answer to Q1; answers are 'retry', 'fail', 'abort'")
    assert state.experiments[1].state == "failed"


# --- before it is sent -----------------------------------------------------------------------------------------------


class Agreeable(Person):
    """Answers every question at once."""

    word = "approve"

    def recorded(self, rows, view):
        for row in rows:
            if isinstance(row.event, QuestionOpened):
                self.ask(view.campaign, "answer", question=row.event.question, answer=self.word)


def _asked(rows):
    return [r.event.experiment for r in rows if isinstance(r.event, QuestionOpened) and r.event.about == "approval"]


@pytest.mark.parametrize(
    ("policy", "who"),
    [
        pytest.param("always", lambda state: [1, 2, 3, 4, 5], id="always"),
        pytest.param("first", lambda state: [1], id="first"),
        pytest.param("{cost_above: 59 min}", lambda state: [1, 2, 3, 4, 5], id="dear"),
        pytest.param("{cost_above: 1 h}", lambda state: [], id="cheap"),
        pytest.param(
            "{outside: {force: [30, 60 kN]}}",
            lambda state: [n for n, e in state.experiments.items() if not 30 <= e.candidate["force"] <= 60],
            id="outside",
        ),
    ],
)
def test_a_step_is_not_sent_before_a_person_agrees(campaign, home, policy, who):
    end, state, rows = run(
        campaign, home, f"protocol[0].approve={policy}", "concurrency=1", hooks=Agreeable(home), steer=stays
    )
    assert end[0] == "done"
    assert [e.state for e in state.experiments.values()] == ["done"] * 5
    assert _asked(rows) == who(state)
    agreed = {r.event.question: r.seq for r in rows if isinstance(r.event, QuestionAnswered)}
    for row in rows:
        if isinstance(row.event, QuestionOpened):
            sent = next(
                r.seq
                for r in rows
                if isinstance(r.event, CommandIntended) and r.event.experiment == row.event.experiment
            )
            assert row.seq < agreed[row.event.question] < sent


def test_where_only_the_first_needs_approval_one_answer_serves_all_who_wait(campaign, home):
    class Once(Agreeable):
        def recorded(self, rows, view):
            if len(view.state.open_questions()) == 2:
                super().recorded(rows[:1] if isinstance(rows[0].event, QuestionOpened) else [], view)

    person = Once(home)
    end, state, rows = run(campaign, home, "protocol[0].approve=first", hooks=person, steer=stays)
    assert end[0] == "done"
    assert _asked(rows) == [1, 2]
    assert person.outcomes() == [("done", "Q2 answered: approve")]
    assert [e.state for e in state.experiments.values()] == ["done"] * 5


def test_what_is_not_approved_is_never_sent(campaign, home):
    class Strict(Agreeable):
        word = "reject"

    end, state, rows = run(campaign, home, "protocol[0].approve=always", hooks=Strict(home), steer=stays)
    assert end[0] == "done"
    assert [e.state for e in state.experiments.values()] == ["aborted"] * 5
    assert not [r for r in rows if isinstance(r.event, CommandIntended)]
    assert state.experiments[1].reason == "rejected by ann: not approved"


def test_those_who_wait_for_approval_keep_their_turn(campaign, home):
    end, state, rows = run(campaign, home, "protocol[0].approve=always")
    assert end == ("waiting", "a person must say how experiment 1, 2 goes on; see sdl questions")
    assert len(state.experiments) == 2  # not the whole budget: what comes next may learn from these
    end, state, rows = run(campaign, home, "protocol[0].approve=always")
    assert _asked(rows) == [1, 2]  # and at the next start nothing is asked twice


def test_a_rejected_experiment_takes_its_question_with_it(campaign, home):
    person = Person(home, (on(QuestionOpened), "reject", {"experiment": 1, "reason": "no"}))
    end, state, rows = run(
        campaign,
        home,
        "protocol[0].approve={outside: {force: [0, 0]}}",
        "stop.experiments=1",
        hooks=person,
        steer=stays,
    )
    assert end[0] == "done"
    assert state.experiments[1].state == "aborted"
    assert not state.open_questions()
    assert [r.event.answer for r in rows if isinstance(r.event, QuestionAnswered)] == ["reject"]
    assert [r.event.state for r in rows if isinstance(r.event, ExperimentFinished)] == ["aborted"]
