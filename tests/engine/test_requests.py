"""What people ask of a running campaign from another terminal, and what comes of it."""

from __future__ import annotations

import time

import pytest
from enginekit import CAMPAIGN, Gauge, Press, run, settled
from personkit import HERE, Person, SlowPress, on, stays

from sdl.driver import FieldSpec
from sdl.engine import requests
from sdl.engine.questions import read_done
from sdl.errors import InputError, LedgerError
from sdl.ledger import (
    CampaignPaused,
    CampaignResumed,
    CampaignWaiting,
    CandidatesAdded,
    CommandIntended,
    CommandSettled,
    EpochRaised,
    ExperimentFinished,
    ExperimentStarted,
    Inbox,
    Ledger,
    ObservationRecorded,
    QuestionAnswered,
    QuestionAskedAgain,
    QuestionOpened,
    RequestSettled,
)
from sdl.ledger.queries import table_of
from sdl.ledger.verify import verify


@pytest.fixture
def lab(drivers):
    drivers(press=SlowPress, gauge=Gauge)
    Press.behaviour.__init__()
    return Press.behaviour


@pytest.fixture
def campaign(write, lab):
    return write("pellets.yaml", CAMPAIGN)


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def answer(question="Q1", word="done", **body):
    return "answer", {"question": question, "answer": word, **body}


def _events(rows, kind):
    return [r.event for r in rows if isinstance(r.event, kind)]


# --- questions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "state_of_two", "pressed"),
    [
        pytest.param("done", "done", 1, id="done"),
        pytest.param("did-not-happen", "done", 2, id="did-not-happen"),
        pytest.param("discard", "aborted", 1, id="discard"),
    ],
)
def test_an_answer_settles_the_command_and_the_campaign_goes_on(campaign, home, lab, word, state_of_two, pressed):
    lab.unknown.add(2)
    person = Person(home, (on(QuestionOpened), *answer(word=word, reason="seen")))

    def once(event):  # the press is well again when it is asked a second time
        if isinstance(event, QuestionAnswered):
            lab.unknown.clear()
        return False

    person._acts.append((once, "stop", {}))
    end, state, rows = run(campaign, home, hooks=person, steer=stays)
    assert end == ("done", "5 experiments were started")
    assert state.experiments[2].state == state_of_two
    assert lab.executed["pellets-0002 press"] == pressed
    assert not state.open_questions()
    (said,) = _events(rows, QuestionAnswered)
    assert (said.answer, said.by, said.reason) == (word, "ann", "seen")
    assert [e.how for e in _events(rows, CommandSettled)].count("answered") == 1
    assert person.outcomes() == [("done", f"Q1 answered: {word}")]
    ledger = Ledger(home)
    assert verify(ledger, "pellets").ok
    (row,) = table_of(ledger, "questions", "pellets")
    assert (row["state"], row["answer"], row["answered_by"], row["reason"]) == ("answered", word, "ann", "seen")
    ledger.close()
    # what a person gave up says nothing of its candidate
    assert (2 in [t.number for t in state.history().trials]) == (word != "discard")


def test_an_answer_with_values_gives_the_outcome(write, home, drivers):
    class LostGauge(Gauge):
        async def perform(self, action, ctx, arguments):
            if ctx.command.experiment == 1:
                from sdl.errors import OutcomeUnknown

                raise OutcomeUnknown("the line is dead")
            return await super().perform(action, ctx, arguments)

    Press.behaviour.__init__()
    drivers(press=Press, gauge=LostGauge)
    person = Person(
        home,
        (on(QuestionOpened), *answer(values={"size": "12 mm", "size_uncertainty": "50 um"})),
    )
    end, state, rows = run(write("pellets.yaml", CAMPAIGN), home, hooks=person, steer=stays)
    assert end[0] == "done"
    # the outcome is declared in µm, the gauge's own unit is mm
    assert state.experiments[1].outcomes["size"].value == pytest.approx(12000)
    assert state.experiments[1].outcomes["size"].uncertainty == pytest.approx(50)
    (question,) = _events(rows, QuestionOpened)
    assert [f["name"] for f in question.fields] == ["size", "size_uncertainty", "failed_samples"]
    assert question.fields[0]["unit"] == "mm"
    assert question.answers == ["done", "did-not-happen", "discard", "abort"]
    assert question.expires > question.asked


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param({"question": "Q9", "answer": "done"}, "no question 'Q9'; open: 'Q1'", id="no-such-question"),
        pytest.param({"question": "Q1", "answer": "don"}, "did you mean 'done'", id="no-such-answer"),
        pytest.param(
            {"question": "Q1", "answer": "done", "values": {"size": "1 mm"}}, "'size' is no result", id="values"
        ),
        pytest.param(
            {"question": "Q1", "answer": "discard", "values": {"size": "1 mm"}}, "only the answer 'done'", id="surplus"
        ),
        pytest.param({"question": "Q1"}, "'None' is no answer", id="nothing"),
        pytest.param({"answer": "done"}, "no question None", id="no-question"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_and_the_question_stays(campaign, home, lab, body, said):
    lab.unknown.add(2)
    person = Person(home, (on(QuestionOpened), "answer", body), (on(RequestSettled, outcome="refused"), *answer()))
    end, _, rows = run(campaign, home, hooks=person, steer=stays)
    assert end[0] == "done"
    outcomes = person.outcomes()
    assert outcomes[0][0] == "refused"
    assert said in outcomes[0][1]
    assert outcomes[1] == ("done", "Q1 answered: done")
    assert [e.outcome for e in _events(rows, RequestSettled)] == ["refused", "done"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        pytest.param({"size": "12 s", "size_uncertainty": "1 um"}, "size: ", id="unit"),
        pytest.param({"size": "long", "size_uncertainty": "1 um"}, "size: ", id="type"),
        pytest.param({"size": "12 mm"}, "size_uncertainty: nothing was written", id="missing"),
        pytest.param({"size": "1e999 mm", "size_uncertainty": "1 um"}, "size: ", id="infinite"),
    ],
)
def test_values_are_checked_by_unit_and_type(values, said):
    fields = (FieldSpec("size", unit="mm"), FieldSpec("size_uncertainty", unit="mm"))
    with pytest.raises(InputError, match=said):
        read_done(fields, values, ())


def test_values_outside_limits_are_refused():
    fields = (FieldSpec("size", unit="mm", lower=0, upper=20),)
    with pytest.raises(InputError, match=r"30 mm is outside the limits \[0, 20\] mm"):
        read_done(fields, {"size": "3 cm"}, ())
    assert read_done(fields, {"size": "1.5 cm"}, ())[0] == {"size": 15.0}


def test_two_answers_at_once_the_first_wins_and_the_other_is_told(campaign, home, lab):
    lab.unknown.add(2)
    first = on(QuestionOpened)
    person = Person(
        home, (first, *answer(by="ann")), (first, *answer(word="discard", by="bob")), (first, *answer(by="ann"))
    )
    end, state, _ = run(campaign, home, hooks=person, steer=stays)
    assert end[0] == "done"
    assert state.experiments[2].state == "done"
    assert [o[0] for o in person.outcomes()] == ["done", "refused", "refused"]
    assert person.outcomes()[1][1] == "question Q1 was answered already: done, by ann"


def test_without_a_process_the_answer_stays_and_is_taken_at_the_next_run(campaign, home, lab):
    lab.unknown.add(2)
    end, state, _ = run(campaign, home)
    assert end[0] == "waiting"
    person = Person(home)
    person.ask("pellets", "answer", question="Q1", answer="done")
    assert person.outcomes() == [(None, None)]
    lab.unknown.clear()
    end, state, _ = run(campaign, home)
    assert end[0] == "done"
    assert [e.state for e in state.experiments.values()] == ["done"] * 5
    assert lab.executed["pellets-0002 press"] == 1
    assert person.outcomes() == [("done", "Q1 answered: done")]


def test_after_the_end_an_answer_is_refused(campaign, home, lab):
    lab.unknown.add(2)
    run(campaign, home, hooks=Person(home, (on(QuestionOpened), *answer())), steer=stays)
    late = Person(home)
    late.ask("pellets", "answer", question="Q1", answer="discard")
    end, _, _ = run(campaign, home)  # there is something in its inbox, so it is looked at once more
    assert end[0] == "done"
    assert late.outcomes() == [("refused", "question Q1 was answered already: done, by ann")]


def test_an_expired_question_is_asked_again_and_nothing_is_assumed(campaign, home, lab):
    lab.unknown.add(2)
    person = Person(home, (on(QuestionAskedAgain, times=3), *answer()))

    def impatient(engine):
        stays(engine)
        engine.ask_again_after = 0.05

    end, _, rows = run(campaign, home, hooks=person, steer=impatient)
    assert end[0] == "done"
    assert [e.times for e in _events(rows, QuestionAskedAgain)][:2] == [2, 3]
    assert sum("STILL OPEN, asked 2 times: Q1" in line for line in person.lines) == 1
    answered = next(r.seq for r in rows if isinstance(r.event, QuestionAnswered))
    again = [r.seq for r in rows if isinstance(r.event, QuestionAskedAgain)]
    assert again[1] < answered
    assert not [r for r in rows if isinstance(r.event, CommandIntended) and again[0] < r.seq < again[1]]


def test_the_answer_abort_ends_the_campaign_and_the_question_is_asked_anew(campaign, home, lab):
    lab.unknown.add(2)
    person = Person(home, (on(QuestionOpened), *answer(word="abort")))
    end, state, _ = run(campaign, home, hooks=person, steer=stays)
    assert end == ("stopped", "aborted by ann")
    assert lab.made_safe == 1
    assert not state.open_questions()
    end, state, _ = run(campaign, home)
    assert end[0] == "waiting"
    assert [q.question for q in state.open_questions()] == ["Q2"]
    assert lab.executed["pellets-0002 press"] == 1


def test_a_request_that_the_dead_process_had_journaled_is_not_taken_twice(campaign, home, lab):
    lab.unknown.add(2)
    run(campaign, home)
    person = Person(home)
    request = person.ask("pellets", "add", values={"force": "33 kN"})
    ledger = Ledger(home)
    ledger.append("pellets", 0.0, [RequestSettled(request, "add", "ann", "done", "as before")])
    ledger.close()
    _, _, rows = run(campaign, home)
    assert not _events(rows, CandidatesAdded)
    assert person.outcomes() == [("done", "as before")]


# --- the course of the campaign --------------------------------------------------------------------------------------


def test_pause_starts_nothing_new_and_resume_goes_on(campaign, home):
    seen = []

    class Watching(Person):
        def recorded(self, rows, view):
            super().recorded(rows, view)
            for row in rows:
                if isinstance(row.event, CampaignPaused):
                    self.paused = time.monotonic()
                if isinstance(row.event, CommandIntended) and view.state.standing == "paused":
                    seen.append(row)

        def diary(self, text):
            super().diary(text)
            if "ann: pause" in text:  # nothing is under way soon after, and time stands still
                import asyncio

                asyncio.get_running_loop().call_later(
                    0.4, lambda: self.ask("pellets", "resume", **HERE, reason="back from lunch")
                )

    person = Watching(home, (on(ExperimentFinished, experiment=2), "pause", {**HERE, "reason": "lunch"}))
    end, state, rows = run(campaign, home, hooks=person, steer=stays)
    assert end[0] == "done"
    assert not seen
    assert [e.by for e in _events(rows, CampaignPaused)] == ["ann"]
    assert [e.reason for e in _events(rows, CampaignResumed)] == ["back from lunch"]
    assert [e.state for e in state.experiments.values()] == ["done"] * 5
    assert max(Press.behaviour.executed.values()) == 1
    pause, resume = (next(r for r in rows if isinstance(r.event, k)) for k in (CampaignPaused, CampaignResumed))
    between = [r for r in rows if pause.seq < r.seq < resume.seq]
    assert not [r for r in between if isinstance(r.event, CommandIntended | ExperimentStarted)]


def test_a_pause_changes_no_proposal(campaign, home, tmp_path):
    from enginekit import observations, proposals

    undisturbed = run(campaign, tmp_path / "other", "concurrency=1")[2]
    person = Person(
        home,
        (on(ExperimentFinished, experiment=2), "pause", HERE),
        (on(CampaignPaused), "resume", HERE),
    )
    _, _, rows = run(campaign, home, "concurrency=1", hooks=person, steer=stays)
    assert _events(rows, CampaignResumed)
    assert proposals(rows) == proposals(undisturbed)
    assert observations(rows) == observations(undisturbed)


def test_paused_twice_resumed_without_need_and_for_another_process(campaign, home):
    first = on(ExperimentStarted, experiment=1)
    person = Person(
        home,
        (first, "resume", HERE),
        (first, "pause", HERE),
        (first, "pause", HERE),
        (first, "resume", HERE),
        (first, "stop", {"pid": 1, "host": "elsewhere"}),
    )
    end, _, _ = run(campaign, home, hooks=person, steer=stays)
    assert end[0] == "done"
    assert person.outcomes() == [
        ("refused", "the campaign is not paused: it is running"),
        ("done", "paused: nothing new is started, running steps finish"),
        ("refused", "the campaign is paused already"),
        ("done", "goes on"),
        ("refused", "it was meant for process 1 on elsewhere, which is gone"),
    ]


def test_stop_finishes_running_steps(campaign, home):
    person = Person(home, (on(CommandIntended, experiment=1), "stop", {**HERE, "reason": "weekend"}))
    end, state, rows = run(campaign, home, hooks=person, steer=stays)
    assert end == ("stopped", "stopped by ann: weekend")
    assert set(settled(rows)) <= {"succeeded", "not_started"}
    assert Press.behaviour.made_safe == 0
    end, state, _ = run(campaign, home)
    assert [e.state for e in state.experiments.values()] == ["done"] * 5
    assert max(Press.behaviour.executed.values()) == 1


def test_abort_makes_every_instrument_safe(campaign, home):
    person = Person(home, (on(CommandIntended, experiment=1), "abort", {**HERE, "reason": "smoke"}))
    end, _, rows = run(campaign, home, hooks=person, steer=stays)
    assert end == ("stopped", "aborted by ann: smoke")
    assert Press.behaviour.made_safe == 1
    assert "aborted" in settled(rows)
    assert any("press: safe state confirmed" in line for line in person.lines)


def test_what_a_dead_process_was_told_is_not_told_to_the_next(campaign, home):
    person = Person(home)
    run(campaign, home, "stop.experiments=5", hooks=StopAtOnce(), steer=lambda e: e.stop("the test says so"))
    person.ask("pellets", "abort", pid=1, host="elsewhere")
    end, _, _ = run(campaign, home)
    assert end[0] == "done"
    assert person.outcomes()[0][0] == "refused"


class StopAtOnce(Person):
    """Watches nothing."""

    def __init__(self) -> None:
        self.lines = []

    def recorded(self, rows, view):
        pass


class Killed(BaseException):
    """Stands for SIGKILL."""


def test_who_takes_over_from_a_dead_process_says_so(campaign, home, monkeypatch):
    append, left = Ledger.append, 8

    def dying(self, *arguments):
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        return append(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", dying)
        with pytest.raises(BaseException):  # noqa: B017, PT011  Killed, or the group that asyncio makes of it
            run(campaign, home, "concurrency=1")
    Press.behaviour.reconciles = "not_started"
    person = Person(home)
    _, _, rows = run(campaign, home, "concurrency=1", hooks=person)
    epochs = _events(rows, EpochRaised)
    assert ["took_over" in e.environment for e in epochs] == [False, True]
    assert epochs[1].environment["took_over"] == HERE
    assert any(
        f"taken over from process {HERE['pid']} on {HERE['host']}, which is gone" in line for line in person.lines
    )


# --- what a person knows better --------------------------------------------------------------------------------------


def test_a_person_proposes_and_numbers_follow(campaign, home):
    person = Person(
        home,
        (on(ExperimentStarted, experiment=1), "add", {"values": {"force": "33000 N"}, "reason": "a hunch"}),
    )
    end, state, rows = run(campaign, home, "concurrency=1", hooks=person, steer=stays)
    assert end[0] == "done"
    (added,) = _events(rows, CandidatesAdded)
    assert (added.first, added.by, added.candidates) == (2, "ann", [{"force": 33.0}])
    assert [e.round for e in state.experiments.values()][:3] == [1, 0, 2]
    assert len(state.experiments) == 5
    assert state.experiments[2].outcomes["size"].value == pytest.approx(1000 * 49.0)
    assert [(t.number, t.candidate["force"]) for t in state.history().trials][1] == (2, 33.0)
    ledger = Ledger(home)
    assert verify(ledger, "pellets").ok
    from sdl.audit import recompute
    from sdl.engine.worker import propose

    asked = recompute(ledger, "pellets", lambda *a: propose(*a).proposal)
    assert asked.ok, asked.text()
    ledger.close()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        pytest.param({"force": "200 kN"}, "lies outside the space", id="outside"),
        pytest.param({"force": "3 s"}, "force: ", id="unit"),
        pytest.param({"farce": "3"}, "did you mean 'force'", id="name"),
        pytest.param({}, "'force' is missing", id="missing"),
        pytest.param({"force": "much"}, "force: ", id="text"),
    ],
)
def test_a_proposal_that_does_not_fit_is_refused(campaign, home, values, said):
    person = Person(home, (on(ExperimentStarted, experiment=1), "add", {"values": values}))
    end, state, _ = run(campaign, home, hooks=person, steer=stays)
    assert end[0] == "done"
    assert len(state.experiments) == 5
    assert person.outcomes()[0][0] == "refused"
    assert said in person.outcomes()[0][1]


def test_beyond_the_budget_nothing_can_be_added(campaign, home):
    person = Person(home, (on(ExperimentStarted, experiment=5), "add", {"values": {"force": "33"}}))
    run(campaign, home, hooks=person, steer=stays)
    assert "the budget of 5 experiments is used up" in person.outcomes()[0][1]


def test_a_proposed_experiment_that_is_rejected_never_starts(campaign, home):
    person = Person(
        home,
        (on(ExperimentStarted, experiment=1), "add", {"values": {"force": "33"}}),
        (on(CandidatesAdded), "reject", {"experiment": 2, "reason": "done last year"}),
    )
    end, state, rows = run(campaign, home, "concurrency=1", hooks=person, steer=stays)
    assert end[0] == "done"
    assert state.experiments[2].state == "aborted"
    assert state.experiments[2].reason == "rejected by ann: done last year"
    assert not [e for e in _events(rows, ExperimentStarted) if e.experiment == 2]
    assert state.started == 5  # it took nothing of the budget
    ledger = Ledger(home)
    assert verify(ledger, "pellets").ok
    ledger.close()


def test_a_running_experiment_that_is_rejected_ends_after_its_step(campaign, home, lab):
    person = Person(
        home,
        (on(CommandIntended, experiment=1), "reject", {"experiment": 1, "reason": "wrong powder"}),
        (on(ExperimentFinished, experiment=1), "reject", {"experiment": 1}),
        (on(ExperimentFinished, experiment=1), "reject", {"experiment": 77}),
    )
    end, state, rows = run(campaign, home, "concurrency=1", hooks=person, steer=stays)
    assert end[0] == "done"
    assert state.experiments[1].state == "aborted"
    assert [e.action for e in _events(rows, CommandIntended) if e.experiment == 1] == ["press"]
    assert next(e for e in _events(rows, CommandSettled)).status == "succeeded"
    assert 1 not in [t.number for t in state.history().trials]
    assert "experiment 1 is over: aborted" in person.outcomes()[1][1]
    assert "there is no experiment 77" in person.outcomes()[2][1]


def test_a_retracted_observation_no_longer_counts(campaign, home):
    person = Person(
        home,
        (on(ExperimentFinished, experiment=1), "retract", {"observation": "1.size.1", "reason": "dirty anvil"}),
        (on(ExperimentFinished, experiment=1), "retract", {"observation": "1.size.1"}),
        (on(ExperimentFinished, experiment=1), "retract", {"observation": "1.sise.1"}),
    )
    _, state, rows = run(campaign, home, "concurrency=1", hooks=person, steer=stays)
    assert "size" not in state.experiments[1].outcomes
    assert 1 not in [t.number for t in state.history().trials]
    last = [e for e in _events(rows, ObservationRecorded) if e.experiment == 1][-1]
    assert (last.observation, last.status, last.supersedes) == ("1.size.2", "retracted", "1.size.1")
    assert last.flags == ["retracted by ann: dirty anvil"]
    assert [o[0] for o in person.outcomes()] == ["done", "refused", "refused"]
    ledger = Ledger(home)
    assert verify(ledger, "pellets").ok
    ledger.close()


def test_a_retraction_after_the_end_is_taken_at_the_next_run(campaign, home):
    end, state, _ = run(campaign, home)
    person = Person(home)
    person.ask("pellets", "retract", observation="3.size.1", reason="dirty anvil")
    end, state, _ = run(campaign, home)
    assert end[0] == "done"
    assert state.experiments[3].retracted == {"size"}
    assert person.outcomes()[0][0] == "done"


def test_an_odd_request_ends_nothing(campaign, home, monkeypatch):
    monkeypatch.setattr(requests.Desk, "_add", lambda self, request: 1 / 0)
    person = Person(home, (on(ExperimentStarted, experiment=1), "add", {"values": {"force": "33"}}))
    end, _, _ = run(campaign, home, hooks=person, steer=stays)
    assert end[0] == "done"
    assert person.outcomes() == [("refused", "it cannot be carried out: ZeroDivisionError: division by zero")]


def test_an_inbox_that_cannot_be_read_is_said_once_and_ends_nothing(campaign, home, monkeypatch):
    def broken(self, campaign):
        raise LedgerError("the disk is gone")

    def steer(engine):  # from here on: `open_session` has looked already
        stays(engine)
        monkeypatch.setattr(Inbox, "untaken", broken)

    person = Person(home)
    end, _, _ = run(campaign, home, hooks=person, steer=steer)
    assert end[0] == "done"
    assert sum("the disk is gone" in line for line in person.lines) == 1


def test_the_inbox_knows_no_other_requests(home):
    ledger = Ledger(home)
    with pytest.raises(InputError, match="'explode' cannot be asked"):
        Inbox(ledger).put("x", "ann", "explode", {})
    with pytest.raises(InputError, match="no request 7"):
        Inbox(ledger).one(7)
    ledger.close()


def test_a_waiting_campaign_says_so_in_the_ledger(campaign, home, lab):
    lab.unknown.add(2)
    states = []

    class Looking(Person):
        def recorded(self, rows, view):
            super().recorded(rows, view)
            if any(isinstance(r.event, CampaignWaiting | CampaignResumed) for r in rows):
                ledger = Ledger(home)
                states.append(ledger.campaign("pellets")["state"])
                ledger.close()

    person = Looking(home, (on(CampaignWaiting), *answer()))
    end, _, _ = run(campaign, home, hooks=person, steer=stays)
    assert end[0] == "done"
    assert states == ["waiting", "running"]


def test_raw_data_come_with_the_answer_where_an_analysis_wants_them(campaigns, tmp_path, monkeypatch):
    from sdl_instruments.ceramics import ImpedanceAnalyser

    from sdl.errors import OutcomeUnknown

    file = campaigns / "electrolyte_sintering.yaml"
    options = ("planner={type: sobol}", "stop={experiments: 1}")
    _, undisturbed, _ = run(file, tmp_path / "a", *options)
    command = undisturbed.experiments[1].commands[2]
    values = {k: str(v) for k, v in command.settled.values.items()}
    ledger = Ledger(tmp_path / "a")
    raw = {a["name"]: (ledger.artefacts.get(a["sha256"]), a["media_type"]) for a in command.settled.artefacts}
    ledger.close()

    async def silent(self, action, ctx, arguments):
        raise OutcomeUnknown("the cable was pulled")

    monkeypatch.setattr(ImpedanceAnalyser, "perform", silent)
    home = tmp_path / "b"
    ledger = Ledger(home)
    files = []
    for name, (data, kind) in raw.items():
        kept = ledger.artefacts.put(name, data, kind)
        files.append({"name": kept.name, "sha256": kept.sha256, "size": kept.size, "media_type": kept.media_type})
    ledger.close()
    person = Person(
        home,
        (on(QuestionOpened), *answer(values=values)),
        (on(RequestSettled, outcome="refused"), *answer(values=values, files=files)),
    )
    end, state, _ = run(file, home, *options, hooks=person, steer=stays)
    assert end[0] == "done"
    assert (
        "come from the analysis 'bulk_conductivity' of raw data: give the files with --file" in person.outcomes()[0][1]
    )
    assert state.experiments[1].outcomes == undisturbed.experiments[1].outcomes
    ledger = Ledger(home)
    assert verify(ledger, "electrolyte-sintering").ok
    ledger.close()
