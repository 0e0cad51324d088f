"""`sdl export`, `report`, `schema`, `verify`, `backup` and `restore`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from sdl.cli.outcome import home_of
from sdl.errors import InputError
from sdl.ledger import Ledger
from sdl.ledger.place import has_ledger

if TYPE_CHECKING:
    from sdl.audit import Recomputation
    from sdl.cli.outcome import Output
    from sdl.ledger.backup import Backup
    from sdl.planners import History, Problem, Proposal


def _opened(home: Path | None) -> Ledger:
    folder = home_of(home)
    if not has_ledger(folder):
        raise InputError(f"there is no ledger in {folder}; choose another --home")
    return Ledger(folder)


def _known(ledger: Ledger, name: str) -> None:
    if ledger.campaign(name) is None:
        known = ", ".join(str(c["name"]) for c in ledger.campaigns()) or "none"
        raise InputError(f"the ledger has no campaign '{name}'; it has: {known}")


ENDINGS = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".json": "json"}


def export_campaign(name: str, home: Path | None, format_: str | None, path: Path, output: Output) -> int:
    """Write a campaign's experiments to a file; its ending says in which format, where none is asked for."""
    from sdl.ledger.export import export

    ending = ENDINGS.get(path.suffix.lower())
    if format_ is None:
        if ending is None:
            raise InputError(f"{path} says no format: end it in {', '.join(ENDINGS)}, or give --format")
        format_ = ending

    ledger = _opened(home)
    try:
        _known(ledger, name)
        export(ledger, name, cast("Literal['csv', 'parquet', 'json']", format_), path)
    finally:
        ledger.close()
    output.say(f"wrote {path}")
    return 0


def report_campaign(name: str, home: Path | None, path: Path | None, output: Output) -> int:
    """Write a campaign's report."""
    from sdl.report import write_report

    ledger = _opened(home)
    try:
        _known(ledger, name)
        target = path if path is not None else home_of(home) / "reports" / f"{name}.html"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_report(ledger, name, target)
    finally:
        ledger.close()
    output.say(f"wrote {target}")
    return 0


def show_schema(lab: bool) -> int:
    """Write the JSON Schema to standard output."""
    from sdl.preflight.schema import campaign_schema, lab_schema

    print(json.dumps(lab_schema() if lab else campaign_schema(), indent=2))  # noqa: T201
    return 0


async def _recomputed(ledger: Ledger, name: str) -> Recomputation:
    """Ask the planner again in a worker of its own, with one thread, as in the campaign."""
    from sdl.audit import recompute
    from sdl.engine.worker import ProcessWorker, propose

    worker = ProcessWorker()
    loop = asyncio.get_running_loop()

    def ask(planner: str, problem: Problem, history: History, n: int, seed: int) -> Proposal:
        call = worker.call(propose, planner, problem, history, n, seed)
        proposal: Proposal = asyncio.run_coroutine_threadsafe(call, loop).result().proposal
        return proposal

    try:
        return await asyncio.to_thread(recompute, ledger, name, ask)
    finally:
        await worker.close()


def verify_campaign(name: str, home: Path | None, against: tuple[Path, ...], recompute: bool, output: Output) -> int:
    """Check the ledger of a campaign; returns 1 where anything is wrong."""
    from sdl.ledger.verify import head_in_file, verify

    ledger = _opened(home)
    try:
        found = verify(ledger, name, [head_in_file(path) for path in against])
        output.say(found.text())
        data: dict[str, object] = {"name": name, "ok": found.ok, "rows": found.rows, "told_up_to": found.told_up_to}
        data["findings"] = [str(f) for f in found.findings]
        good = found.ok
        if recompute and found.ok:
            result = asyncio.run(_recomputed(ledger, name))
            output.say(result.text())
            data["recomputed"] = result.as_json()
            good = result.ok
        elif recompute:
            output.say("proposals are not recomputed from a ledger that does not verify")
    finally:
        ledger.close()
    output.emit(data)
    return 0 if good else 1


def backup_home(path: Path, home: Path | None, output: Output) -> int:
    """Back the home up."""
    from sdl.ledger.backup import backup

    folder = home_of(home)
    if not has_ledger(folder):
        raise InputError(f"there is no ledger in {folder}; nothing to back up")
    made = backup(folder, path)
    output.say(f"wrote {path}; keep it on another machine")
    return _say_missing(made, output)


def restore_home(path: Path, home: Path | None, output: Output) -> int:
    """Restore a home."""
    from sdl.ledger.backup import restore

    folder = home_of(home)
    made = restore(path, folder)
    output.say(f"restored {folder}")
    return _say_missing(made, output)


def _say_missing(made: Backup, output: Output) -> int:
    """Say which raw data the journal names and nobody has; returns 1 where there are any."""
    for sha256 in made.missing:
        output.say(f"missing: artefact {sha256}, which the journal names, was not in the home")
    return 1 if made.missing else 0
