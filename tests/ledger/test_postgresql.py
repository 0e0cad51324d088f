"""What PostgreSQL has in the place of SQLite's ways: guards, durability, owners over several homes, a server that goes away."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from postgreskit import home_in
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from sdl.errors import InputError, LedgerError, NameInUseError
from sdl.ledger import (
    CampaignCreated,
    CampaignEnded,
    EpochRaised,
    Inbox,
    Ledger,
    postgresql,
)
from sdl.ledger.backup import backup, restore
from sdl.ledger.guards import GUARDS, POSTGRESQL_GUARDS
from sdl.ledger.place import url_of
from sdl.ledger.tables import metadata
from sdl.ledger.verify import verify

psycopg = pytest.importorskip("psycopg")
pytestmark = pytest.mark.postgresql


@pytest.fixture
def database():
    """These tests run on PostgreSQL alone."""
    return "postgresql"


def connected(ledger: Ledger) -> Any:
    """Connect past the ledger."""
    url = url_of(ledger.home).set(drivername="postgresql")
    return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)


@pytest.fixture
def second(ledger, tmp_path):
    """Another home on the same database, as another machine has it."""
    home = home_in(tmp_path / "second", url_of(ledger.home))
    made = Ledger(home)
    yield made
    made.close()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setenv(postgresql.PATIENCE_VARIABLE, "0.3")


# --- guards and durability -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE journal SET at = at WHERE seq = 2", "never changed"),
        ("DELETE FROM journal WHERE seq = (SELECT max(seq) FROM journal)", "never removed"),
        ("DELETE FROM journal", "never removed"),
        ("TRUNCATE journal", "never removed"),
        (
            "INSERT INTO journal SELECT * FROM journal WHERE seq = 1 ON CONFLICT (campaign, seq) DO UPDATE SET body = ''",
            "follow",
        ),
        (
            "INSERT INTO journal SELECT campaign, seq + 100, at, kind, body, hash, hash FROM journal WHERE seq = 2",
            "follow",
        ),
        ("INSERT INTO journal SELECT 'new', 1, at, kind, body, hash, hash FROM journal WHERE seq = 2", "follow"),
        ("INSERT INTO journal SELECT 'new', NULL, at, kind, body, previous, hash FROM journal WHERE seq = 1", "follow"),
    ],
)
def test_the_database_itself_refuses_to_change_the_journal(ledger, statement, said):
    with connected(ledger) as connection, pytest.raises(psycopg.IntegrityError, match=said):
        connection.execute(statement)
    assert verify(ledger, "demo").ok


def test_the_migrations_make_the_guards_that_the_tables_name():
    import importlib

    first = importlib.import_module("sdl.ledger.migrations.versions.0001_first_schema")
    third = importlib.import_module("sdl.ledger.migrations.versions.0003_postgresql")
    assert (first.GUARDS, third.GUARDS) == (GUARDS, POSTGRESQL_GUARDS)


def test_tables_that_are_made_at_once_have_the_guards_too(ledger, postgres, fill):
    made = postgres.database()
    database = postgresql.PostgresqlDatabase(made)
    metadata.create_all(database.writer)
    names = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgname"
    assert postgres.execute(names, made) == postgres.execute(names, url_of(ledger.home))
    assert len(postgres.execute(names, made)) == 3
    database.close()
    postgres.drop(made)


def test_commits_are_durable_whatever_the_server_says(ledger, postgres):
    url = url_of(ledger.home)
    postgres.execute(f"ALTER DATABASE {url.database} SET synchronous_commit = off")
    postgres.execute(f"ALTER DATABASE {url.database} SET extra_float_digits = 0")
    again = Ledger(ledger.home)
    for engine in (again.engine, again._database.writer):
        with engine.connect() as connection:
            assert connection.execute(text("SHOW synchronous_commit")).scalar() == "on"
            assert connection.execute(text("SHOW extra_float_digits")).scalar() == "1"
    assert verify(again, "demo").ok
    again.close()


def test_a_server_that_keeps_nothing_is_refused(ledger, postgres):
    postgres.execute("ALTER SYSTEM SET fsync = off")
    try:
        postgres.execute("SELECT pg_reload_conf()")
        until(lambda: postgres.execute("SHOW fsync") == [("off",)])
        with pytest.raises(LedgerError, match=r"does not keep what it commits \(fsync off"):
            Ledger(ledger.home)
    finally:
        postgres.execute("ALTER SYSTEM RESET fsync")
        postgres.execute("SELECT pg_reload_conf()")
        until(lambda: postgres.execute("SHOW fsync") == [("on",)])


def test_readers_see_one_moment_and_nobody_waits(ledger):
    with connected(ledger) as other, ledger.reading() as connection:
        before = connection.execute(text("SELECT count(*) FROM journal")).scalar()
        with other.transaction():
            other.execute("UPDATE campaigns SET state = 'x'")
            assert connection.execute(text("SELECT state FROM campaigns")).scalar() == "waiting"
            assert ledger.campaign("demo")["state"] == "waiting"
        assert connection.execute(text("SELECT state FROM campaigns")).scalar() == "waiting"
        assert connection.execute(text("SELECT count(*) FROM journal")).scalar() == before
        with pytest.raises(DBAPIError, match="read-only"):
            connection.execute(text("DELETE FROM campaigns"))
    assert ledger.campaign("demo")["state"] == "x"


def test_a_user_who_may_only_read_reads(ledger, postgres):
    url = url_of(ledger.home)
    role = f"reader_{url.database}"
    postgres.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'seeing'")
    postgres.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}", url)
    home_in(ledger.home, url.set(username=role, password="seeing"))
    reader = Ledger(ledger.home)
    assert reader.is_read_only
    assert verify(reader, "demo").ok
    with pytest.raises(LedgerError, match=r"permission denied.*nothing was recorded.*this user may not write"):
        reader.append("demo", 1.0, [CampaignEnded("done", "")])
    reader.close()
    postgres.execute(f"DROP OWNED BY {role}", url)
    postgres.execute(f"DROP ROLE {role}")


def test_text_comes_back_with_every_character_and_is_found_by_it(empty):
    strange = ["a\x00b", "\x1b0", "\x00\x1b\x1b0", "µ", "\U0001f525"]
    for i, name in enumerate(strange):
        empty.append(f"c{i}", 0.0, [CampaignCreated(i, {}), CampaignEnded("failed", name)])
        assert empty.campaign(f"c{i}")["reason"] == name
        assert verify(empty, f"c{i}").ok
        with empty.reading() as connection:
            campaigns = metadata.tables["campaigns"].c
            found = connection.execute(campaigns.name.table.select().where(campaigns.reason == name)).all()
        assert [r.name for r in found] == [f"c{i}"]


def test_large_numbers_and_long_text_fit_as_they_do_in_sqlite(empty):
    empty.append("c", 0.0, [CampaignCreated(2**62, {}), EpochRaised(2**40, 2**35, "h" * 1000, {})])
    assert empty.campaign("c")["host"] == "h" * 1000
    assert verify(empty, "c").ok


# --- owners ----------------------------------------------------------------------------------------------------------

OWNER = """
    import sys, time
    from pathlib import Path
    from sdl.ledger import Ledger
    ledger = Ledger(Path(sys.argv[1]))
    mine = ledger.own("demo")
    mine.take()
    print("taken", flush=True)
    time.sleep(600)
"""


@contextmanager
def owner_in(home: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(OWNER), str(home)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "taken\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def until(holds, seconds: float = 30.0) -> None:
    """Wait until something holds."""
    import time

    last = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < last
        time.sleep(0.02)


def advisory_locks(postgres) -> int:
    return postgres.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")[0][0]


def test_a_campaign_has_one_owner_over_all_homes_of_a_database(ledger, second, postgres):
    with owner_in(ledger.home) as process:
        assert second.is_owned("demo")
        assert second.owner("demo")[0] == process.pid
        with pytest.raises(NameInUseError, match=f"campaign 'demo' is being run by process {process.pid} on "):
            second.own("demo").take()
        process.send_signal(signal.SIGSTOP)  # a frozen owner is still one
        with pytest.raises(NameInUseError):
            second.own("demo").take()
    until(lambda: not second.is_owned("demo"))  # a dead one is none
    mine = second.own("demo")
    mine.take()
    with pytest.raises(NameInUseError, match=f"process {os.getpid()} on "):
        ledger.own("demo").take()
    assert json.loads((ledger.home / "locks" / "demo.lock").read_text())["pid"] == os.getpid()
    mine.release()
    assert advisory_locks(postgres) == 0
    ours = ledger.own("demo")
    ours.take()  # nor did the refusal keep the lock of its own home
    ours.release()


def test_a_frozen_owner_of_another_home_is_followed_once_it_was_silent(ledger, second, postgres):
    with owner_in(ledger.home) as process:
        process.send_signal(signal.SIGSTOP)
        mine = second.own("demo")
        with pytest.raises(NameInUseError, match=rf"process {process.pid} on .*last sign of life is \d+ s old"):
            mine.take_over(60.0)
        found = []

        def taken() -> bool:
            with suppress(NameInUseError):
                found.append(mine.take_over(1.0))
            return bool(found)

        until(taken)
        assert found[0].pid == process.pid and found[0].silent >= 1.0
        assert second.owner("demo")[0] == os.getpid()
        mine.sign()
        with pytest.raises(NameInUseError, match=f"process {os.getpid()} on "):
            second.own("demo").take_over(60.0)
        mine.release()
        assert advisory_locks(postgres) == 0


def test_no_lock_is_lost_or_left_behind_by_owners_that_are_killed(ledger, second, postgres):
    for home in (ledger.home, second.home, ledger.home):
        with owner_in(home):
            assert advisory_locks(postgres) == 1
        until(lambda: advisory_locks(postgres) == 0)
        assert second.owner("demo") is None


CONTENDER = """
    import os, sys, time
    from pathlib import Path
    from sdl.errors import LedgerError, NameInUseError
    from sdl.ledger import CampaignEnded, EpochRaised, Ledger
    home, grants = Path(sys.argv[1]), int(sys.argv[2])
    ledger = Ledger(home)
    sys.stdin.readline()
    while True:
        epoch = ledger.campaign("demo")["epoch"]
        if epoch > grants:
            break
        mine = ledger.own("demo")
        try:
            mine.take()
        except NameInUseError:
            time.sleep(0.002)
            continue
        epoch = ledger.campaign("demo")["epoch"]
        ledger.append("demo", 0.0, [EpochRaised(epoch + 1, os.getpid(), home.name, {})])
        mine.release()
        ledger._epochs.clear()  # the next one is another process's life
        time.sleep(0.002)
"""


def test_two_processes_take_a_campaign_in_turn_and_every_turn_is_one_epoch(ledger, second):
    grants = 60
    first = ledger.head("demo")[0]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CONTENDER), str(home), str(grants)], stdin=subprocess.PIPE, text=True
        )
        for home in (ledger.home, second.home)
    ]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.stdin.close()
        assert process.wait(timeout=120) == 0
    raised = [row.event for row in ledger.rows("demo")[first:]]
    assert [e.epoch for e in raised] == list(range(2, len(raised) + 2))  # no two processes ever had the same
    assert len(raised) >= grants
    assert {e.host for e in raised} == {"home", "second"}
    assert verify(ledger, "demo").ok


def sessions(postgres, ledger) -> list[int]:
    """The server's processes that hold locks of this ledger."""
    name = ledger._database.name
    query = "SELECT a.pid FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
    return [p for (p,) in postgres.execute(f"{query} WHERE l.locktype = 'advisory' AND a.application_name = '{name}'")]


def test_an_owner_whose_connection_died_takes_the_lock_again_before_it_writes(ledger, second, postgres, caplog):
    mine = ledger.own("demo")
    mine.take()
    ledger.append("demo", 1.0, [EpochRaised(2, 1, "h", {})])
    [backend] = sessions(postgres, ledger)
    postgres.execute(f"SELECT pg_terminate_backend({backend})")
    until(lambda: second.owner("demo") is None)
    ledger.append("demo", 2.0, [CampaignEnded("stopped", "x")])
    assert "is owned again, over a new connection" in caplog.text
    with pytest.raises(NameInUseError):
        second.own("demo").take()
    mine.release()
    assert verify(ledger, "demo").ok


def test_an_owner_whose_connection_died_and_whose_campaign_was_taken_over_writes_nothing(ledger, second, postgres):
    mine = ledger.own("demo")
    mine.take()
    ledger.append("demo", 1.0, [EpochRaised(2, 1, "h", {})])
    postgres.execute(f"SELECT pg_terminate_backend({sessions(postgres, ledger)[0]})")
    until(lambda: second.owner("demo") is None)
    theirs = second.own("demo")
    theirs.take()
    second.append("demo", 2.0, [EpochRaised(3, 2, "k", {})])
    head = second.head("demo")
    with pytest.raises(
        LedgerError, match=r"connection .* was lost.*being run by process.*no further step is started here"
    ):
        ledger.append("demo", 3.0, [CampaignEnded("done", "x")])
    theirs.release()
    # Even where the lock is free again: the epoch is the fence.
    with pytest.raises(LedgerError, match=r"was taken over: its epoch is 3, this process has 2; nothing was recorded"):
        ledger.append("demo", 3.0, [CampaignEnded("done", "x")])
    assert second.head("demo") == head
    mine.release()


def test_our_own_session_that_the_server_still_believes_in_is_ended(ledger, second, postgres):
    mine = ledger.own("demo")
    mine.take()
    # As after a cut of the network: we have lost the connection, the server has not noticed.
    lost = mine._second._connection
    mine._second._connection = None
    ledger.append("demo", 1.0, [EpochRaised(2, 1, "h", {})])
    assert len(sessions(postgres, ledger)) == 1
    lost.invalidate()
    lost.close()
    mine.release()
    assert second.owner("demo") is None


# --- a server that goes away -----------------------------------------------------------------------------------------


def test_a_write_waits_for_a_server_that_comes_back(ledger, postgres, caplog):
    mine = ledger.own("demo")
    mine.take()
    ledger.append("demo", 1.0, [EpochRaised(2, 1, "h", {})])
    postgres.kill()
    starter = threading.Timer(0.5, postgres.start)
    starter.start()
    try:
        ledger.append("demo", 2.0, [CampaignEnded("stopped", "x")])
        assert "is away" in caplog.text and "is back" in caplog.text
        assert postgres.url.password not in caplog.text
        assert ledger.owner("demo")[0] == os.getpid()
    finally:
        starter.join()
    mine.release()
    assert verify(ledger, "demo").ok


def test_a_server_that_was_met_is_waited_for_when_a_ledger_is_opened(ledger, postgres, monkeypatch, caplog):
    postgres.kill()
    starter = threading.Timer(0.5, postgres.start)
    try:
        with monkeypatch.context() as patched:
            patched.setattr("sdl.ledger.postgresql._MET", set())
            with pytest.raises(LedgerError, match="is the server up"):  # a mistake in an address is said at once
                Ledger(ledger.home)
        starter.start()
        Ledger(ledger.home).close()
        assert "is away" in caplog.text and "is back" in caplog.text
    finally:
        starter.join()


def test_a_write_gives_up_says_so_and_goes_on_when_the_server_is_back(impatient, ledger, postgres):
    import time

    head = ledger.head("demo")
    postgres.kill()
    try:
        with pytest.raises(
            LedgerError, match=r"cannot be written: .*no further step is started: .*run the same command"
        ):
            ledger.append("demo", 2.0, [CampaignEnded("stopped", "x")])
        begun = time.monotonic()
        with pytest.raises(LedgerError) as caught:
            ledger.append("demo", 2.0, [CampaignEnded("stopped", "x")])
        assert time.monotonic() - begun < 0.3  # nobody waits twice
        assert postgres.url.password not in str(caught.value)
        with pytest.raises(LedgerError, match="cannot be read"):
            ledger.rows("demo")
        with pytest.raises(LedgerError, match="cannot be opened as a ledger") as caught:
            Ledger(ledger.home)
        assert postgres.url.password not in str(caught.value)
    finally:
        postgres.start()
    assert ledger.head("demo") == head
    ledger.append("demo", 2.0, [CampaignEnded("stopped", "x")])
    assert verify(ledger, "demo").ok


@pytest.mark.parametrize("committed", [True, False])
def test_a_commit_whose_answer_was_lost_is_looked_up_and_not_repeated(ledger, monkeypatch, committed):
    real, left = ledger._database.writing, [1]

    @contextmanager
    def losing(campaign=None):
        with real(campaign) as connection:
            yield connection
            if left[0] and not committed:
                left[0] = 0
                raise OperationalError("COMMIT", {}, psycopg.OperationalError("gone"), connection_invalidated=True)
        if left[0]:
            left[0] = 0
            raise OperationalError("COMMIT", {}, psycopg.OperationalError("gone"), connection_invalidated=True)

    monkeypatch.setattr(ledger._database, "writing", losing)
    before = len(ledger.rows("demo"))
    rows = ledger.append("demo", 2.0, [CampaignEnded("stopped", "x"), CampaignEnded("stopped", "y")])
    assert not left[0]
    assert ledger.rows("demo")[before:] == rows
    assert verify(ledger, "demo").ok


def test_full_disk_keeps_nothing_of_the_transaction(ledger, postgres):
    noise = os.urandom(10 * 2**20).hex()  # nothing that could be compressed
    head = ledger.head("demo")
    # No file may be larger than a segment of the server's own log: its tables meet a full disk, the log does not.
    postgres.limit(2**24)
    with pytest.raises(
        LedgerError, match=r"cannot be written: could not extend file.*nothing was recorded.*free the disk"
    ):
        ledger.append("demo", 99.0, [EpochRaised(2, 1, "h", {}), CampaignEnded("done", noise)])
    assert ledger.head("demo") == head
    assert ledger.campaign("demo")["state"] == "waiting"
    postgres.limit(None)
    ledger.append("demo", 99.0, [EpochRaised(2, 1, "h", {}), CampaignEnded("done", noise)])  # mended: it goes on
    assert verify(ledger, "demo").ok


# --- backups into the other database ---------------------------------------------------------------------------------


def test_a_backup_is_restored_into_either_database(ledger, postgres, tmp_path, monkeypatch):
    inbox = Inbox(ledger)
    last = [inbox.put("demo", "me", "pause", {}) for _ in range(3)][-1]
    made = tmp_path / "b.tar.gz"
    assert backup(ledger.home, made).campaigns == {"demo": ledger.head("demo")}
    restore(made, tmp_path / "file")
    with sqlite3.connect(tmp_path / "file" / "ledger.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    as_file = Ledger(tmp_path / "file")
    assert verify(as_file, "demo").ok
    assert as_file.rows("demo") == ledger.rows("demo")
    backup(tmp_path / "file", tmp_path / "c.tar.gz")
    as_file.close()

    url = postgres.database()
    home_in(tmp_path / "named", url)  # a home that says where its database is
    restore(tmp_path / "c.tar.gz", tmp_path / "named")
    again = Ledger(tmp_path / "named")
    assert verify(again, "demo").ok
    assert again.rows("demo") == ledger.rows("demo")
    assert list(again.artefacts.all()) == list(ledger.artefacts.all())
    assert Inbox(again).put("demo", "me", "pause", {}) == last + 1  # numbers go on where they were
    assert not (tmp_path / "named" / "ledger.db").exists()
    again.close()

    with pytest.raises(InputError, match="holds campaigns already: 'demo'"):
        restore(made, home_in(tmp_path / "other", url))
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["ledger.url"]
    postgres.drop(url)


def test_a_restore_that_fails_leaves_neither_home_nor_campaigns(ledger, postgres, tmp_path, monkeypatch):
    backup(ledger.home, tmp_path / "b.tar.gz")
    url = postgres.database()
    monkeypatch.setenv("SDL_LEDGER_URL", url.render_as_string(hide_password=False))
    postgres.execute("CREATE SEQUENCE nothing", url)
    from sdl.ledger import copying

    def fails(work, home, url):
        real(work, home, url)
        raise OSError(28, "No space left on device")

    real = copying._become
    monkeypatch.setattr(copying, "_become", fails)
    with pytest.raises(LedgerError, match="cannot be restored: No space left on device; nothing of it was kept"):
        restore(tmp_path / "b.tar.gz", tmp_path / "r")
    monkeypatch.setattr(copying, "_become", real)
    shutil.rmtree(tmp_path / "r", ignore_errors=True)
    restore(tmp_path / "b.tar.gz", tmp_path / "r")
    again = Ledger(tmp_path / "r")
    assert verify(again, "demo").ok
    again.close()
    remembered = (tmp_path / "r" / "ledger.url").read_text()
    assert remembered == f"postgresql+psycopg://{url.username}@{url.host}:{url.port}/{url.database}\n"
    postgres.drop(url)
