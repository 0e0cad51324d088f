"""Call the driver of a command that has its turn, and turn what it gives or raises into a reply."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sdl.driver import ArtefactRef, Command, Context, Instrument, Reply
from sdl.driver.context import nobody_to_ask
from sdl.errors import ClockError, InstrumentFault, InstrumentRefused, LedgerError, OutcomeUnknown

if TYPE_CHECKING:
    from sdl.clock import Clock
    from sdl.driver import ActionSpec
    from sdl.driver.form import Ask
    from sdl.lab.interface import Progress
    from sdl.lab.interlocks import Interlocks
    from sdl.lab.log import CommandLog
    from sdl.lab.plan import LabPlan
    from sdl.lab.under_way import UnderWay
    from sdl.world import World

_logger = logging.getLogger("sdl.lab.server")

AGAIN = 1.0
"""Real seconds between two attempts to write down that a command starts, while the disk refuses it. Chosen."""

Store = Callable[[str, bytes, str], ArtefactRef]


class Driving:
    """Calls drivers.

    Args:
        plan: the lab.
        clock: its time.
        world: the simulated truth, or None.
        store: keeps artefacts.
        instruments: name → instrument, once they are connected.
        log: where it is written down that a driver is about to be called.
        interlocks: watch while an action runs.
        under_way: knows what runs.
        interrupt: stops a command that an interlock no longer allows; says what was read back.

    Attributes:
        asker: how a person is asked, by command.
        when_started: told when a command begins.
        check_before_start: asked right before a driver is called; where it raises, the driver is not called.
    """

    def __init__(
        self,
        plan: LabPlan,
        clock: Clock,
        world: World | None,
        store: Store,
        instruments: Mapping[str, Instrument],
        log: CommandLog,
        interlocks: Interlocks,
        under_way: UnderWay,
        interrupt: Callable[[Command], Awaitable[str]],
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._world = world
        self._store = store
        self._instruments = instruments
        self._log = log
        self._interlocks = interlocks
        self._under_way = under_way
        self._interrupt = interrupt
        self.asker: Callable[[Command], Ask] = lambda _: nobody_to_ask
        self.when_started: Callable[[Command, float], None] = lambda *_: None
        self.check_before_start: Callable[[], None] = lambda: None

    async def perform(
        self, command: Command, spec: ActionSpec, arguments: Mapping[str, object], progress: Progress | None
    ) -> Reply:
        """Call a command's driver and return what came of it.

        Args:
            command: which.
            spec: its action.
            arguments: checked, in the action's units.
            progress: told how far it is.

        Raises:
            LedgerError: the platform itself failed, or another process has the campaign; the command stays open.
        """
        artefacts: list[ArtefactRef] = []

        def keep(name: str, data: bytes, media_type: str) -> ArtefactRef:
            artefacts.append(self._store(name, data, media_type))
            return artefacts[-1]

        place = self._plan.instruments[command.instrument].place
        ctx = Context(command, self._clock, self._world, keep, progress or _quiet, self.asker(command), place)
        instrument = self._instruments[command.instrument]
        self.check_before_start()
        await self._write_started(command)
        started, began = self._clock.now(), self._clock.elapsed()
        self.when_started(command, started)
        watch = self._interlocks.watch(command, spec, self._interrupt, started)
        task = asyncio.ensure_future(instrument.perform(command.action, ctx, arguments))
        self._under_way.running[command.id] = (command, task)
        status, values, error, refused = "succeeded", {}, None, False
        try:
            values = {name: _plain(value) for name, value in (await task).items()}
            error = spec.check_result(values)
            if error is not None:
                status, error = "failed", f"the result cannot be used: {error}"
        except asyncio.CancelledError:
            here = asyncio.current_task()
            if here is not None and here.cancelling() and not self._under_way.is_stopped(command.id):
                raise
            status, error = await self._broken(command, spec, TimeoutError("the driver gave up by itself"))
        except (LedgerError, ClockError):
            raise  # the platform's own failure: it says nothing of the specimen, and the command stays open
        except Exception as broken:  # noqa: BLE001  whatever a driver raises is the experiment's failure, not the campaign's
            status, error = await self._broken(command, spec, broken)
            refused = status == "failed" and isinstance(broken, InstrumentRefused)
        finally:
            self._under_way.forget(command.id)
            if watch is not None:
                watch.forget()
        stopped = None if watch is None else await watch.end()
        if stopped is not None:
            status, error = interlocked(status, error, stopped)
        if refused:  # nothing began, so nothing was made half-way either
            simulated = simulates(self._plan, command)
            return Reply(
                command.id, "failed", error=error, simulated=simulated, interlock=stopped is not None, refused=True
            )
        return Reply(
            command=command.id,
            status=status,  # type: ignore[arg-type]
            values=values if status == "succeeded" else {},
            artefacts=tuple(artefacts),
            error=error,
            started=started,
            finished=self._clock.now(),
            duration=self._clock.elapsed() - began,
            simulated=simulates(self._plan, command),
            failed_samples=dict(ctx.failed) if status == "succeeded" else {},
            interlock=stopped is not None,
        )

    async def _write_started(self, command: Command) -> None:
        """Write down that the driver is about to be called, as often as it takes: nothing moves before that."""
        while True:
            try:
                self._log.started(command.id, self._clock.now())
            except LedgerError as error:
                _logger.error("command %s is not begun: %s", command.id, error)
                await asyncio.sleep(AGAIN)
            else:
                return

    async def _broken(self, command: Command, spec: ActionSpec, error: Exception) -> tuple[str, str]:
        """Return status and words for an action that ended with an error.

        Where it is being aborted, that is decided once the instrument has answered: a link that breaks meanwhile stops nothing.
        """
        if await self._under_way.abort_confirmed(command.id):
            return "aborted", "aborted on request" if isinstance(error, TimeoutError) else str(error)
        if isinstance(error, InstrumentFault):
            return "failed", str(error)
        if isinstance(error, OutcomeUnknown):
            return "unknown", str(error)
        said = f"{type(error).__name__}: {error}{_place_of(error)}"
        if spec.effect == "irreversible" and isinstance(error, OSError | EOFError):
            return "unknown", f"{said}: the transport broke, and what happened at the instrument is not known"
        return "failed", said


def simulates(plan: LabPlan, command: Command) -> bool:
    """Tell whether what carries a command out is a simulation or a calculation."""
    return plan.instruments[command.instrument].description.nature in {"simulated", "calculation"}


def interlocked(status: str, error: str | None, stopped: str) -> tuple[str, str]:
    """Return status and words of a command that an interlock stopped; what is not known stays unknown."""
    if status == "unknown":
        return status, f"{error}; {stopped}"
    if status == "succeeded":
        return "failed", f"{stopped} (it came to its end all the same, and its result is not used)"
    return "failed", stopped if status == "aborted" or error is None else f"{stopped} ({error})"


def _plain(value: object) -> object:
    """Return numpy's scalars as Python's: drivers give them, records cannot hold them."""
    return value.item() if isinstance(value, np.generic) else value


def _place_of(error: Exception) -> str:
    """Return ` (stirrer.py, line 21)` for the innermost place in a driver's code; an error nobody foresaw needs it."""
    frames = traceback.extract_tb(error.__traceback__)
    here = str(Path(__file__).parent.parent)
    place = next((f for f in reversed(frames) if not f.filename.startswith(here)), None)
    return "" if place is None else f" ({Path(place.filename).name}, line {place.lineno})"


async def _quiet(fraction: float, message: str) -> None:
    """Report to nobody."""
