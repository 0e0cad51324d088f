"""Results as lines of JSON, appended as they come, so that a run that was stopped goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .contestants import CONTESTANTS
from .running import Job

Record = dict[str, Any]


def read(file: Path) -> list[Record]:
    """Return the results of a file, those of the present versions alone; a line cut off by a stop is passed over."""
    if not file.exists():
        return []
    found: dict[Job, Record] = {}
    current = {name: contestant.version() for name, contestant in CONTESTANTS.items()}
    for line in file.read_text().splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if record["version"] == current.get(record["contestant"]):
            found[Job(record["task"], record["contestant"], record["seed"])] = record
    return list(found.values())


def append(file: Path, record: Record) -> None:
    """Add a result; on a line of its own even where the last one was cut off."""
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = not file.exists() or file.stat().st_size == 0 or file.read_bytes()[-1:] == b"\n"
    with file.open("a") as lines:
        lines.write(("" if whole else "\n") + json.dumps(record) + "\n")


def missing(jobs: list[Job], records: list[Record]) -> list[Job]:
    """Return the jobs that have no result yet."""
    done = {Job(r["task"], r["contestant"], r["seed"]) for r in records}
    return [job for job in jobs if job not in done]
