"""The inbox: what people ask of the process that owns a campaign, from other terminals and from forms.

The journal belongs to the process that owns the campaign. Everybody else writes a request here; the owner turns it into
journal rows and notes what came of it. A request without a live process stays until the next run.
"""

from __future__ import annotations

import getpass
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import bindparam, select

from sdl.clock import utc_text
from sdl.errors import InputError, brief, listed
from sdl.ledger import tables as t
from sdl.ledger.events import canonical

if TYPE_CHECKING:
    from sdl.ledger.ledger import Ledger

KINDS = ("answer", "pause", "resume", "stop", "abort", "add", "reject", "retract", "clear")
"""What can be asked."""


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        id: from 1, over all campaigns of a home.
        campaign: name.
        at: UTC text of the clock on the wall.
        by: who asks.
        kind: one of `KINDS`.
        body: what is asked, by kind.
        taken_seq: the journal row that settled it, or None.
        outcome: `done` or `refused`; None until it is settled.
        said: what came of it, in words.
    """

    id: int
    campaign: str
    at: str
    by: str
    kind: str
    body: Mapping[str, Any]
    taken_seq: int | None = None
    outcome: Literal["done", "refused"] | None = None
    said: str | None = None


_OPEN = (
    select(t.inbox).where(t.inbox.c.campaign == bindparam("name"), t.inbox.c.taken_seq.is_(None)).order_by(t.inbox.c.id)
)


class Inbox:
    """The requests of a home.

    Args:
        ledger: in whose database they stand.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def put(self, campaign: str, by: str, kind: str, body: Mapping[str, Any]) -> int:
        """Write a request; durable when this returns, with its id.

        Raises:
            InputError: there is no such kind of request.
            LedgerError: the database cannot be written.
        """
        if kind not in KINDS:
            raise InputError(f"{brief(kind)} cannot be asked of a campaign; what can: {listed(KINDS)}")
        values = {"campaign": campaign, "at": utc_text(time.time()), "by": by, "kind": kind}
        with self._ledger.writing() as connection:
            made = connection.execute(
                t.inbox.insert().values(**values, body=canonical(dict(body))).returning(t.inbox.c.id)
            )
            return int(made.scalar_one())

    def untaken(self, campaign: str) -> list[Request]:
        """Return the requests of a campaign that nobody took yet, in order.

        Raises:
            LedgerError: the database cannot be read.
        """
        with self._ledger.reading() as connection:
            return [_request(dict(r)) for r in connection.execute(_OPEN, {"name": campaign}).mappings()]

    def one(self, request: int) -> Request:
        """Return a request.

        Raises:
            InputError: there is none of that id.
        """
        found = self._ledger.read(select(t.inbox).where(t.inbox.c.id == request))
        if not found:
            raise InputError(f"the inbox has no request {request}")
        return _request(found[0])

    def settle(self, request: int, seq: int, outcome: str, said: str) -> None:
        """Note what came of a request, and the journal row that says so; the first note stays.

        Raises:
            LedgerError: the database cannot be written.
        """
        still = (t.inbox.c.id == request) & t.inbox.c.taken_seq.is_(None)
        with self._ledger.writing() as connection:
            connection.execute(t.inbox.update().where(still).values(taken_seq=seq, outcome=outcome, said=said))


def _request(row: Mapping[str, Any]) -> Request:
    return Request(**{**row, "body": json.loads(row["body"])})


def who(name: str | None = None) -> str:
    """Return who asks: `user@machine`, after the name that the person gave, where there is one."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        user = "?"
    account = f"{user}@{socket.gethostname()}"
    return account if not name else f"{name} ({account})"
