"""What people ask of a running campaign from elsewhere: each request becomes journal rows, or is refused with the reason."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from sdl.driver import ArtefactRef, Reply
from sdl.engine.constraining import add_constraint
from sdl.engine.questions import answers_of, fields_of, read_done
from sdl.errors import InputError, LedgerError, UnitError, brief, listed, near_miss
from sdl.ledger import (
    CampaignPaused,
    CampaignResumed,
    CandidatesAdded,
    Event,
    ExperimentRejected,
    ObservationRecorded,
    QuestionAnswered,
    RequestSettled,
    SampleCleared,
    StepSkipped,
)
from sdl.ledger.queries import counting_observations
from sdl.loop.spending import too_many
from sdl.preflight.constrained import constrained
from sdl.space import Candidate, Categorical
from sdl.units import DIMENSIONLESS, read_quantity

if TYPE_CHECKING:
    from sdl.engine.engine import Engine
    from sdl.ledger import QuestionOpened, Request
    from sdl.loop import ExperimentRecord


@dataclass
class Taken:
    """What a request leads to.

    Attributes:
        said: what the person is told.
        events: rows for the journal.
        then: what to do once they stand there.
    """

    said: str
    events: list[Event] = field(default_factory=list)
    then: list[Callable[[], None]] = field(default_factory=list)


class Desk:
    """Takes requests for an engine.

    Args:
        engine: whose campaign it is.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kinds: Mapping[str, Callable[[Request], Taken]] = {
            "answer": self._answer,
            "pause": self._pause,
            "resume": self._resume,
            "stop": self._stop,
            "abort": self._abort,
            "add": self._add,
            "reject": self._reject,
            "retract": self._retract,
            "clear": self._clear,
        }

    def take(self, request: Request) -> RequestSettled:
        """Carry a request out, or refuse it; either stands in the journal when this returns.

        Raises:
            LedgerError: the journal cannot be written; the request stays.
        """
        engine = self._engine
        try:
            taken = self._kinds[request.kind](request)
            settled = RequestSettled(request.id, request.kind, request.by, "done", taken.said)
        except InputError as error:
            taken = Taken(str(error))
            settled = RequestSettled(request.id, request.kind, request.by, "refused", str(error))
        except LedgerError:
            raise
        except Exception as error:  # noqa: BLE001  an odd request must not end a campaign
            said = f"it cannot be carried out: {type(error).__name__}: {error}"
            taken, settled = Taken(said), RequestSettled(request.id, request.kind, request.by, "refused", said)
        events = taken.events
        if (
            events
            and engine.state.standing == "waiting"
            and not isinstance(events[0], CampaignPaused | CampaignResumed)
        ):
            events = [*events, CampaignResumed(request.by, request.kind)]
        engine.record([*events, settled])
        refused = settled.outcome == "refused"
        engine.hooks.diary(f"{request.by}: {request.kind}{' refused' if refused else ''}: {settled.said}")
        for act in taken.then:
            act()
        engine.wake()
        return settled

    # --- questions ---------------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Taken:
        body, state = request.body, self._engine.state
        question = state.questions.get(str(body.get("question")))
        if question is None:
            open_ = listed(q.question for q in state.open_questions())
            raise InputError(f"there is no question {brief(body.get('question'))}; open: {open_}")
        before = state.answers.get(question.question)
        if before is not None:
            raise InputError(f"question {question.question} was answered already: {before.answer}, by {before.by}")
        answer = str(body.get("answer"))
        allowed = answers_of(question, None if question.step is None else self._engine.plan.step(question.step))
        if answer not in allowed:
            raise InputError(
                f"{brief(answer)} is no answer to {question.question}{near_miss(answer, allowed)}; answers are {listed(allowed)}"
            )
        if answer != "done" and (body.get("values") or body.get("files")):
            raise InputError(f"only the answer 'done' comes with values or files, not '{answer}'")
        reason = str(body.get("reason") or "")
        if answer == "abort":
            said = f"{question.question} answered: abort"
            event = QuestionAnswered(question.question, answer, {}, request.by, reason)
            return Taken(said, [event], [lambda: self._engine.begin_abort(f"aborted by {request.by}")])
        if question.about == "command":
            return self._about_command(request, question, answer, reason)
        if question.about == "form":
            return self._form(request, question, answer, reason)
        taken = Taken(f"{question.question} answered: {answer}")
        for one in self._alike(question, answer):
            taken.events.append(QuestionAnswered(one.question, answer, {}, request.by, reason))
            if answer == "reject":
                taken.events.append(ExperimentRejected(one.experiment, request.by, reason or "not approved"))
            if answer == "skip" and one.step is not None:
                said = f"skipped by {request.by}{': ' + reason if reason else ''}"
                taken.events.append(StepSkipped(one.experiment, one.step, said))
        return taken

    def _alike(self, question: QuestionOpened, answer: str) -> list[QuestionOpened]:
        """Return the question, and others that the same approval settles: where only the first of a step needs one."""
        if answer != "approve" or question.step is None:
            return [question]
        policy = self._engine.plan.step(question.step).approve
        if policy is None or policy.when != "first":
            return [question]
        open_ = self._engine.state.open_questions()
        return [q for q in open_ if q.about == "approval" and q.step == question.step]

    def _form(self, request: Request, question: QuestionOpened, answer: str, reason: str) -> Taken:
        """Give an action what it asked for; where its process died meanwhile, that is what became of its command."""
        engine = self._engine
        if answer == "failed" and not reason:
            raise InputError("say what went wrong with --reason: the experiment fails with these words")
        fields = fields_of(question.fields)
        if not engine.asking.is_asking(question.question):
            known = [c for e in engine.state.experiments.values() for c in e.commands.values() if c.status == "open"]
            is_open = any(c.intended.command == question.command for c in known)
            step = engine.plan.step(engine.command(question.command).step) if is_open else None
            if (
                step is None
                or engine.lab.is_served
                or {f.name for f in fields} != {f.name for f in step.action.results}
            ):
                raise InputError(
                    "the process that asked is gone; it asks anew where it is still needed: see sdl questions"
                )
            return self._about_command(request, question, answer, reason)
        if request.body.get("files"):
            raise InputError("the action that asks takes no files")
        values: dict[str, Any] = {}
        if answer == "done":
            values, _ = read_done(fields, request.body.get("values") or {}, ())
        fault = None if answer == "done" else f"the person says that it failed: {reason}"
        told = partial(engine.asking.answered, question.question, request.by, values, fault)
        event = QuestionAnswered(question.question, answer, values, request.by, reason)
        return Taken(f"{question.question} answered: {answer}", [event], [told])

    def _about_command(self, request: Request, question: QuestionOpened, answer: str, reason: str) -> Taken:
        """Turn what a person knows of a command into the row that settles it."""
        engine = self._engine
        command = engine.command(question.command)
        step = engine.plan.step(command.step)
        why = f"{request.by} says so{': ' + reason if reason else ''}"
        values: dict[str, Any] = {}
        if answer == "done":
            values, failed = read_done(step.action.results, request.body.get("values") or {}, command.samples)
            files = tuple(ArtefactRef(**f) for f in request.body.get("files") or ())
            if step.analysis is not None and not files and len(failed) < max(1, len(command.samples)):
                raise InputError(
                    f"the outcomes of {step.instrument}.{step.action.name} come from the analysis '{step.analysis}' of raw data: "
                    "give the files with --file, or answer 'did-not-happen' or 'discard'"
                )
            reply = Reply(command.id, "succeeded", values, files, failed_samples=failed)
        elif answer == "failed":
            reply = Reply(command.id, "failed", error=f"the person says that it failed: {reason}")
        elif answer == "did-not-happen":
            reply = Reply(command.id, "not_started", error=why)
        else:
            reply = Reply(command.id, "aborted", error=f"the sample was given up: {why}")
        answered = QuestionAnswered(question.question, answer, values, request.by, reason)
        return Taken(
            f"{question.question} answered: {answer}",
            [answered, *engine.settlement(reply, "answered")],
            [
                lambda: engine.lab.answered(command, "aborted" if reply.status == "failed" else reply.status),
                # Who shares it may be waiting for others to send it again with.
                *(partial(engine.let_go_on, number) for number in engine.state.members(command.id)),
            ],
        )

    # --- the course of the campaign ----------------------------------------------------------------------------------

    def _mine(self, request: Request) -> None:
        """Refuse what was meant for another process than this one."""
        owner = (request.body.get("pid"), request.body.get("host"))
        if owner != (os.getpid(), socket.gethostname()):
            raise InputError(f"it was meant for process {owner[0]} on {owner[1]}, which is gone")
        if self._engine.is_aborting or (self._engine.is_stopping and request.kind != "abort"):
            raise InputError("the campaign is about to end already")

    def _pause(self, request: Request) -> Taken:
        self._mine(request)
        if self._engine.state.standing == "paused":
            raise InputError("the campaign is paused already")
        event = CampaignPaused(request.by, _reason(request))
        return Taken("paused: nothing new is started, running steps finish", [event], [self._engine.hold])

    def _resume(self, request: Request) -> Taken:
        self._mine(request)
        if self._engine.state.standing != "paused":
            raise InputError(f"the campaign is not paused: it is {self._engine.state.standing}")
        return Taken("goes on", [CampaignResumed(request.by, _reason(request))])

    def _stop(self, request: Request) -> Taken:
        self._mine(request)
        why = f"stopped by {_said(request)}"
        return Taken("stopping: running steps finish", [], [lambda: self._engine.stop(why)])

    def _abort(self, request: Request) -> Taken:
        self._mine(request)
        why = f"aborted by {_said(request)}"
        said = "aborting: running steps are aborted, then every instrument is made safe"
        return Taken(said, [], [lambda: self._engine.begin_abort(why)])

    # --- what a person knows better ----------------------------------------------------------------------------------

    def _add(self, request: Request) -> Taken:
        state, plan = self._engine.state, self._engine.plan
        space = constrained(self._engine.checked, state.constraints).campaign.space
        candidate = Candidate(self._values(request.body.get("values") or {}))
        problems = space.problems(candidate)
        if problems:
            raise InputError(f"{dict(candidate)} lies outside the space: {'; '.join(problems)}")
        for step in plan.steps:
            step.values(candidate)
        plan.cost_of(candidate, plan.source)  # refuses what has no cost above 0
        left = plan.budget - state.started - len(state.in_state("proposed"))
        if left < 1:
            raise InputError(
                f"the budget of {plan.budget} experiments is used up or promised; reject one first, or begin another campaign"
            )
        number = max(state.experiments, default=0) + 1
        if not plan.every_step and (over := too_many(plan, state, [(number, candidate, plan.source)])):
            raise InputError(f"{over[0][1]}; reject one first, or amend 'stop'")
        event = CandidatesAdded([dict(candidate)], number, request.by, _reason(request))
        when = "it starts as soon as there is room" if plan.steps else "people carry it out"
        return Taken(f"experiment {number} is proposed; {when}", [event])

    def _values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameter → value in the parameter's unit."""
        parameters = self._engine.checked.campaign.space.parameters
        wrong = [f"'{name}' is no parameter{near_miss(name, parameters)}" for name in given if name not in parameters]
        wrong += [f"'{name}' is missing" for name in parameters if name not in given]
        values: dict[str, Any] = {}
        for name, parameter in parameters.items():
            if name not in given:
                continue
            if isinstance(parameter, Categorical):
                values[name] = str(given[name])
                continue
            try:
                quantity = read_quantity(given[name])
                value = quantity.value if quantity.unit == DIMENSIONLESS else quantity.to(parameter.unit)
            except UnitError as error:
                wrong.append(f"{name}: {error}")
                continue
            values[name] = int(value) if parameter.type == "integer" and value.is_integer() else value
        if wrong:
            raise InputError(f"{'; '.join(wrong)}; parameters are {listed(parameters)}")
        return values

    def _reject(self, request: Request) -> Taken:
        record = self._experiment(request.body.get("experiment"))
        text = request.body.get("constraint")
        if text is None:
            return self._give_up(request, record)
        found = (self._engine.checked, self._engine.state, record, str(text), request.by, _reason(request))
        events, said = add_constraint(*found)
        if record.state not in {"proposed", "running"} or record.rejected is not None:
            return Taken(said, events)  # it is over, or given up already; what it taught is not
        taken = self._give_up(request, record)
        return Taken(f"{taken.said}; {said}", [*taken.events, *events], taken.then)

    def _give_up(self, request: Request, record: ExperimentRecord) -> Taken:
        reason = _reason(request)
        if record.state not in {"proposed", "running"}:
            raise InputError(
                f"experiment {record.number} is over: {record.state}; sdl retract takes an observation back"
            )
        if record.rejected is not None:
            raise InputError(f"experiment {record.number} was {record.rejected}")
        event = ExperimentRejected(record.number, request.by, reason)
        if record.state == "proposed":
            return Taken(f"experiment {record.number} will not be started", [event])
        when = " after the step that it is at" if self._engine.plan.steps else ""
        said = f"experiment {record.number} ends as aborted{when}"
        question = self._engine.state.questions.get(record.asked or "")
        if question is None or question.about == "command":
            return Taken(said, [event], [lambda: self._engine.let_go_on(record.number)])
        answer = "reject" if question.about == "approval" else "fail"
        return Taken(said, [QuestionAnswered(question.question, answer, {}, request.by, reason), event])

    def _retract(self, request: Request) -> Taken:
        wanted = str(request.body.get("observation"))
        counting = {
            o.observation: o
            for o in counting_observations(self._engine.ledger.rows(self._engine.name)).values()
            if o.experiment in self._engine.state.experiments
        }
        if wanted not in counting:
            raise InputError(
                f"{brief(wanted)} is no observation that counts{near_miss(wanted, counting)}; they are called "
                "EXPERIMENT.OUTCOME.N, such as 3.density.1, and stand in sdl export --format json"
            )
        old = counting[wanted]
        if self._engine.state.experiments[old.experiment].state == "running":
            raise InputError(f"experiment {old.experiment} is still running; retract when it is over, or reject it")
        stem, _, number = old.observation.rpartition(".")
        event = ObservationRecorded(
            observation=f"{stem}.{int(number) + 1}",
            experiment=old.experiment,
            outcome=old.outcome,
            value=old.value,
            uncertainty=old.uncertainty,
            unit=old.unit,
            source=old.source,
            status="retracted",
            command=old.command,
            supersedes=old.observation,
            lower=old.lower,
            upper=old.upper,
            flags=[f"retracted by {_said(request)}"],
            analysis=old.analysis,
        )
        return Taken(f"{old.observation} no longer counts; planners will not see experiment {old.experiment}", [event])

    def _clear(self, request: Request) -> Taken:
        state, wanted = self._engine.state, request.body.get("sample")
        found = [e for e in state.experiments.values() if wanted in {e.sample, e.number, str(e.number)} and e.sample]
        if not found:
            raise InputError(f"there is no sample {brief(wanted)}; samples are called like '{self._engine.name}-0001'")
        record = found[0]
        if record.state == "running":
            raise InputError(f"experiment {record.number} is still at work on '{record.sample}'; reject it first")
        if not record.held:
            raise InputError(f"'{record.sample}' holds no room in the lab")
        event = SampleCleared(record.number, record.sample, request.by, _reason(request))
        said = f"'{record.sample}' was taken away; room is free at {listed(record.held)}"
        return Taken(said, [event], [lambda: self._engine.lab.cleared(record.sample)])

    def _experiment(self, number: Any) -> ExperimentRecord:  # noqa: ANN401  as it came
        state = self._engine.state
        if isinstance(number, bool) or not isinstance(number, int) or number not in state.experiments:
            there = f"1 to {max(state.experiments)}" if state.experiments else "none"
            raise InputError(f"there is no experiment {brief(number)}; there is {there}")
        return state.experiments[number]


def _reason(request: Request) -> str:
    return str(request.body.get("reason") or "")


def _said(request: Request) -> str:
    reason = _reason(request)
    return f"{request.by}: {reason}" if reason else request.by
