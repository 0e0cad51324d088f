"""What travels between a lab server and its clients, as models from which the wire schema (OpenAPI) is made."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sdl.driver import Command, Health, Reply, SafeReport


class Message(BaseModel):
    """Base of all messages that come in: unknown words are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Submission(Message):
    """A command to be carried out."""

    command: Command
    begins_sample: bool = Field(description="Whether it is the first step of a sample: such commands let others pass.")
    digest: str = Field(description="SHA-256 over instrument, action and arguments, as the sender computed it.")


class Join(Message):
    """A process takes a campaign over."""

    name: str = Field(description="The campaign's name.", max_length=100)
    epoch: int = Field(description="Of the process; commands of older ones are refused from here on.", ge=1)
    at_least: float | None = Field(
        None, description="The last moment in its ledger (s since 1970): scaled time goes on no earlier."
    )


class Epoch(Message):
    """Who asks on behalf of a campaign."""

    epoch: int = Field(ge=1)


class Withdrawal(Epoch):
    """Who sends its commands away."""

    commands: tuple[Submission, ...] = Field(
        (),
        description="Sent, and not yet acknowledged: one that is not here yet is answered as not started, for good.",
    )


class Settlement(Message):
    """Which dead process's command is asked about."""

    campaign: str
    epoch: int = Field(description="Of the dead process.", ge=0)


class Answer(Message):
    """What a person said; neither values nor a fault: nobody could be asked."""

    question: str
    values: dict[str, Any] | None = Field(None, description="Of the form's fields, in their units.")
    fault: str | None = Field(None, description="What the person says went wrong.")


class Fate(Message):
    """What a person told of a command of which nobody knew."""

    status: Literal["succeeded", "aborted", "not_started", "unknown"] = Field(
        description="`unknown`: it stays so, and the action may simply be done again."
    )


class DurationQuestion(Message):
    """Which action's duration is asked for."""

    instrument: str
    action: str
    arguments: dict[str, Any]


class ClockSaid(BaseModel):
    """The lab's clock: `unix` and `lab` are one moment, by the machine's clock and in lab time."""

    type: Literal["real", "scaled", "virtual"]
    factor: float = Field(description="Lab seconds per real second.")
    unix: float = Field(description="s since 1970, by the server's machine.")
    lab: float = Field(description="s since 1970, lab time.")
    world: str | None = Field(None, description="HOST:PORT of the world that keeps virtual time, or null.")


class InstrumentSaid(BaseModel):
    """An instrument of the lab."""

    driver: str
    description: dict[str, Any] = Field(
        description="Actions with parameters, results, units, limits; no limit is null."
    )
    place: str | None = None
    safe_after: float | None = Field(
        None, description="Real seconds after which a gone campaign's instrument is made safe."
    )


class LabSaid(BaseModel):
    """A lab and what it can do."""

    name: str
    id: str = Field(description="Of the command log; a campaign goes on only on the log to which it sent commands.")
    boot: str = Field(description="Another one after every start of the server.")
    version: str = Field(description="Of the platform.")
    clock: ClockSaid
    instruments: dict[str, InstrumentSaid]
    places: dict[str, int] = Field(description="Place → how many samples it holds.")
    containers: dict[str, float] = Field(description="Kind → the temperature that it stands, degC.")
    consumables: dict[str, tuple[float, str]] = Field(description="Name → amount and unit at the beginning.")


class QuestionSaid(BaseModel):
    """What the campaign's people are asked."""

    id: str
    form: dict[str, Any]


class HeldSaid(BaseModel):
    """What a command waits for, where only a person can end that."""

    text: str
    by: str | None = Field(None, description="The command of which nobody knows what became of it; null: for room.")


class StandingSaid(BaseModel):
    """How a command stands."""

    command: str
    state: Literal["accepted", "started", "finished"]
    reply: Reply | None = Field(None, description="Once finished.")
    started: float | None = Field(
        None, description="Moment, s since 1970, lab time; null before it, and once finished."
    )
    seconds: float | None = Field(
        None, description="How long the action is expected to take; null where its driver cannot tell."
    )
    fraction: float = Field(0.0, description="How far it is, 0 to 1.")
    message: str = ""
    question: QuestionSaid | None = None
    held: HeldSaid | None = None


class RecordSaid(BaseModel):
    """A command as the command log keeps it."""

    command: Command
    begins_sample: bool
    state: Literal["accepted", "started", "finished"]
    accepted: float = Field(description="Moment, s since 1970, lab time.")
    started: float | None = None
    finished: float | None = None
    reply: Reply | None = None
    answer: str | None = Field(None, description="What a person told, where the reply is that nobody knows.")


class CampaignSaid(BaseModel):
    """A campaign as the lab server knows it."""

    id: str
    name: str
    epoch: int = Field(description="0 where it is not known.")


class HealthSaid(BaseModel):
    """Health of every instrument, and what each is doing."""

    health: dict[str, Health]
    busy: dict[str, str]
    is_stopping: bool
    stopped: str | None = Field(
        None, description="Who stopped the lab by /lab/safe, and when; null: it is not stopped."
    )


class SafeSaid(BaseModel):
    """What the safe states were read back as."""

    instruments: dict[str, SafeReport]


class ReleaseSaid(BaseModel):
    """That the lab is released."""

    stopped: str | None = Field(description="Who had stopped it, and when; null: it was not stopped.")


class ErrorSaid(BaseModel):
    """Why something was refused; nothing was moved."""

    error: str
