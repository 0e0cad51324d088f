"""A fault that is ordered of a process while it lives: a file that it looks at whenever it meets a boundary."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from sdl.testing.torture.faults import Boundaries, Fault

if TYPE_CHECKING:
    from pathlib import Path


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
    """

    def __init__(self, orders: Path, note: Path) -> None:
        super().__init__(None, note)
        self._orders = orders
        self._seen: tuple[int, int] | None = None
        self._number = 0

    def due(self, boundary: str) -> Fault | None:
        """Look for an order, then count the boundary; see `Boundaries.due`."""
        self._look()
        return super().due(boundary)

    def _look(self) -> None:
        try:
            found = os.stat(self._orders)  # noqa: PTH116  this runs at every boundary
        except FileNotFoundError:
            return
        seen = (found.st_mtime_ns, found.st_ino)
        if seen == self._seen:
            return
        self._seen = seen
        told = json.loads(self._orders.read_text())
        if told["number"] > self._number:
            self._number = told["number"]
            fault = None if told["fault"] is None else Fault(**told["fault"])
            if fault is not None:
                fault = Fault(**{**told["fault"], "count": self.met[fault.boundary] + fault.count})
            self.fault = fault
