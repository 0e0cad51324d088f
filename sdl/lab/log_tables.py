"""The tables of a lab server's command log.

In SQLite they are a file of their own. In a PostgreSQL, which may hold a ledger and the logs of several labs too, they stand
in a schema of the lab's own (`schema_of`), so that no name clashes.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import Boolean, Column, Float, Integer, MetaData, String, Table, Text

from sdl.ledger.portable import make_portable

SCHEMA = "1"
"""The schema of the tables below; a log of another one is refused."""

_LONGEST = 63
"""Bytes of a name in PostgreSQL; longer ones are cut without a word, and two labs would share one."""

metadata = MetaData()

meta = Table(
    "meta", metadata, Column("key", String(20), primary_key=True), Column("value", String(200), nullable=False)
)

campaigns = Table(
    "campaigns",
    metadata,
    Column("id", String(150), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("name", String(100), nullable=False),
    Column("epoch", Integer, nullable=False),
)

commands = Table(
    "commands",
    metadata,
    Column("id", String(100), primary_key=True),
    Column("position", Integer, nullable=False, unique=True),
    Column("campaign", String(150), nullable=False, index=True),
    Column("epoch", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("experiment", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("instrument", String(100), nullable=False),
    Column("action", String(100), nullable=False),
    Column("arguments", Text, nullable=False),
    Column("samples", Text, nullable=False),
    Column("destination", String(100)),
    Column("occurrence", Integer, nullable=False),
    Column("begins_sample", Boolean, nullable=False),
    Column("state", String(10), nullable=False, index=True),
    Column("reply", Text),
    Column("answer", String(20)),
    Column("accepted", Float(53), nullable=False),
    Column("started", Float(53)),
    Column("finished", Float(53)),
)

cleared = Table(
    "cleared",
    metadata,
    Column("sample", String(150), primary_key=True),
    Column("after", Integer, nullable=False),  # position of the last command that was accepted before
)

make_portable(metadata)


def schema_of(lab: str) -> str:
    """Return the schema of a lab's tables in a PostgreSQL, such as `sdl_lab_ceramics`."""
    name = f"sdl_lab_{lab}"
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 13]}_{hashlib.sha256(lab.encode()).hexdigest()[:12]}"
