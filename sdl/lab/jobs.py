"""Commands under way at a lab server: what is known of each, and who waits for news of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdl.driver import Command, Form, Reply
    from sdl.lab.held import Held


@dataclass(frozen=True)
class Question:
    """What a person is to be asked for a running command."""

    id: str
    form: Form


@dataclass(frozen=True)
class Standing:
    """How a command stands.

    Attributes:
        command: its id.
        state: `accepted`, `started` or `finished`.
        reply: once finished.
        started: moment at which the driver was called, or None.
        seconds: how long the action is expected to take, or None where its driver cannot tell.
        fraction: how far it is, 0 to 1.
        message: what it says of that.
        question: what its campaign's people are asked, or None.
        held: what it waits for, where only a person can end that, or None.
    """

    command: str
    state: str
    reply: Reply | None = None
    started: float | None = None
    seconds: float | None = None
    fraction: float = 0.0
    message: str = ""
    question: Question | None = None
    held: Held | None = None


@dataclass(eq=False)
class Job:
    """A command that a task of this life of the server works on, and who waits for news of it.

    From `is_replying` on it is known how it ended, and the reply is being written down: it can no longer be sent away.
    """

    command: Command
    begins_sample: bool
    actor: AbstractContextManager[None]
    task: asyncio.Task[None] | None = None
    reply: Reply | None = None
    fraction: float = 0.0
    message: str = ""
    question: Question | None = None
    held: Held | None = None
    answer: asyncio.Future[Mapping[str, Any]] | None = None
    is_begun: bool = False
    is_withdrawn: bool = False
    is_broken: bool = False
    is_replying: bool = False
    waiting: list[asyncio.Future[None]] = field(default_factory=list)

    def tell(self) -> None:
        """Wake everyone who waits for news of it."""
        waiting, self.waiting = self.waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


def said(command: Command) -> str:
    """Return a command in a few words."""
    return (
        f"{command.instrument}.{command.action} of {command.campaign}, experiment {command.experiment} ({command.id})"
    )
