"""A manual step's form: asked at the terminal and as a question at once; whoever answers first settles it."""

from __future__ import annotations

import asyncio

import pytest
from enginekit import run, settled
from personkit import Person, on, stays

from sdl.errors import InstrumentFault, OutcomeUnknown
from sdl.ledger import CommandIntended, CommandSettled, Inbox, Ledger, QuestionAnswered, QuestionOpened

CAMPAIGN = """
name: by-hand
space: {parameters: {mass: {type: continuous, bounds: [1, 5], unit: g}}}
objectives: {weighed: {goal: maximize, unit: mg}}
protocol:
  - {instrument: person, action: weigh, with: {mass: $mass}, gives: {weighed: weighed}}
lab:
  allow_real: true
  instruments:
    person:
      driver: manual
      settings:
        actions:
          weigh:
            instructions: "Weigh {mass} of powder into crucible {sample}."
            effect: irreversible
            parameters: {mass: {unit: g, limits: [0, 10]}}
            results: {weighed: {unit: g, limits: [0, 20]}}
            duration: 10 min
planner: {type: random}
stop: {experiments: 1}
"""


@pytest.fixture
def file(write):
    return write("by-hand.yaml", CAMPAIGN)


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


class Terminal(Person):
    """A person at the campaign's terminal, who answers after a while, or never."""

    def __init__(self, home, *acts, answer=None, after=3600.0):
        super().__init__(home, *acts)
        self.answer, self.after, self.withdrawn = answer, after, []

    async def ask(self, form):  # type: ignore[override]
        try:
            await asyncio.sleep(self.after)
        except asyncio.CancelledError as gone:
            self.withdrawn.append(str(gone))
            raise
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def put(self, campaign, kind, **body):
        """Ask something of the campaign, from elsewhere."""
        return Person.ask(self, campaign, kind, **body)

    def recorded(self, rows, view):
        for row in rows:
            for act in [a for a in self._acts if a[0](row.event)]:
                self._acts.remove(act)
                self.put(view.campaign, act[1], **act[2])


def elsewhere(word="done", **body):
    return on(QuestionOpened), "answer", {"question": "Q1", "answer": word, **body}


def told(rows):
    return [(r.event.answer, r.event.by.split(" ")[0]) for r in rows if isinstance(r.event, QuestionAnswered)]


def test_an_answer_from_elsewhere_fills_the_form_in_and_the_prompt_is_withdrawn(file, home):
    person = Terminal(home, elsewhere(values={"weighed": "2500 mg"}, reason="on my balance"))
    end, state, rows = run(file, home, hooks=person, steer=stays)
    assert end[0] == "done"
    assert state.experiments[1].outcomes["weighed"].value == pytest.approx(2500.0)
    (question,) = [r.event for r in rows if isinstance(r.event, QuestionOpened)]
    assert (question.about, question.answers) == ("form", ["done", "failed", "abort"])
    assert "of powder into crucible by-hand-0001" in question.text
    assert [f["name"] for f in question.fields] == ["weighed"]
    assert told(rows) == [("done", "ann")]
    assert person.withdrawn == ["answered by ann"]
    assert settled(rows) == ["succeeded"]


def test_an_answer_at_the_terminal_closes_the_question(file, home):
    person = Terminal(home, answer={"weighed": 3.0}, after=0.1)
    end, state, rows = run(file, home, hooks=person, steer=stays)
    assert end[0] == "done"
    assert state.experiments[1].outcomes["weighed"].value == pytest.approx(3000.0)
    assert not state.open_questions()
    assert [a for a, _ in told(rows)] == ["done"]


@pytest.mark.parametrize("where", ["terminal", "elsewhere"])
def test_a_step_that_went_wrong_fails_its_experiment(file, home, where):
    if where == "terminal":
        person = Terminal(home, answer=InstrumentFault("the person says that it failed: spilt"), after=0.1)
    else:
        person = Terminal(home, elsewhere("failed"), elsewhere("failed", reason="spilt"))
    end, state, rows = run(file, home, hooks=person, steer=stays)
    assert end[0] == "done"
    assert state.experiments[1].state == "failed"
    assert state.experiments[1].reason == "person.weigh: the person says that it failed: spilt"
    assert [a for a, _ in told(rows)] == ["failed"]
    if where == "elsewhere":
        assert person.outcomes()[0] == (
            "refused",
            "say what went wrong with --reason: the experiment fails with these words",
        )


def test_values_that_do_not_fit_are_refused_and_the_form_stays_open(file, home):
    person = Terminal(home, elsewhere(values={"weighed": "3 s"}), elsewhere(values={"weighed": "3 g"}))
    end, _, rows = run(file, home, hooks=person, steer=stays)
    assert end[0] == "done"
    assert [o for o, _ in person.outcomes()] == ["refused", "done"]
    assert told(rows) == [("done", "ann")]


def test_an_abort_withdraws_the_form(file, home):
    person = Terminal(home, elsewhere("abort"))
    end, state, rows = run(file, home, hooks=person, steer=stays)
    assert end == ("stopped", "aborted by ann")
    assert settled(rows) == ["aborted"]
    assert len(person.withdrawn) == 1
    assert not state.open_questions()


def test_a_terminal_that_is_closed_leaves_the_question_about_the_command(file, home):
    person = Terminal(home, answer=OutcomeUnknown("the terminal was closed"), after=0.1)
    end, state, rows = run(file, home, hooks=person)
    assert end[0] == "waiting"
    assert [a for a, _ in told(rows)] == ["withdrawn"]
    assert [(q.question, q.about) for q in state.open_questions()] == [("Q2", "command")]


def test_where_nobody_can_be_asked_no_form_is_opened(file, home):
    end, state, _ = run(file, home)
    assert end[0] == "waiting"
    assert [(q.question, q.about) for q in state.open_questions()] == [("Q1", "command")]


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize("word", ["done", "failed", None])
def test_an_answer_to_a_dead_process_is_taken_by_the_next(file, home, monkeypatch, word):
    append = Ledger.append

    def dying(self, campaign, moment, events):
        if any(isinstance(e, QuestionAnswered | CommandSettled) for e in events):
            raise Killed
        return append(self, campaign, moment, events)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", dying)
        with pytest.raises(Killed):
            run(file, home, hooks=Terminal(home, answer={"weighed": 3.0}, after=0.1))
    if word is not None:
        ledger = Ledger(home)
        body = {
            "question": "Q1",
            "answer": word,
            "values": {"weighed": "4 g"} if word == "done" else {},
            "reason": "spilt",
        }
        Inbox(ledger).put("by-hand", "ann", "answer", body)
        ledger.close()
    end, state, rows = run(file, home)
    assert sum(isinstance(r.event, CommandIntended) for r in rows) == 1  # nothing is done twice
    if word is None:
        assert end[0] == "waiting"
        assert [a for a, _ in told(rows)] == ["withdrawn"]
        assert [q.about for q in state.open_questions()] == ["command"]
    else:
        assert end[0] == "done"
        assert state.experiments[1].state == word
        assert told(rows) == [(word, "ann")]
