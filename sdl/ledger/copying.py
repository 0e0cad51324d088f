"""Copy a whole database into another one: out of a PostgreSQL into the file that a backup holds, and back.

The rows are the same in both, value by value (`sdl.ledger.portable`), so hashes, heads and `verify` do not notice.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, func, select, text
from sqlalchemy.exc import DBAPIError

from sdl.errors import InputError, LedgerError, listed
from sdl.ledger import tables as t
from sdl.ledger.migrate import migrate
from sdl.ledger.place import DATABASE, NAME, masked, remember
from sdl.ledger.postgresql import PostgresqlDatabase, brief_of
from sdl.ledger.sqlite import SqliteDatabase

if TYPE_CHECKING:
    from sqlalchemy import Connection

_AT_ONCE = 500
"""Rows that are held in memory at a time (chosen)."""


def copy_out(url: URL, target: Path) -> None:
    """Copy a ledger in a PostgreSQL into a new file of SQLite, as it is at one moment while others write to it.

    Raises:
        LedgerError: the database cannot be read, or was written by another version.
    """
    source = PostgresqlDatabase(url)
    copy = SqliteDatabase(target)
    try:
        migrate(source.writer, source.where, is_read_only=True)  # refuses another version's; changes nothing
        migrate(copy.writer, copy.where)
        with source.engine.connect() as old, copy.writing() as new:
            _pour(old, new)
    except DBAPIError as error:
        raise LedgerError(f"{source.where} cannot be copied: {brief_of(error)}") from error
    finally:
        copy.close()
        source.close()


def copy_in(url: URL, work: Path, home: Path) -> None:
    """Put an unpacked backup into an empty database and into a home; both appear whole or not at all.

    Args:
        url: the database.
        work: the unpacked backup, with its file of SQLite; it becomes the home.
        home: where there is nothing yet but, perhaps, the file that names the database.

    Raises:
        InputError: the database holds campaigns.
        LedgerError: the database cannot be written, or was written by a newer version.
        OSError: the home cannot be written.
    """
    target = PostgresqlDatabase(url)
    source = SqliteDatabase(work / DATABASE)
    is_there = False
    try:
        migrate(source.writer, source.where)
        migrate(target.writer, target.where)
        with target.writing() as new:
            new.execute(text("LOCK TABLE journal, campaigns IN EXCLUSIVE MODE"))
            known = [str(name) for (name,) in new.execute(select(t.campaigns.c.name).limit(5))]
            if known or new.execute(select(func.count()).select_from(t.journal)).scalar():
                raise InputError(
                    f"{masked(url)} holds campaigns already: {listed(known)}; restore into an empty database, "
                    "nothing is ever overwritten"
                )
            with source.engine.connect() as old:
                _pour(old, new)
            new.execute(
                text(
                    "SELECT setval(pg_get_serial_sequence('inbox', 'id'), (SELECT max(id) FROM inbox)) FROM inbox LIMIT 1"
                )
            )
            source.close()
            for path in work.glob(f"{DATABASE}*"):
                path.unlink()
            # The home before the commit: it can be taken back.
            _become(work, home, url)
            is_there = True
    except BaseException as error:
        if is_there:
            home.replace(work)
            if (work / NAME).exists():
                home.mkdir()
                shutil.copy2(work / NAME, home / NAME)
        if isinstance(error, DBAPIError):
            raise LedgerError(f"{target.where} cannot be filled: {brief_of(error)}; nothing of it was kept") from error
        raise
    finally:
        source.close()
        target.close()


def _become(work: Path, home: Path, url: URL) -> None:
    """Rename a folder to a home, with the file that names the database."""
    if (home / NAME).exists():
        shutil.copy2(home / NAME, work / NAME)
        (home / NAME).unlink()  # a folder takes only an empty one's place
    else:
        remember(work, url)
    work.replace(home)


def _pour(old: Connection, new: Connection) -> None:
    """Copy every table; the journal in order, for its guards see to it."""
    for table in t.metadata.sorted_tables:
        query = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=_AT_ONCE)
        for rows in old.execute(query).mappings().partitions():
            new.execute(table.insert(), [dict(row) for row in rows])
