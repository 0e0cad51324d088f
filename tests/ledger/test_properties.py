"""Properties of the journal: any life verifies, and any change of any byte of any row is found."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from postgreskit import home_in
from sqlalchemy import text

from sdl.ledger import (
    CampaignCreated,
    CampaignEnded,
    CommandIntended,
    CommandSettled,
    EpochRaised,
    Event,
    ExperimentFinished,
    ExperimentStarted,
    Ledger,
    ObservationRecorded,
    QuestionOpened,
    RoundOpened,
    RoundProposed,
    VersionRecorded,
    canonical,
)
from sdl.ledger.tables import metadata
from sdl.ledger.verify import Head, verify

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text(max_size=5), VALUES, max_size=3)
TEXTS = st.text(max_size=12)
STATUS = st.sampled_from(["succeeded", "failed", "aborted", "unknown", "not_started"])


@st.composite
def lives(draw: Any) -> list[list[Event]]:
    """Draw the transactions of a campaign that could have been: every row builds on earlier ones, what it says is wild."""
    versions, epoch, rounds, commands, questions, observations = 1, 0, 0, 0, 0, 0
    experiments: list[int] = []
    batches: list[list[Event]] = [
        [
            CampaignCreated(draw(st.integers(0, 2**53)), draw(OBJECTS)),
            VersionRecorded(1, "d", draw(TEXTS), draw(OBJECTS), [], {}),
        ]
    ]
    for _ in range(draw(st.integers(0, 14))):
        batch: list[Event] = []
        what = draw(
            st.sampled_from(["version", "epoch", "round", "start", "command", "settle", "finish", "ask", "end"])
        )
        if what == "version":
            versions += 1
            batch.append(
                VersionRecorded(
                    versions, draw(TEXTS), draw(TEXTS), draw(OBJECTS), draw(st.lists(TEXTS, max_size=2)), {}
                )
            )
        elif what == "epoch":
            epoch += draw(st.integers(1, 2**40))
            batch.append(EpochRaised(epoch, draw(st.integers(0, 2**31)), draw(TEXTS), draw(OBJECTS)))
        elif what == "round":
            rounds += 1
            candidates = draw(st.lists(OBJECTS, max_size=3))
            first = max(experiments, default=0) + 1
            batch.append(RoundOpened(rounds, len(candidates), draw(st.integers(0, 2**63 - 1))))
            batch.append(RoundProposed(rounds, draw(TEXTS), candidates, first, draw(OBJECTS), {}, draw(NUMBERS)))
            experiments += range(first, first + len(candidates))
        elif what == "ask":
            questions += 1
            batch.append(QuestionOpened(f"Q{questions}", "command", 1, draw(TEXTS), draw(TEXTS)))
        elif what == "end":
            batch.append(CampaignEnded(draw(st.sampled_from(["done", "stopped", "waiting", "failed"])), draw(TEXTS)))
        elif experiments:
            number = draw(st.sampled_from(experiments))
            if what == "start":
                batch.append(ExperimentStarted(number, draw(TEXTS), draw(TEXTS)))
            elif what == "finish":
                batch.append(ExperimentFinished(number, "failed", draw(st.none() | TEXTS)))
            elif what == "command":
                commands += 1
                batch.append(
                    CommandIntended(
                        f"c{commands}", number, draw(st.integers(0, 2)), draw(TEXTS), "a", draw(OBJECTS), [], 0, "d", 1
                    )
                )
            elif commands:
                observations += 1
                command = f"c{draw(st.integers(1, commands))}"
                uncertainty = draw(st.none() | NUMBERS)
                batch += [
                    CommandSettled(
                        command,
                        draw(STATUS),
                        draw(OBJECTS),
                        [],
                        draw(st.none() | TEXTS),
                        None,
                        None,
                        draw(st.none() | NUMBERS),
                        draw(st.booleans()),
                    ),
                    ObservationRecorded(
                        f"{number}.x.{observations}",
                        number,
                        "x",
                        draw(NUMBERS),
                        uncertainty,
                        "K",
                        "s",
                        "valid",
                        command,
                    ),
                ]
        if batch:
            batches.append(batch)
    return batches


@contextmanager
def in_memory(batches: list[list[Event]]) -> Iterator[Ledger]:
    ledger = Ledger(None)
    try:
        for moment, batch in enumerate(batches):
            ledger.append("demo", float(moment), batch)
        yield ledger
    finally:
        ledger.close()


@contextmanager
def in_postgresql(ledger: Ledger, batches: list[list[Event]]) -> Iterator[Ledger]:
    with ledger.writing() as connection:
        connection.execute(text("ALTER TABLE journal DISABLE TRIGGER USER"))
        connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)}"))
        connection.execute(text("ALTER TABLE journal ENABLE TRIGGER USER"))
    ledger._epochs.clear()
    for moment, batch in enumerate(batches):
        ledger.append("demo", float(moment), batch)
    yield ledger


@pytest.fixture(scope="module")
def kept(request, templates, tmp_path_factory):
    """A function that writes a life into an empty database: of SQLite in memory, or of PostgreSQL."""
    if request.param == "sqlite":
        yield in_memory
        return
    _, empty = templates("postgresql", "empty")
    server = request.getfixturevalue("postgres")
    url = server.database(empty)
    ledger = Ledger(home_in(tmp_path_factory.mktemp("kept"), url))
    yield partial(in_postgresql, ledger)
    ledger.close()
    server.drop(url)


@pytest.mark.parametrize("kept", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(batches=lives())
def test_any_life_verifies_and_reads_back(kept, batches):
    with kept(batches) as ledger:
        head = ledger.head("demo")
        found = verify(ledger, "demo", [Head(*head, "elsewhere")])
        assert found.ok, found.text()
        assert found.told_up_to == found.rows == head[0]
        # What was written is what is read, up to half surrogate pairs, which are no text.
        assert [canonical(r.event.body()) for r in ledger.rows("demo")] == [
            canonical(e.body()) for b in batches for e in b
        ]


COLUMNS = ["campaign", "seq", "at", "kind", "body", "previous", "hash"]


@pytest.fixture(scope="module")
def whole(fill):
    ledger = fill(Ledger(None), experiments=2)
    yield ledger
    ledger.close()


@contextmanager
def forged(ledger: Ledger, *guards: str) -> Iterator[sqlite3.Connection]:
    """Yield the database as a forger has it; afterwards all is as it was."""
    pooled = ledger.engine.raw_connection()
    connection: Any = pooled.driver_connection
    copy = sqlite3.connect(":memory:")
    connection.backup(copy)
    try:
        for name in ("journal_never_changed", "journal_never_removed", "journal_follows"):
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
    finally:
        if connection.in_transaction:
            connection.rollback()
        copy.backup(connection)
        copy.close()
        pooled.close()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_edit_of_any_byte_of_any_column_of_any_row_is_found(whole, data):
    rows = whole.rows("demo")
    seq = data.draw(st.integers(1, len(rows)), label="row")
    name = data.draw(st.sampled_from(COLUMNS), label="column")
    head = Head(*whole.head("demo"), "elsewhere")
    with forged(whole) as connection:
        (old,) = connection.execute(f"SELECT CAST({name} AS BLOB) FROM journal WHERE seq = ?", (seq,)).fetchone()
        at = data.draw(st.integers(0, len(old) - 1), label="byte")
        byte = data.draw(st.integers(0, 255), label="becomes")
        assume(old[at] != byte)
        new = old[:at] + bytes([byte]) + old[at + 1 :]
        kind = "INTEGER" if name == "seq" else "TEXT"
        try:
            changed = connection.execute(f"UPDATE journal SET {name} = CAST(? AS {kind}) WHERE seq = ?", (new, seq))
        except sqlite3.IntegrityError:
            assume(False)  # the number of another row: the database refuses it
        assume(connection.execute(f"SELECT CAST({name} AS BLOB) FROM journal").fetchall() and changed.rowcount == 1)
        (kept,) = connection.execute(
            "SELECT count(*) FROM journal WHERE campaign = 'demo' AND seq = ?", (seq,)
        ).fetchone()
        assume(name != "seq" or kept == 0)  # `07` is 7
        assert not verify(whole, "demo", [head]).ok
        if name != "campaign" or seq < len(rows):  # else the last row is gone, as by a cut
            assert not verify(whole, "demo").ok


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_removal_swap_or_cut_is_found(whole, data):
    count = len(whole.rows("demo"))
    head = Head(*whole.head("demo"), "elsewhere")
    what = data.draw(st.sampled_from(["remove", "swap", "cut"]))
    seq = data.draw(st.integers(1, count - 1))
    other = data.draw(st.integers(1, count).filter(lambda s: s != seq))
    with forged(whole) as connection:
        if what == "remove":
            connection.execute("DELETE FROM journal WHERE seq = ?", (seq,))
        elif what == "cut":
            connection.execute("DELETE FROM journal WHERE seq > ?", (seq,))
        else:
            for old, new in ((seq, -1), (other, seq), (-1, other)):
                connection.execute("UPDATE journal SET seq = ? WHERE seq = ?", (new, old))
        assert not verify(whole, "demo", [head]).ok
        assert not verify(whole, "demo").ok  # without a head too: what a cut row said is left in the projections


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_forgery_hashed_anew_is_found_by_a_head_at_or_after_it(whole, data):
    from sdl.ledger.ledger import GENESIS, row_hash

    rows = whole.rows("demo")
    seq = data.draw(st.integers(1, len(rows)), label="forged row")
    heads = data.draw(st.lists(st.sampled_from(rows), max_size=3), label="heads")
    given_heads = [Head(r.seq, r.hash, f"report {r.seq}") for r in heads]
    with forged(whole) as connection:
        connection.execute("UPDATE journal SET at = '1999-12-31T00:00:00.000000+00:00' WHERE seq = ?", (seq,))
        previous = GENESIS
        for number, at, kind, body in connection.execute(
            "SELECT seq, at, kind, body FROM journal ORDER BY seq"
        ).fetchall():
            digest = row_hash(previous, "demo", number, at, kind, body)
            connection.execute("UPDATE journal SET previous = ?, hash = ? WHERE seq = ?", (previous, digest, number))
            previous = digest
        for table in ("campaigns", "experiments"):  # where times of rows are projected
            columns = {"campaigns": ["created"], "experiments": ["started", "finished"]}[table]
            for column in columns:
                old = rows[seq - 1].at
                connection.execute(
                    f"UPDATE {table} SET {column} = '1999-12-31T00:00:00.000000+00:00' WHERE {column} = ?", (old,)
                )
        found = verify(whole, "demo", given_heads)
        assert {f.kind for f in found.findings if f.kind != "projection"} == (
            {"head"} if any(h.seq >= seq for h in heads) else set()
        )
        assert found.told_up_to == max((h.seq for h in heads if h.seq < seq), default=0)
