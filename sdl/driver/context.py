"""What an action gets beside its arguments: its command, its samples, time, artefacts, progress."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sdl.errors import DriverError, InstrumentFault, OutcomeUnknown

if TYPE_CHECKING:
    from sdl.artefacts.ref import ArtefactRef
    from sdl.clock import Clock
    from sdl.driver.command import Command
    from sdl.driver.form import Ask, Form
    from sdl.world import World


async def nobody_to_ask(form: Form) -> Mapping[str, Any]:
    """Say that nobody can be asked: whether it was done is then not known."""
    raise OutcomeUnknown(f"{form.title}: nobody can be asked here; to be done was: {form.instructions}")


async def _no_progress(fraction: float, message: str) -> None:
    """Report to nobody."""


def no_store(name: str, data: bytes, media_type: str) -> ArtefactRef:
    """Refuse: whoever made this context or instrument gave it no store."""
    raise DriverError(f"artefact {name} ({media_type}, {len(data)} bytes): nothing was given to keep it in")


@dataclass(frozen=True)
class Context:
    """Handed to every action.

    Attributes:
        command: what was asked, with experiment, step and occurrence.
        clock: the lab's time; every wait goes through `sleep`.
        world: the simulated truth, or None in a real lab.
        store: keeps raw data, see `artefact`.
        report: takes progress, see `progress`.
        asks: asks a person, see `ask`.
        place: of the instrument in the lab, or None where the lab file names none; samples are worked on there.
        failed: sample → what went wrong with it, see `sample_failed`.
    """

    command: Command
    clock: Clock
    world: World | None = None
    store: Callable[[str, bytes, str], ArtefactRef] = field(default=no_store)
    report: Callable[[float, str], Awaitable[None]] = field(default=_no_progress)
    asks: Ask = field(default=nobody_to_ask)
    place: str | None = None
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def samples(self) -> tuple[str, ...]:
        """Ids of the samples that the command is carried out on."""
        return self.command.samples

    @property
    def sample(self) -> str:
        """The one sample of an action that takes one.

        Raises:
            ValueError: the command has none or several.
        """
        (sample,) = self.command.samples
        return sample

    async def sleep(self, seconds: float) -> None:
        """Wait for some seconds of lab time."""
        await self.clock.sleep(seconds, (self.command.experiment, self.command.step))

    async def sleep_until(self, moment: float) -> None:
        """Wait for a moment of lab time (seconds since 1970, UTC)."""
        await self.clock.sleep_until(moment, (self.command.experiment, self.command.step))

    async def progress(self, fraction: float, message: str = "") -> None:
        """Say how far the action is, 0 to 1."""
        await self.report(fraction, message)

    def sample_failed(self, sample: str, reason: str) -> None:
        """Say that one of the samples failed while the action goes on: its experiment fails, the others' do not.

        Raises:
            ValueError: it is none of the command's samples.
        """
        if sample not in self.command.samples:
            raise ValueError(f"sample '{sample}' is not among those of the command: {', '.join(self.command.samples)}")
        self.failed[sample] = reason

    async def ask(self, form: Form) -> Mapping[str, Any]:
        """Ask a person, and return the values of the form's fields in their units; waits as long as it takes.

        Raises:
            InstrumentFault: the person says that it failed, or what came back does not fit the form.
            OutcomeUnknown: nobody can be asked.
        """
        answer = await self.asks(replace(form, command=self.command.id))
        problem = form.problems(answer)
        if problem is not None:
            raise InstrumentFault(f"{form.title}: the answer cannot be used: {problem}")
        return answer

    def artefact(self, name: str, data: bytes, media_type: str) -> ArtefactRef:
        """Keep raw data; they are stored by content before the command counts as finished."""
        return self.store(name, data, media_type)
