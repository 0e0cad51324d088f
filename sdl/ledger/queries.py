"""Questions that are often asked of the projections; JSON columns come back as data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from sdl.ledger import tables as t
from sdl.ledger.events import ObservationRecorded

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select, Table

    from sdl.ledger.ledger import Ledger, Row

_JSON = {
    "settings",
    "data",
    "overrides",
    "files",
    "candidates",
    "candidate",
    "diagnostics",
    "environment",
    "arguments",
    "samples",
    "result",
    "gates",
    "artefacts",
    "fields",
    "flags",
    "figure",
    "answers",
    "told",
}


def counting_observations(rows: Iterable[Row]) -> dict[tuple[int, str], ObservationRecorded]:
    """Return the observation that counts for each (experiment, outcome): the last one, unless it was retracted."""
    found: dict[tuple[int, str], ObservationRecorded] = {}
    for row in rows:
        if isinstance(row.event, ObservationRecorded):
            key = (row.event.experiment, row.event.outcome)
            if row.event.status == "retracted":
                found.pop(key, None)
            else:
                found[key] = row.event
    return found


def decoded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a projection's row with its JSON columns as data."""
    return {k: json.loads(v) if k in _JSON and isinstance(v, str) else v for k, v in row.items()}


def latest_version(ledger: Ledger, campaign: str) -> dict[str, Any] | None:
    """Return the last recorded version of a campaign, or None."""
    query = select(t.versions).where(t.versions.c.campaign == campaign).order_by(t.versions.c.version.desc()).limit(1)
    found = ledger.read(query)
    return decoded(found[0]) if found else None


def table_of(ledger: Ledger, name: str, campaign: str) -> list[dict[str, Any]]:
    """Return all rows of one projection that belong to a campaign, in order of their keys."""
    return [decoded(r) for r in ledger.read(_query(t.metadata.tables[name], campaign))]


def tables_of(connection: Connection, campaign: str) -> dict[str, list[dict[str, Any]]]:
    """Return every projection's rows that belong to a campaign, in order of their keys; see `Ledger.reading`."""
    return {
        table.name: [decoded(dict(r)) for r in connection.execute(_query(table, campaign)).mappings()]
        for table in t.PROJECTIONS
    }


def _query(table: Table, campaign: str) -> Select[Any]:
    owner = table.c.name if table is t.campaigns else table.c.campaign
    return select(table).where(owner == campaign).order_by(*table.primary_key.columns)
