"""Robot arm: takes one sample at a time from place to place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from sdl_instruments.ceramics.base import Store, WorldInstrument

from sdl.driver import Context, Role, action
from sdl.errors import InstrumentFault

from .base import StoppableInstrument
from .places import require_room
from .samples import sample_at

if TYPE_CHECKING:
    from sdl.world import Operation

SECONDS = 90.0
"""Time of a move. Chosen: gripping, way and setting down, wherever it goes."""


@dataclass(frozen=True)
class MoveResult:
    """What the gripper's camera saw.

    Attributes:
        place: where the sample stands.
    """

    place: str


class RobotArm(StoppableInstrument):
    """Simulated robot arm: takes one sample at a time to another place, cracked ones included."""

    # `repeatable`: a move names where the sample is to be, not how far it goes, and one that stands there already stays there.
    @action(effect="repeatable", duration="90 s", abortable=True)
    async def move(self, ctx: Context, to: Annotated[str, Role("place")]) -> MoveResult:
        """Take a sample to a place; if stopped on the way, it is brought back first."""
        if len(ctx.samples) != 1:
            raise InstrumentFault(f"{self.name} moves one sample at a time, the command has {len(ctx.samples)}")
        self.require_idle()
        now = self.clock.now()
        sample = sample_at(self._world, ctx.sample, now)
        sample.require_known()
        sample.require_free()
        require_room(self._world, to, sample.name, now, self.name)
        # Not `LineInstrument.carry_out`: what the arm does is not done at a place of its own.
        return self.result_of(await WorldInstrument.carry_out(self, ctx, SECONDS), ctx.store)

    def result_of(self, operation: Operation, store: Store) -> MoveResult:
        """Return where the sample stands."""
        del store
        return MoveResult(str(operation.arguments["to"]))

    def doing(self, operation: Operation) -> str:
        """Return in words what is going on."""
        if operation.aborted is not None:
            return f"bringing sample '{operation.sample}' back"
        return f"{super().doing(operation)} to '{operation.arguments['to']}'"

    def at_rest(self, operation: Operation | None) -> str:
        """Return what is read back when the move was stopped."""
        return "arm at rest" if operation is None else f"move stopped, {self.doing(operation)} at creep speed"
