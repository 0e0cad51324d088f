"""A fault that is ordered of a process while it lives: a file that it looks at whenever it meets a boundary."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from sdl.testing.torture.faults import Boundaries, Fault

if TYPE_CHECKING:
    from pathlib import Path


HOME = "SDL_TORTURE_HOME"
"""Names the folder in which a worker finds its orders and keeps its notes."""


def order(path: Path, fault: Fault | None, number: int) -> None:
    """Order a fault, or that none is to strike.

    Args:
        path: where the process looks.
        fault: what is to strike, or None.
        number: of the order; a higher one than before.
    """
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"number": number, "fault": None if fault is None else asdict(fault)}))
    fresh.rename(path)  # at once: nobody reads half an order


class OrderedBoundaries(Boundaries):
    """Boundaries at which faults strike that are ordered one after another; each is counted from its order on.

    Args:
        orders: the file in which they come.
        note: as of `Boundaries`.

    Attributes:
        number: of the last order, 0 before the first.
    """

    def __init__(self, orders: Path, note: Path) -> None:
        super().__init__(note)
        self.orders = orders
        self.number = 0
        self._seen: tuple[int, int] | None = None

    def found(self, boundary: str) -> Fault | None:
        """Look for an order, then count the boundary; see `Boundaries.found`."""
        self.look()
        return super().found(boundary)

    def look(self) -> None:
        """Take note of a new order."""
        try:
            found = os.stat(self.orders)  # noqa: PTH116  this runs at every boundary
            seen = (found.st_mtime_ns, found.st_ino)
            if seen == self._seen:
                return
            told = json.loads(self.orders.read_text())
        except FileNotFoundError:  # also between the two: somebody else has taken it
            return
        self._seen = seen
        if told["number"] > self.number:
            self.number = told["number"]
            fault = None if told["fault"] is None else Fault(**told["fault"])
            if fault is not None:
                fault = Fault(**{**told["fault"], "count": self.met[fault.boundary] + fault.count})
            self.fault = fault
