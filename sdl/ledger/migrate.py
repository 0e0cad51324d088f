"""Bring a database to the present schema with Alembic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from sdl.errors import LedgerError

if TYPE_CHECKING:
    from sqlalchemy import Engine

HEAD = "0003"
KNOWN = ("0001", "0002", "0003")
"""All schema revisions, oldest first; the last is the present one."""


def migrate(engine: Engine, where: str, *, reader: Engine | None = None, is_read_only: bool = False) -> None:
    """Upgrade the database to the present schema; does nothing where it is there already.

    Args:
        engine: whose transactions take the write lock at once: of two processes, the second finds the work done.
        reader: whose transactions take none: who opens a ledger of the present schema waits for no writer, which may be frozen.
        where: what the database is called in messages.
        is_read_only: whether this user may not write to it.

    Raises:
        LedgerError: the database was written by a newer version of the platform, or by an older one and is read-only.
    """
    revision = _revision(engine if reader is None else reader)
    if revision == HEAD:
        return
    if revision is not None and revision not in KNOWN:
        raise LedgerError(f"{where} has schema {revision}, which this version does not know; upgrade sdl to open it")
    if is_read_only:
        raise LedgerError(
            f"{where} has schema {revision or 'none'}, is read-only and cannot be brought to {HEAD}; copy it first"
        )
    from alembic import command  # a quarter of a second, needed once a home
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":  # a writer takes no lock there by itself
            connection.execute(
                text("SELECT pg_advisory_xact_lock(hashtextextended('sdl schema ' || current_schema(), 0))")
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if "alembic_version" not in inspect(connection).get_table_names():
            return None
        found = connection.execute(text("SELECT version_num FROM alembic_version")).first()
        return None if found is None else str(found[0])
