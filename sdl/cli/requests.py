"""`sdl questions`, `answer`, `pause`, `stop`, `abort`, `add`, `reject`, `retract` and `clear`."""

from __future__ import annotations

import mimetypes
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdl.cli.outcome import BAD_INPUT, DONE, home_of
from sdl.cli.people import take_at_once
from sdl.driver.form import said
from sdl.engine.questions import FAILED_SAMPLES, answers_of, fields_of, read_done
from sdl.errors import InputError, listed, near_miss
from sdl.ledger import Inbox, Ledger
from sdl.ledger.inbox import who
from sdl.ledger.place import has_ledger
from sdl.loop import CampaignState

if TYPE_CHECKING:
    from sdl.cli.outcome import Output
    from sdl.ledger import QuestionOpened

PATIENCE = 3.0
"""Real seconds that a command waits for the campaign to take its request (chosen: six looks of the campaign)."""

_POLL = 0.05


# --- questions -------------------------------------------------------------------------------------------------------


def show_questions(name: str | None, every: bool, home: Path | None, output: Output) -> int:
    """List open questions, or all; returns 0."""
    ledger = _opened(home)
    try:
        names = [str(c["name"]) for c in ledger.campaigns()] if name is None else [_known(ledger, name)]
        found = {n: CampaignState(ledger.rows(n)) for n in names}
    finally:
        ledger.close()
    data = []
    for campaign, state in found.items():
        for question in state.questions.values():
            if every or question.question not in state.answers:
                data.append(_as_json(campaign, question, state))
                _show(campaign, question, state, output)
    if not data:
        output.say("no open questions" if not every else "no questions")
    output.emit({"questions": data})
    return DONE


def _show(campaign: str, question: QuestionOpened, state: CampaignState, output: Output) -> None:
    again = state.asked_again.get(question.question)
    given = state.answers.get(question.question)
    asked = "" if question.asked is None else f", asked {question.asked[:19].replace('T', ' ')} UTC"
    louder = "" if again is None or given is not None else f", ASKED {again.times} TIMES"
    output.say(f"{campaign}/{question.question}  experiment {question.experiment}{asked}{louder}")
    output.say(f"  {question.text}")
    if given is not None:
        why = f" ({given.reason})" if given.reason else ""
        output.say(f"  answered: {given.answer}, by {given.by}{why}")
        return
    for word, meaning in answers_of(question).items():
        told = fields_of(question.fields) if word == "done" else ()
        fields = tuple(f for f in told if f.name != FAILED_SAMPLES)
        written = "".join(f" {f.name}=…" for f in fields)
        output.say(f"  sdl answer {campaign}/{question.question} {word}{written}   {meaning}")
        for field in fields:
            output.say(f"      {field.name}: {said(field)}")
        if len(fields) < len(told):
            samples = listed(_samples(question, state))
            output.say(
                f"      --failed SAMPLE=REASON where one of them failed: {samples}; without a result where all did"
            )


def _as_json(campaign: str, question: QuestionOpened, state: CampaignState) -> dict[str, Any]:
    again, given = state.asked_again.get(question.question), state.answers.get(question.question)
    return {
        "id": f"{campaign}/{question.question}",
        "campaign": campaign,
        "about": question.about,
        "experiment": question.experiment,
        "command": question.command or None,
        "text": question.text,
        "answers": answers_of(question),
        "fields": question.fields,
        "samples": _samples(question, state),
        "asker": question.asker,
        "asked": question.asked,
        "times": 1 if again is None else again.times,
        "expires": question.expires if again is None else again.expires,
        "answer": None if given is None else given.answer,
        "values": None if given is None else given.values,
        "answerer": None if given is None else given.by,
        "reason": None if given is None else given.reason,
    }


def answer(
    wanted: str,
    word: str,
    values: tuple[str, ...],
    files: tuple[str, ...],
    reason: str,
    as_: str | None,
    home: Path | None,
    output: Output,
    failed: tuple[str, ...] = (),
) -> int:
    """Answer a question; returns the exit code.

    Raises:
        InputError: there is no such question or answer, it was answered already, or a value does not fit.
    """
    ledger = _opened(home)
    try:
        campaign, question, state = _find(ledger, wanted)
        given = state.answers.get(question.question)
        if given is not None:
            raise InputError(
                f"question {campaign}/{question.question} was answered already: {given.answer}, by {given.by}"
            )
        allowed = answers_of(question)
        if word not in allowed:
            raise InputError(f"'{word}' is no answer{near_miss(word, allowed)}; answers are {listed(allowed)}")
        if question.about == "form" and word == "failed" and not reason:
            raise InputError("say what went wrong with --reason: the experiment fails with these words")
        written = _assigned(values)
        if failed:
            written[FAILED_SAMPLES] = "\n".join([written.get(FAILED_SAMPLES, ""), *failed])
        if word == "done" and question.fields:
            read_done(fields_of(question.fields), written, _samples(question, state))  # before anybody waits for it
        body: dict[str, Any] = {"question": question.question, "answer": word, "values": written, "reason": reason}
        body["files"] = [_kept(ledger, f) for f in files]
        return _put(ledger, campaign, "answer", body, as_, output)
    finally:
        ledger.close()


def _find(ledger: Ledger, wanted: str) -> tuple[str, QuestionOpened, CampaignState]:
    """Return the question of an id: with its campaign, or alone where only one campaign has it open."""
    campaign, _, question = wanted.rpartition("/")
    names = [_known(ledger, campaign)] if campaign else [str(c["name"]) for c in ledger.campaigns()]
    states = {n: CampaignState(ledger.rows(n)) for n in names}
    found = [n for n, s in states.items() if question in s.questions and (campaign or question not in s.answers)]
    if len(found) == 1:
        return found[0], states[found[0]].questions[question], states[found[0]]
    if found:
        raise InputError(
            f"{len(found)} campaigns have a question '{question}': {listed(f'{n}/{question}' for n in found)}"
        )
    open_ = listed(f"{n}/{q.question}" for n, s in states.items() for q in s.open_questions())
    raise InputError(f"there is no question '{wanted}'; open: {open_}")


def _samples(question: QuestionOpened, state: CampaignState) -> list[str]:
    """Return the samples of the command that a question is about."""
    record = state.experiments.get(question.experiment)
    known = () if record is None else record.commands.values()
    return next((c.intended.samples for c in known if c.intended.command == question.command), [])


def _kept(ledger: Ledger, written: str) -> dict[str, Any]:
    """Store a file among the artefacts and return how the journal names it."""
    name, is_named, path = written.partition("=")
    place = Path(path if is_named else written)
    try:
        data = place.read_bytes()
    except OSError as error:
        raise InputError(f"{place} cannot be read: {error.strerror}") from error
    kind = mimetypes.guess_type(place.name)[0] or "application/octet-stream"
    kept = ledger.artefacts.put(name if is_named else place.name, data, kind)
    return {"name": kept.name, "sha256": kept.sha256, "size": kept.size, "media_type": kept.media_type}


# --- requests --------------------------------------------------------------------------------------------------------


def steer(name: str, kind: str, reason: str, as_: str | None, home: Path | None, output: Output) -> int:
    """Ask the process that runs a campaign to pause, resume, stop or abort; returns the exit code.

    Raises:
        InputError: there is no such campaign, or no process runs it.
    """
    ledger = _opened(home)
    try:
        _known(ledger, name)
        owner = owner_here(ledger, name)
        if owner is None:
            raise InputError(f"no process runs campaign '{name}': there is nothing to {kind}; see sdl status {name}")
        body = {"reason": reason, "pid": owner[0], "host": owner[1]}
        return _put(ledger, name, kind, body, as_, output)
    finally:
        ledger.close()


def add(name: str, values: tuple[str, ...], reason: str, as_: str | None, home: Path | None, output: Output) -> int:
    """Propose an experiment; returns the exit code."""
    return ask(name, "add", {"values": _assigned(values)}, reason, as_, home, output)


def ask(
    name: str,
    kind: str,
    body: Mapping[str, Any],
    reason: str,
    as_: str | None,
    home: Path | None,
    output: Output,
) -> int:
    """Ask something of a campaign, whether a process runs it or not; returns the exit code.

    Raises:
        InputError: there is no such campaign.
    """
    ledger = _opened(home)
    try:
        return _put(ledger, _known(ledger, name), kind, {**body, "reason": reason}, as_, output)
    finally:
        ledger.close()


def _put(ledger: Ledger, name: str, kind: str, body: Mapping[str, Any], as_: str | None, output: Output) -> int:
    """Write a request, wait for it to be taken, and say what came of it."""
    inbox = Inbox(ledger)
    request = inbox.put(name, who(as_), kind, body)
    owner = owner_here(ledger, name)
    if owner is None:
        take_at_once(ledger, name)
    limit = time.monotonic() + (0.0 if owner is None else PATIENCE)
    while (found := inbox.one(request)).outcome is None and time.monotonic() < limit:
        time.sleep(_POLL)
    data: dict[str, Any] = {
        "campaign": name,
        "request": request,
        "kind": kind,
        "outcome": found.outcome,
        "said": found.said,
    }
    if found.outcome is not None:
        output.say(f"{name}: {found.said}" if found.outcome == "done" else f"{name}: refused: {found.said}")
    elif owner is None:
        output.say(f"{name}: noted as request {request}; no process runs the campaign, it is taken at the next sdl run")
    else:
        output.say(f"{name}: noted as request {request}; process {owner[0]} on {owner[1]} has not taken it yet")
    output.emit(data)
    return BAD_INPUT if found.outcome == "refused" else DONE


def owner_here(ledger: Ledger, name: str) -> tuple[int, str] | None:
    """Return (pid, machine) of the process that runs a campaign, as it wrote them into the ledger; or None."""
    recorded = ledger.campaign(name) if ledger.is_owned(name) else None
    return None if recorded is None else (int(recorded["pid"] or 0), str(recorded["host"] or "?"))


def _assigned(pairs: Sequence[str]) -> dict[str, str]:
    """Return `name=value` pairs as a mapping."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, is_pair, value = pair.partition("=")
        if not is_pair or not name:
            raise InputError(f"'{pair}' is no NAME=VALUE; write a value with its unit in quotes, such as mass='2 g'")
        if name in found:
            raise InputError(f"'{name}' is given twice")
        found[name] = value
    return found


def _opened(home: Path | None) -> Ledger:
    folder = home_of(home)
    if not has_ledger(folder):
        raise InputError(f"there is no ledger in {folder}; choose another --home")
    return Ledger(folder)


def _known(ledger: Ledger, name: str) -> str:
    if ledger.campaign(name) is None:
        raise ledger.unknown(name)
    return name
