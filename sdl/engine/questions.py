"""Questions to people: how they are put, what can be answered, and when they are asked again."""

from __future__ import annotations

import math
import os
import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sdl.clock import utc_text
from sdl.driver import FieldSpec
from sdl.driver.form import read_field
from sdl.errors import InputError, listed, near_miss
from sdl.ledger import QuestionAskedAgain, QuestionOpened
from sdl.ledger.inbox import who

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sdl.driver import Command, Form
    from sdl.loop import Ask, CampaignState, StepPlan

ANSWERS: Mapping[str, Mapping[str, str]] = {
    "command": {
        "done": "it happened, with this result",
        "did-not-happen": "it did not happen: do it",
        "discard": "give the sample up: the experiment is cleared away and says nothing of its candidate",
        "abort": "abort the campaign and make every instrument safe",
    },
    "form": {
        "done": "it was done, with this result",
        "failed": "it went wrong; say what with --reason",
        "abort": "abort the campaign and make every instrument safe",
    },
    "failure": {
        "retry": "send a new command for the step",
        "skip": "go on without the step",
        "fail": "the experiment has failed",
        "abort": "abort the campaign and make every instrument safe",
    },
    "approval": {
        "approve": "do it",
        "reject": "do not: the experiment is aborted and says nothing of its candidate",
        "abort": "abort the campaign and make every instrument safe",
    },
}
"""What a question is about → answer → what it means."""

WITHDRAWN = "withdrawn"
"""How a form is settled that nobody filled in and nobody needs any more."""

FAILED_SAMPLES = "failed_samples"
"""The field of `done` that names single samples that failed."""

ASK_AGAIN_AFTER = 24 * 3600.0
"""Seconds on the wall after which a question that nobody answered is asked again (chosen: once a day)."""


def answers_of(question: QuestionOpened, step: StepPlan | None = None) -> dict[str, str]:
    """Return what can be answered, and what it means.

    Args:
        question: the question; rows written before answers were recorded take all of what they are about.
        step: which it is about, where it is at hand: a step that gives an outcome cannot be skipped.
    """
    known = ANSWERS.get(question.about, {})
    words = question.answers or [a for a in known if not (a == "skip" and step is not None and step.gives)]
    return {word: known.get(word, "") for word in words}


def opened(
    state: CampaignState,
    ask: Ask,
    experiment: int,
    label: str,
    seconds: float = ASK_AGAIN_AFTER,
) -> QuestionOpened:
    """Return the row that asks.

    Args:
        state: of the campaign; questions are counted through.
        ask: what the loop wants to know.
        experiment: the first of those who wait.
        label: all who wait, in words.
        seconds: after which it is asked again.
    """
    step, command = ask.step, ask.command
    instrument = step.instrument if command is None else command.intended.instrument
    what = f"{instrument}.{step.action.name}, {step.action.effect}, {label}"
    if ask.about == "command" and command is not None:
        settled = command.settled
        said = "no answer" if settled is None or settled.error is None else settled.error
        text = f"Command {command.intended.command} ({what}): {said.rstrip('.')}. Did it happen?"
    elif ask.about == "failure":
        text = f"It failed ({what}): {ask.why.rstrip('.')}. How does the experiment go on?"
    else:
        text = f"Before it is sent ({what}): {ask.why.rstrip('.')}. Shall it be done?"
    now = time.time()
    shape = QuestionOpened("", ask.about, experiment, "", "")
    return QuestionOpened(
        question=f"Q{len(state.questions) + 1}",
        about=ask.about,
        experiment=experiment,
        command="" if command is None else command.intended.command,
        text=text,
        step=step.index,
        answers=list(answers_of(shape, step)),
        fields=[field_as_json(f) for f in _told(ask)],
        asker=f"{who()}, process {os.getpid()}",
        asked=utc_text(now),
        expires=utc_text(now + seconds),
    )


def form_opened(state: CampaignState, command: Command, form: Form, seconds: float = ASK_AGAIN_AFTER) -> QuestionOpened:
    """Return the row that asks what an action under way wants to know.

    Args:
        state: of the campaign; questions are counted through.
        command: of the action.
        form: what it asks.
        seconds: after which it is asked again.
    """
    now = time.time()
    return QuestionOpened(
        question=f"Q{len(state.questions) + 1}",
        about="form",
        experiment=command.experiment,
        command=command.id,
        text=f"{form.title}: {form.instructions.strip()}",
        step=command.step,
        answers=list(ANSWERS["form"]),
        fields=[field_as_json(f) for f in form.fields],
        asker=f"{who()}, process {os.getpid()}",
        asked=utc_text(now),
        expires=utc_text(now + seconds),
    )


def _told(ask: Ask) -> tuple[FieldSpec, ...]:
    """Return what `done` must tell: the result, and which samples failed."""
    if ask.about != "command":
        return ()
    on_samples = ask.command is not None and ask.command.intended.samples
    failed = FieldSpec(FAILED_SAMPLES, "text", default="", required=False)
    return (*ask.step.action.results, *([failed] if on_samples else ()))


def read_done(
    fields: Sequence[FieldSpec], given: Mapping[str, Any], samples: Sequence[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what a person told with `done`: the result in the fields' units, and sample → what went wrong with it alone.

    Where every sample failed, nothing need be told of the result.

    Args:
        fields: of the result.
        given: field → what was written; `failed_samples` as `SAMPLE=reason; SAMPLE=reason`.
        samples: of the command.

    Raises:
        InputError: a field is missing, surplus, of the wrong kind or unit, or outside its limits, or a sample is none of the
            command's; all are named.
    """
    known = {f.name: f for f in fields if f.name != FAILED_SAMPLES}
    written = {name: str(value) for name, value in given.items() if name != FAILED_SAMPLES}
    failed, wrong = _failed_samples(str(given.get(FAILED_SAMPLES) or ""), samples)
    wrong += [f"'{name}' is no result{near_miss(name, known)}" for name in written if name not in known]
    values: dict[str, Any] = {}
    if not samples or len(failed) < len(set(samples)) or any(v.strip() for v in written.values()):
        for name, spec in known.items():
            try:
                values[name] = read_field(spec, written.get(name, ""))
            except InputError as error:
                wrong.append(f"{name}: {error}")
    if wrong:
        raise InputError("; ".join(wrong))
    return values, failed


def _failed_samples(written: str, samples: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return sample → reason, and what is wrong with what was written; a sample may be named by its experiment's number."""
    numbers = {str(int(n)): s for s in samples if (n := s.rpartition("-")[2]).isdecimal()}
    failed, wrong = {}, []
    for part in re.split(r"[;\n]", written):
        name, is_pair, reason = (p.strip() for p in part.partition("="))
        if not name and not is_pair:
            continue
        sample = name if name in samples else numbers.get(name)
        if sample is None:
            wrong.append(f"'{name}' is no sample of the command{near_miss(name, samples)}; there are {listed(samples)}")
        elif not reason:
            wrong.append(f"'{name}': say what went wrong with it, as in {name}='it cracked'")
        else:
            failed[sample] = reason
    return failed, wrong


def expired(state: CampaignState, now: float, seconds: float = ASK_AGAIN_AFTER) -> list[QuestionAskedAgain]:
    """Return a row for every open question whose time is over; no answer is ever assumed.

    Args:
        state: of the campaign.
        now: on the wall, seconds since 1970.
        seconds: after which it is asked once more.
    """
    found = []
    for question in state.open_questions():
        again = state.asked_again.get(question.question)
        until = question.expires if again is None else again.expires
        if until is not None and datetime.fromisoformat(until).timestamp() <= now:
            times = 2 if again is None else again.times + 1
            found.append(QuestionAskedAgain(question.question, times, utc_text(now + seconds)))
    return found


def field_as_json(spec: FieldSpec) -> dict[str, Any]:
    """Return a field as JSON; a limit that is none is None."""
    return {
        "name": spec.name,
        "kind": spec.kind,
        "unit": spec.unit,
        "lower": spec.lower if math.isfinite(spec.lower) else None,
        "upper": spec.upper if math.isfinite(spec.upper) else None,
        "choices": list(spec.choices),
        "required": spec.required,
        "default": spec.default,
    }


def fields_of(recorded: Sequence[Mapping[str, Any]]) -> tuple[FieldSpec, ...]:
    """Return fields that were recorded with a question."""
    return tuple(
        FieldSpec(
            **{
                **one,
                "lower": -math.inf if one["lower"] is None else one["lower"],
                "upper": math.inf if one["upper"] is None else one["upper"],
                "choices": tuple(one["choices"]),
            }
        )
        for one in recorded
    )
