"""Write a report to a file, and remember outside the database which head of the journal stands in it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sdl.errors import InputError
from sdl.report.page import page
from sdl.report.reading import report_data

if TYPE_CHECKING:
    from sdl.ledger import Ledger


def render_report(ledger: Ledger, name: str) -> str:
    """Return the report of a campaign as HTML, without writing anything.

    Raises:
        LedgerError: no such campaign, or it can no longer be read.
    """
    return page(report_data(ledger, name, predict=True))


def write_report(ledger: Ledger, name: str, path: Path) -> tuple[int, str]:
    """Write the report of a campaign; the file is whole or as it was before.

    Args:
        ledger: where the campaign is recorded.
        name: of the campaign.
        path: the HTML file.

    Returns:
        (seq, hash) of the journal's head that stands in the report, as noted in the ledger's home for `verify`.

    Raises:
        LedgerError: no such campaign, it can no longer be read, or the head cannot be noted.
        InputError: the file cannot be written.
    """
    data = report_data(ledger, name, predict=True)
    text = page(data)
    try:
        handle, partial = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(partial).chmod(0o666 & ~umask)  # a temporary file is for its owner alone, a report for colleagues
        Path(partial).replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        Path(partial).unlink(missing_ok=True)
    # The head that stands in the file, not the present one: rows may have come in meanwhile.
    return ledger.note_head(name, f"report {path.name}", (data.seq, data.hash))


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"the report cannot be written to {path}: {error.strerror or error}; choose another -o")
