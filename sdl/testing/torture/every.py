"""Every boundary of one campaign, not a sample: what is on disk after each durable write is kept, and gone on with from there.

A killed process leaves what it had made durable and nothing else. So instead of killing it once for each boundary, the home is
copied after every commit of the ledger and every line of the world's record, and each copy is taken to its end and judged.
"""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdl.testing.torture.lane import Lane, records
from sdl.testing.torture.trial import DONE, Subject, Trial
from sdl.testing.torture.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Callable


def every_boundary(subject: Subject, folder: Path, *, lanes: int = 1) -> list[Trial]:
    """Go on from every boundary of a campaign; returns one trial a boundary, without attempts.

    Args:
        subject: what is tortured; quickest where its planner and analyses run in the campaign's own process.
        folder: for homes; it must be empty.
        lanes: how many processes at once.

    Raises:
        RuntimeError: the campaign does not come to its end without being disturbed, or a lane broke.
    """
    whole = Lane(
        replace(subject, sabotage=lambda: _copy_after_writes(folder / "undisturbed", folder / "copies")), folder
    )
    undisturbed, _ = whole.undisturbed()
    copies = sorted((folder / "copies").iterdir())

    def go_on(lane: int) -> list[Trial]:
        found = []
        for copy in copies[lane::lanes]:
            worker = Lane(subject, folder)
            code = worker.finish(copy)
            problems = [] if code == DONE else [f"it did not come to its end (exit {code})"]
            verdict = judge(*records(subject, copy), subject.outcomes, subject.reads, undisturbed)
            found.append(Trial(copy, (), verdict, (*problems, *verdict.problems)))
            if not found[-1].problems:
                shutil.rmtree(copy)
        return found

    return in_lanes(go_on, folder, lanes)


def in_lanes(work: Callable[[int], list[Trial]], folder: Path, lanes: int) -> list[Trial]:
    """Do some work in several forked processes; returns what all of them found.

    Raises:
        RuntimeError: one of them broke.
    """
    pids: dict[int, int] = {}
    for lane in range(lanes):
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            pids[pid] = lane
            continue
        code = 1
        try:
            (folder / f"lane{lane}.pickle").write_bytes(pickle.dumps(work(lane)))
            code = 0
        except BaseException:  # noqa: BLE001  a child ends here whatever happened
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    broken = []
    for pid, lane in pids.items():
        _, status = os.waitpid(pid, 0)
        if status:
            broken.append(f"lane {lane} ended with {os.waitstatus_to_exitcode(status)}")
    if broken:
        raise RuntimeError("; ".join(broken))
    return [t for lane in range(lanes) for t in pickle.loads((folder / f"lane{lane}.pickle").read_bytes())]  # noqa: S301  our own child wrote it


def _copy_after_writes(home: Path, copies: Path) -> None:
    """Copy the home after every durable write; called in the child that runs the undisturbed campaign."""
    from sdl.ledger import Ledger
    from sdl.world import World

    copies.mkdir(parents=True)
    number = 0

    def copying(owner: Any, name: str) -> None:  # noqa: ANN401  a class
        method = getattr(owner, name)

        def write(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401  whatever the method takes and gives
            nonlocal number
            value = method(*arguments, **named)
            number += 1
            shutil.copytree(home, copies / f"{number:05d}", ignore=shutil.ignore_patterns("note.*", "orders.*", "said"))
            return value

        setattr(owner, name, write)

    copying(Ledger, "append")
    copying(World, "_write")
