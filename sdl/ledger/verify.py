"""Show that a campaign's records are what they were: chain, projections, artefacts, and heads written elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Boolean, Integer, cast, column, create_engine, select, text, type_coerce
from sqlalchemy.pool import StaticPool
from sqlalchemy.types import NullType

from sdl.errors import InputError, LedgerError
from sdl.ledger import tables as t
from sdl.ledger.events import AnalysisRecorded, CommandSettled, Event, ResultsTold, VersionRecorded, event_of
from sdl.ledger.heads import Head, head_in_file, noted_heads
from sdl.ledger.ledger import GENESIS, row_hash
from sdl.ledger.projections import project

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

    from sdl.ledger.ledger import Ledger

__all__ = ["Finding", "Head", "Verification", "head_in_file", "verify"]

_SHOWN = 30
"""How many findings the text for people lists; all of them stand in `findings`."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was recorded.

    Attributes:
        kind: `database` (the file itself), `chain`, `row` (that cannot be understood), `projection`, `artefact`, `head`.
        where: what it is about: `row 5`, `experiments (3).state`, a file.
        message: what is wrong.
    """

    kind: Literal["database", "chain", "row", "projection", "artefact", "head"]
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


@dataclass(frozen=True)
class Verification:
    """What was found, and how far it can be told.

    Attributes:
        campaign: name.
        rows: how many rows the journal has.
        artefacts: how many artefacts and files were read and found whole.
        heads: every head that was compared, in order of row.
        findings: what is wrong; empty where everything agrees.
        told_up_to: number of the last row that a head written elsewhere vouches for; 0 where there is none. What came
            after it could have been cut off, or changed and hashed anew, without a trace here.
    """

    campaign: str
    rows: int
    artefacts: int
    heads: tuple[Head, ...]
    findings: tuple[Finding, ...]
    told_up_to: int

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, as far as it can be told."""
        return not self.findings

    def text(self) -> str:
        """What to tell a person, in lines."""
        found = _many(len(self.findings), "finding") if self.findings else "all agree"
        compared = f"{_many(self.rows, 'row')}, {_many(self.artefacts, 'artefact')}, {_many(len(self.heads), 'head')}"
        lines = [f"campaign '{self.campaign}': {compared} written elsewhere: {found}"]
        lines += [f"  {finding}" for finding in self.findings[:_SHOWN]]
        if len(self.findings) > _SHOWN:
            lines.append(f"  and {len(self.findings) - _SHOWN} more")
        return "\n".join([*lines, *self._reach()])

    def _reach(self) -> list[str]:
        """Say up to where it can be told."""
        if not self.heads:
            said = (
                "No head of this campaign was written elsewhere. Had somebody cut rows off the end or changed rows, and "
                "then hashed the rest anew and made the projections agree, it could not be noticed here; every other "
                f"change to rows 1 to {self.rows} would be. A report or an export writes the head elsewhere."
            )
            return [said]
        if not self.told_up_to:
            return ["No head that was written elsewhere agrees with the journal: nothing vouches for any of its rows."]
        voucher = next(h.where for h in reversed(self.heads) if h.seq == self.told_up_to)
        lines = [f"Rows 1 to {self.told_up_to} are vouched for by the head written elsewhere: {voucher}."]
        if self.told_up_to < self.rows:
            said = (
                f"Rows {self.told_up_to + 1} to {self.rows} only vouch for each other: had somebody changed them and "
                f"hashed them anew, or cut off what came after row {self.rows}, it could not be noticed here."
            )
            lines.append(said)
        else:
            lines.append(f"Had there been rows after row {self.rows}, their being cut off could not be noticed here.")
        return lines


def verify(ledger: Ledger, name: str, heads: Iterable[Head] = ()) -> Verification:
    """Compare everything that is recorded of a campaign with everything else.

    Re-hashes the chain; rebuilds the projections from the journal in a fresh database and compares them value by
    value; reads every artefact and every file of every version; compares the heads that were noted in the home and
    those given. It can run while the campaign does.

    Args:
        ledger: where it is recorded.
        name: of the campaign.
        heads: written elsewhere, such as `head_in_file` reads from a report.

    Raises:
        InputError: nothing is known of such a campaign, or a head belongs to another one.
        LedgerError: the database cannot be read at all.
    """
    given = list(heads)
    for head in given:
        if head.campaign not in {None, name}:
            raise InputError(f"{head.where}: the head is of campaign '{head.campaign}', not of '{name}'")
    # Heads first: one that is noted after the journal was read would look like a tail that was cut.
    noted, findings = _noted(ledger, name)
    with _as_it_is(ledger) as connection:
        findings += _damage(connection)
        rows = [dict(r) for r in connection.execute(_raw(connection, t.journal, name, "seq")).mappings()]
        recorded = {table.name: _table(connection, table, name) for table in t.PROJECTIONS}
    elsewhere = sorted([*noted, *given], key=lambda h: h.seq)
    if not rows and not elsewhere and not any(recorded.values()):
        raise ledger.unknown(name)
    broken, intact = _chain(rows)
    events, unread = _events(rows)
    findings += broken + unread
    rebuilt, unprojected = _rebuild(name, events)
    findings += unprojected
    if not unread and not unprojected:
        findings += _projections(recorded, rebuilt)
    wrong, whole = _artefacts(ledger, [e for _, _, e in events])
    findings += wrong
    differing, told_up_to = _heads(elsewhere, rows, intact)
    findings += differing
    return Verification(name, len(rows), whole, tuple(elsewhere), tuple(findings), told_up_to)


# --- reading what is there, whatever it is ---------------------------------------------------------------------------


@contextmanager
def _as_it_is(ledger: Ledger) -> Iterator[Connection]:
    """Yield a connection that also reads text which is none: a broken byte is a finding, not a traceback."""
    with ledger.reading() as connection:
        driver: Any = connection.connection.driver_connection
        if connection.dialect.name != "sqlite":
            yield connection
            return
        driver.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
        try:
            yield connection
        finally:
            driver.text_factory = str


def _raw(connection: Connection, table: Table, campaign: str, *order: str) -> Any:  # noqa: ANN401  SQLAlchemy's select
    """Return the query for a campaign's rows as SQLite holds them: a 2 in a Boolean's place stays a 2.

    Other databases hold to their columns' types; what is a Boolean there is 0 or 1, as in SQLite.
    """
    key = table.c.name if table is t.campaigns else table.c.campaign
    columns: list[Any]
    if connection.dialect.name == "sqlite":
        columns = [type_coerce(c, NullType()).label(c.name) for c in table.c]
    else:
        columns = [(cast(c, Integer) if isinstance(c.type, Boolean) else c).label(c.name) for c in table.c]
    return select(*columns).where(key == campaign).order_by(*(column(name) for name in order))


def _table(connection: Connection, table: Table, campaign: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return a projection's rows by their keys."""
    keys = [c.name for c in table.primary_key.columns]
    return {
        tuple(r[k] for k in keys): dict(r) for r in connection.execute(_raw(connection, table, campaign)).mappings()
    }


def _damage(connection: Connection) -> list[Finding]:
    """Ask SQLite whether the file is whole: an index that lies could hide rows from every query."""
    if connection.dialect.name != "sqlite":
        return []
    said = [str(r[0]) for r in connection.execute(text("PRAGMA integrity_check(20)"))]
    return [] if said == ["ok"] else [Finding("database", "the database file", f"is damaged: {line}") for line in said]


def _noted(ledger: Ledger, name: str) -> tuple[list[Head], list[Finding]]:
    if ledger.home is None:
        return [], []
    path = ledger.home / "heads" / f"{name}.jsonl"
    heads, wrong = noted_heads(path, name)
    return heads, [Finding("head", "heads noted in the home", line) for line in wrong]


# --- the chain -------------------------------------------------------------------------------------------------------


def _chain(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Finding], int]:
    """Return what is wrong with the chain, and the number of the last row before the first fault."""
    findings: list[Finding] = []
    expected, previous, intact, faultless = 1, GENESIS, 0, True
    for row in rows:
        seq = row["seq"]
        before = len(findings)
        if not isinstance(seq, int) or seq < expected:
            findings.append(Finding("chain", f"row {_short(seq)}", "cannot stand at this place of the journal"))
            faultless = False
            continue
        if seq > expected:
            gone = f"row {expected} is" if seq == expected + 1 else f"rows {expected} to {seq - 1} are"
            findings.append(Finding("chain", f"row {seq}", f"{gone} missing before it"))
        elif row["previous"] != previous:
            after = (
                "it names a row before the first" if seq == 1 else f"it does not follow row {seq - 1} as that is now"
            )
            said = f"{after}: one of the two was changed, or stands in another's place"
            findings.append(Finding("chain", f"row {seq}", said))
        if not _is_own(row):
            findings.append(Finding("chain", f"row {seq}", "was changed: its content does not give its hash"))
        faultless = faultless and len(findings) == before
        if faultless:
            intact = seq
        expected, previous = seq + 1, row["hash"]
    return findings, intact


def _is_own(row: Mapping[str, Any]) -> bool:
    """Tell whether a row's content gives its hash."""
    if not all(isinstance(row[k], str) for k in ("at", "kind", "body", "previous", "hash")):
        return False
    try:
        found = row_hash(row["previous"], row["campaign"], row["seq"], row["at"], row["kind"], row["body"])
    except ValueError:  # bytes that are no text
        return False
    return bool(found == row["hash"])


# --- the projections -------------------------------------------------------------------------------------------------


def _events(rows: Sequence[Mapping[str, Any]]) -> tuple[list[tuple[int, str, Event]], list[Finding]]:
    """Return (seq, at, what it says) of every row that can be understood, and the others as findings."""
    events: list[tuple[int, str, Event]] = []
    findings = []
    for row in rows:
        try:
            event = event_of(row["kind"], json.loads(row["body"]))
        except KeyError:
            said = f"is of the unknown kind {_short(row['kind'])}"
            findings.append(Finding("row", f"row {_short(row['seq'])}", said))
        except Exception as error:  # noqa: BLE001  whatever somebody wrote there must not end the verification
            said = f"its body cannot be read: {type(error).__name__}: {_short(str(error))}"
            findings.append(Finding("row", f"row {_short(row['seq'])}", said))
        else:
            events.append((row["seq"], row["at"], event))
    if findings:
        findings.append(Finding("row", "projections", "were not compared, because not every row can be read"))
    return events, findings


def _rebuild(
    campaign: str, events: Sequence[tuple[int, str, Event]]
) -> tuple[dict[str, dict[tuple[Any, ...], dict[str, Any]]], list[Finding]]:
    """Project the journal into a fresh database; return its tables."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    findings: list[Finding] = []
    try:
        t.metadata.create_all(engine, tables=list(t.PROJECTIONS))
        with engine.connect() as connection:
            for seq, at, event in events:
                try:
                    project(connection, campaign, seq, at, event)
                except LedgerError as error:
                    findings.append(Finding("row", f"row {_short(seq)}", str(error)))
                except Exception as error:  # noqa: BLE001  a body of the wrong types can fail in any way
                    said = f"({event.kind}) contradicts earlier rows or cannot be understood: {_short(str(error))}"
                    findings.append(Finding("row", f"row {_short(seq)}", said))
            if findings:
                said = "were not compared, because not every row can be projected"
                findings.append(Finding("row", "projections", said))
            return {table.name: _table(connection, table, campaign) for table in t.PROJECTIONS}, findings
    finally:
        engine.dispose()


def _projections(
    recorded: Mapping[str, Mapping[tuple[Any, ...], Mapping[str, Any]]],
    rebuilt: Mapping[str, Mapping[tuple[Any, ...], Mapping[str, Any]]],
) -> list[Finding]:
    findings = []
    for table in t.PROJECTIONS:
        there, wanted = recorded[table.name], rebuilt[table.name]
        for key in [*wanted, *(k for k in there if k not in wanted)]:
            where = f"{table.name} ({', '.join(str(k) for k in key[0 if len(key) == 1 else 1 :])})"
            if key not in there:
                findings.append(Finding("projection", where, "the row is missing; the journal gives it"))
            elif key not in wanted:
                findings.append(Finding("projection", where, "the row is surplus; the journal does not give it"))
            else:
                findings += [
                    Finding(
                        "projection",
                        f"{where}.{name}",
                        f"recorded {_short(there[key][name])}, but the journal gives {_short(value)}",
                    )
                    for name, value in wanted[key].items()
                    if type(there[key][name]) is not type(value) or there[key][name] != value
                ]
    return findings


# --- artefacts and heads ---------------------------------------------------------------------------------------------


def _artefacts(ledger: Ledger, events: Iterable[Event]) -> tuple[list[Finding], int]:
    """Read every artefact that a row names; return what is wrong, and how many are whole."""
    named: dict[tuple[str, int | None], str] = {}
    by_command: set[str] = set()
    findings = []
    for event in events:
        try:
            if isinstance(event, CommandSettled):
                for artefact in event.artefacts:
                    key = (str(artefact["sha256"]), artefact["size"])
                    named.setdefault(key, f"artefact {artefact['name']} of command {event.command}")
                    by_command.add(key[0])
            elif isinstance(event, AnalysisRecorded):
                for (
                    artefact
                ) in event.artefacts:  # the command named them with their size, unless somebody wrote otherwise
                    if artefact["sha256"] not in by_command:
                        where = f"artefact {artefact['name']} of analysis {event.analysis}"
                        named.setdefault((str(artefact["sha256"]), None), where)
                if event.figure is not None:
                    key = (str(event.figure["sha256"]), event.figure["size"])
                    named.setdefault(key, f"figure of analysis {event.analysis}")
            elif isinstance(event, ResultsTold):
                key = (str(event.file["sha256"]), event.file["size"])
                named.setdefault(key, f"file {event.file['name']} of results told")
            elif isinstance(event, VersionRecorded):
                for file, sha256 in event.files.items():
                    named.setdefault((str(sha256), None), f"file {file} of version {event.version}")
        except (KeyError, TypeError, AttributeError) as error:
            said = f"names its raw data in a way that cannot be read: {error!r}"
            findings.append(Finding("artefact", event.kind, said))
    sizes: dict[str, int] = {}
    whole = 0
    for (sha256, size), where in named.items():
        try:
            if sha256 not in sizes:
                sizes[sha256] = ledger.artefacts.check(sha256)
        except LedgerError as error:
            findings.append(Finding("artefact", where, str(error)))
            continue
        if size is not None and size != sizes[sha256]:
            findings.append(Finding("artefact", where, f"has {sizes[sha256]} bytes, recorded are {_short(size)}"))
        else:
            whole += 1
    return findings, whole


def _heads(heads: Sequence[Head], rows: Sequence[Mapping[str, Any]], intact: int) -> tuple[list[Finding], int]:
    """Compare heads written elsewhere with the journal; return what differs, and the last row that one vouches for."""
    hashes = {row["seq"]: row["hash"] for row in rows}
    last = max((seq for seq in hashes if isinstance(seq, int)), default=0)
    findings = []
    agreeing = 0
    for head in heads:
        if head.seq not in hashes:
            said = (
                f"was row {head.seq}, but the journal ends at row {last}: rows were cut off its end"
                if head.seq > last
                else f"was row {head.seq}, which is missing"
            )
            findings.append(Finding("head", f"head in {head.where}", said))
        elif hashes[head.seq] != head.hash:
            said = f"row {head.seq} had another hash: something in rows {agreeing + 1} to {head.seq} was changed since"
            findings.append(Finding("head", f"head in {head.where}", said))
        else:
            agreeing = max(agreeing, head.seq)
    vouched = [h.seq for h in heads if h.seq <= intact and hashes.get(h.seq) == h.hash]
    return findings, max(vouched, default=0)


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _short(value: object) -> str:
    """Return a value for a message: whatever stands in a row that was tampered with, in print and in bounds."""
    said = ascii(value) if isinstance(value, bytes) else repr(value)
    return said if len(said) <= 100 else f"{said[:97]}..."
