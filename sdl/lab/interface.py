"""What the engine asks of a lab, be it embedded or a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sdl.driver import Command, Health, Reply, SafeReport
    from sdl.driver.form import Ask

Progress = Callable[[float, str], Awaitable[None]]


class Lab(Protocol):
    """A lab as the engine sees it."""

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

    def reserve(self, commands: Iterable[tuple[str, str]]) -> None:
        """Keep instruments for commands of a dead process until each was reconciled; they may still be at work on them.

        Args:
            commands: (command id, instrument) of every open command; given before the first command is sent.
        """

    def locate(self, samples: Mapping[str, Sequence[str]]) -> None:
        """Say where samples are, from the campaign's journal; a lab that keeps a record of its own knows better.

        Args:
            samples: sample → the places where it holds room: its destination too where a move of it is open; the last is where
                it is. Given before the first command is sent.
        """

    async def reconcile(self, command: Command) -> Reply | None:
        """Find out what became of a command that a dead process sent; waits where it still runs.

        Returns:
            The reply; None where it did not start and can no longer start.
        """

    def withdraw(self) -> None:
        """Send away every command that waits for an instrument; each is answered as not started."""

    async def abort(self) -> None:
        """Abort every running command."""

    async def safe_state(self) -> Mapping[str, SafeReport]:
        """Bring every instrument into its safe state, confirmed by read-back."""

    async def health(self) -> Mapping[str, Health]:
        """Ask every instrument whether it can work."""

    def blocked(self) -> Sequence[str]:
        """Return, for every command that waits for room at a place, in words who holds it; empty where anything is under way.

        Then nothing in the lab will make room by itself.
        """

    def busy(self) -> Mapping[str, str]:
        """Return instrument → what it is doing, for people."""
