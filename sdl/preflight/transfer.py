"""The earlier campaigns of `transfer:` as source tasks: looked up, kept with the campaign's version, expressed in its space."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from sdl.campaign.transfer import read_earlier
from sdl.errors import InputError, LedgerError
from sdl.ledger import Ledger
from sdl.ledger.export import experiment_table
from sdl.ledger.place import has_ledger
from sdl.ledger.queries import latest_version
from sdl.planners import Trial
from sdl.planners.beforehand import SourceTask

if TYPE_CHECKING:
    from sdl.campaign import Draft
    from sdl.campaign.transfer import TransferSpec
    from sdl.planners import Planner


def source_tasks(draft: Draft) -> tuple[SourceTask, ...]:
    """Return the earlier campaigns; what is wrong is noted in the draft.

    Their data belong to the campaign's version from now on.
    """
    parameters = {n: p for n, p in draft.parameters.items() if p is not None}
    wanted = {**draft.objectives, **draft.outcome_constraints}
    units = {n: w.unit for n, w in wanted.items() if w is not None}
    if not draft.transfer or len(parameters) < len(draft.parameters) or len(units) < len(wanted):
        return ()
    found: list[SourceTask] = []
    for index, spec in enumerate(draft.transfer):
        try:
            data, what = _data(draft, spec)
            try:
                text = data.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                raise InputError(f"{what} is no UTF-8 text; save the table as CSV in UTF-8") from error
            earlier = read_earlier(text, what, spec, parameters, units)
        except (InputError, LedgerError) as error:
            draft.reader().wrong(("transfer", index), str(error))
            continue
        trials = tuple(
            Trial(i, row.candidate, "file", "done", row.outcomes) for i, row in enumerate(earlier.rows, start=1)
        )
        content = f"{hashlib.sha256(data).hexdigest()} {spec!r}"
        found.append(SourceTask(spec.called, trials, hashlib.sha256(content.encode()).hexdigest(), earlier.overlap))
    return tuple(found)


def as_recorded(draft: Draft, home: Path) -> None:
    """Take the data of earlier campaigns as this one was begun with them, where it is recorded: they may have gone on since.

    Args:
        draft: what was read of the campaign.
        home: folder of the ledger in which it may stand.

    Raises:
        LedgerError: the ledger cannot be read, or the recorded data are missing or changed.
    """
    wanted = [spec for spec in draft.transfer if spec.campaign is not None]
    if not wanted or not has_ledger(home):
        return
    ledger = Ledger(home)
    try:
        version = latest_version(ledger, draft.name)
        if version is None:
            return
        written = version["data"].get("transfer")
        recorded = {(w.get("campaign"), w.get("home"), w.get("name")) for w in written or () if isinstance(w, dict)}
        for spec in wanted:
            sha256 = version["files"].get(spec.key)
            if sha256 is not None and (spec.campaign, spec.home, spec.name) in recorded:
                draft.files.keep(spec.key, ledger.artefacts.get(sha256))
    finally:
        ledger.close()


def check_transfer(draft: Draft, planner: Planner | None) -> None:
    """Note what a planner cannot do with earlier campaigns."""
    if draft.transfer and planner is not None and not planner.capabilities.transfer:
        draft.reader().wrong(
            ("planner", "type"),
            f"planner '{planner.name}' takes no earlier campaigns as help; leave 'transfer' out, or choose bayes",
        )
    if draft.transfer and len(draft.sources) > 1:
        draft.reader().wrong(
            ("transfer",),
            "together with several 'sources' earlier campaigns are not used as help; leave 'transfer' or all but one source out",
        )


def _data(draft: Draft, spec: TransferSpec) -> tuple[bytes, str]:
    """Return the table of an earlier campaign, and how it is called in messages."""
    if spec.table is not None:
        if not spec.table.lower().endswith(".csv"):
            raise InputError(f"{spec.table}: a table of an earlier campaign is a .csv file, such as sdl export writes")
        key = draft.files.key(spec.table)
        return draft.files.use(key).read_bytes(), spec.table
    what = f"campaign '{spec.campaign}'"
    if not draft.files.is_kept(spec.key):
        draft.files.keep(spec.key, _exported(draft, spec))
    return draft.files.use(spec.key).read_bytes(), what


def _exported(draft: Draft, spec: TransferSpec) -> bytes:
    """Return the results of a recorded campaign as a table."""
    home = _home(draft, spec)
    if not has_ledger(home):
        raise InputError(f"there is no ledger in {home}; name the folder of the campaign '{spec.campaign}' with 'home'")
    ledger = Ledger(home)
    try:
        table = experiment_table(ledger, str(spec.campaign))
    finally:
        ledger.close()
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    kept = [i for i, column in enumerate(table.columns) if column.kind != "moment"]
    writer.writerow([table.columns[i].header for i in kept])
    for row in table.rows:
        writer.writerow(["" if row[i] is None else row[i] for i in kept])
    return buffer.getvalue().encode()


def _home(draft: Draft, spec: TransferSpec) -> Path:
    if spec.home is not None:
        return Path(os.path.abspath(draft.files.base / Path(spec.home).expanduser()))  # noqa: PTH100  as in Files
    if configured := os.environ.get("SDL_HOME"):
        return Path(configured).expanduser().resolve()
    from platformdirs import user_data_path

    return user_data_path("sdl")
