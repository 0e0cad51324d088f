"""The worker that suffers: as `sdl.engine.worker_main`, with boundaries. Run as `python -m sdl.testing.torture.worker_victim`."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from sdl.engine import worker_main
from sdl.testing.torture.faults import AT_RANDOM
from sdl.testing.torture.orders import HOME, OrderedBoundaries

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdl.testing.torture.faults import Fault


class WorkerBoundaries(OrderedBoundaries):
    """Boundaries of a worker: of several that are there, and of those that take a dead one's place, one alone takes an order.

    Args:
        home: the folder.
    """

    def __init__(self, home: Path) -> None:
        super().__init__(home / "orders.worker", home / "note.worker")

    def due(self, boundary: str) -> Fault | None:
        """Count a boundary; returns the fault where it is its time and nobody else has taken the order."""
        fault = self.found(boundary)
        if fault is None or not self.take():
            return None
        self.struck()
        return fault

    def take(self) -> bool:
        """Take the order; returns False where somebody else has."""
        with suppress(FileNotFoundError):
            self.orders.rename(self.orders.with_suffix(".taken"))
            return True
        return False

    def die_at_random(self) -> None:
        """Wait for orders of a fault at a random time, and let it strike; never returns."""
        while True:
            time.sleep(0.01)
            self.look()
            fault, number = self.fault, self.number
            if fault is not None and fault.boundary == AT_RANDOM:
                time.sleep(fault.seconds)
                self.look()
                if self.number == number and self.take():
                    self.struck()
                    os.kill(os.getpid(), signal.SIGKILL)


class _Halting:
    """An output that meets boundaries within and after every answer."""

    def __init__(self, sink: BinaryIO, boundaries: WorkerBoundaries) -> None:
        self._sink = sink
        self._boundaries = boundaries

    def write(self, data: bytes) -> None:
        half = len(data) // 2
        self._sink.write(data[:half])
        self._sink.flush()
        self._boundaries.meet("in the middle of an answer")
        self._sink.write(data[half:])

    def flush(self) -> None:
        self._sink.flush()
        self._boundaries.back()
        self._boundaries.meet("after answering")


def _main() -> None:
    home = Path(os.environ[HOME])
    boundaries = WorkerBoundaries(home)
    threading.Thread(target=WorkerBoundaries(home).die_at_random, daemon=True).start()

    def carry_out(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401  whatever it gives
        boundaries.meet(f"before {function.__name__}")
        value = function(*arguments)
        boundaries.meet(f"after {function.__name__}")
        return value

    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with suppress(BrokenPipeError):
        worker_main.serve(sys.stdin.buffer, cast("BinaryIO", _Halting(sink, boundaries)), carry_out)
    boundaries.tell()


if __name__ == "__main__":
    _main()
