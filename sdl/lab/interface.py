"""What the engine asks of a lab, be it embedded or a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sdl.driver import Command, Health, Reply, SafeReport
    from sdl.driver.form import Ask

Progress = Callable[[float, str], Awaitable[None]]


class Lab(Protocol):
    """A lab as the engine sees it.

    Attributes:
        is_served: whether it is a process of its own, which other campaigns may share.
    """

    is_served: bool

    async def open(self) -> None:
        """Connect every instrument; raises where one does not answer."""

    async def close(self) -> None:
        """Let go of every instrument."""

    async def execute(self, command: Command, begins_sample: bool, progress: Progress | None = None) -> Reply:
        """Queue for the instrument, carry the command out, and answer.

        Args:
            command: what is asked; its id is accepted once.
            begins_sample: whether it is the first step of a sample; such commands let others pass.
            progress: told how far it is.

        Raises:
            ProtocolError: the id was accepted before, or the epoch is old.
        """

    def put_questions_to(self, ask: Ask) -> None:
        """Say how a person is asked what an action wants to know; until then nobody can be asked."""

    def when_started(self, tell: Callable[[Command, float], None]) -> None:
        """Say who is told when an instrument begins a command: which, and the moment of lab time, s since 1970.

        A lab in another process tells it when it hears of it, and in shared virtual time not at all: the reply has the moment.
        """

    def reserve(self, commands: Iterable[tuple[str, str]]) -> None:
        """Keep instruments for commands of a dead process until each was reconciled; they may still be at work on them.

        Args:
            commands: (command id, instrument) of every open command; given before the first command is sent.
        """

    def locate(self, samples: Mapping[str, Sequence[str]], coming: Collection[str] = ()) -> None:
        """Say where samples are, from the campaign's journal; a lab that keeps a record of its own knows better.

        Args:
            samples: sample → the places where it holds room: its destination too where a move of it is open; the last is where
                it is. Given before the first command is sent.
            coming: samples that are nowhere yet: nobody knows yet whether what makes them has begun.
        """

    async def reconcile(self, command: Command) -> Reply | None:
        """Find out what became of a command that a dead process sent; waits where it still runs.

        Returns:
            The reply; None where it did not start and can no longer start.
        """

    def answered(self, command: Command, status: str) -> None:
        """Say what became of a command of which nobody knew, as a person told it.

        Its instrument, which got no further command until now, goes on, and its samples are where that puts them.

        Args:
            command: as it was sent.
            status: `succeeded`, `aborted` or `not_started`; with the latter two the samples did not leave where they were.
                `unknown` where it stays unknown and the action may simply be done again.
        """

    def cleared(self, sample: str) -> None:
        """Say that a person took a sample out of the lab: the room that it held is free."""

    def withdraw(self) -> None:
        """Send away every command that waits for an instrument; each is answered as not started."""

    async def abort(self) -> None:
        """Abort every running command."""

    async def safe_state(self) -> Mapping[str, SafeReport]:
        """Bring every instrument into its safe state, confirmed by read-back."""

    async def health(self) -> Mapping[str, Health]:
        """Ask every instrument whether it can work."""

    def blocked(self) -> Sequence[str]:
        """Return in words, for every command that waits, who holds its place, or why its instrument is held.

        Empty where anything is under way: nothing in the lab will bring these commands on by itself.
        """

    def busy(self) -> Mapping[str, str]:
        """Return instrument → what it is doing, for people."""
