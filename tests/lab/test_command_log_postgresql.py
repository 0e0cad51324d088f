"""A command log in a PostgreSQL: beside a ledger and other labs, written by one server, over the loss of the database."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from labkit import command, effects, served, until
from sqlalchemy import make_url

from sdl.errors import InputError, LedgerError, NameInUseError
from sdl.lab.log_database import PostgresqlLogDatabase, where_is
from sdl.lab.log_tables import schema_of
from sdl.lab.serving import LOG
from sdl.lab.sql_log import SqlLog
from sdl.ledger import Ledger
from sdl.ledger.place import remember, url_of

pytestmark = pytest.mark.postgresql


@pytest.fixture
def url(postgres):
    made = postgres.database()
    yield made
    postgres.drop(made)


def test_logs_and_a_ledger_share_a_database(url, postgres, tmp_path):
    from postgreskit import home_in

    Ledger(home_in(tmp_path / "home", url)).close()
    one, other = SqlLog(url, "bench"), SqlLog(url, "Bench " + 80 * "x")
    one.accept(command("a"), True, 1.0)
    other.accept(command("a", with_={"hold": 2.0}), True, 1.0)
    assert one.id != other.id
    assert one.record("a").digest != other.record("a").digest
    schemas = postgres.execute("SELECT table_schema FROM information_schema.tables WHERE table_name = 'commands'", url)
    assert sorted(s for (s,) in schemas) == sorted(["public", "sdl_lab_bench", schema_of("Bench " + 80 * "x")])
    one.close()
    other.close()
    Ledger(tmp_path / "home").close()


def test_names_of_labs_give_schemas_of_their_own():
    assert schema_of("bench") == "sdl_lab_bench"
    long = [schema_of(70 * "x" + end) for end in "ab"]
    assert [len(n) for n in long] == [63, 63] and long[0] != long[1]


def test_a_second_server_is_refused_and_told_whose_it_is(url):
    log = SqlLog(url, "bench")
    said = re.escape(f"is being written by the lab server of process {os.getpid()} on {socket.gethostname()[:30]}; ")
    with pytest.raises(NameInUseError, match=r"log of lab 'bench' in postgresql://.*\(schema sdl_lab_bench\) " + said):
        SqlLog(url, "bench")
    log.close()
    SqlLog(url, "bench").close()


def test_no_password_is_ever_said_or_written(url, tmp_path, monkeypatch):
    secret = str(url.password)
    assert len(secret) > 5
    monkeypatch.setenv(LOG.variable, url.render_as_string(hide_password=False))
    found = url_of(tmp_path, LOG)
    remember(tmp_path, found, LOG)
    assert secret not in (tmp_path / "commands.url").read_text()
    assert secret not in where_is(url, "bench")
    log = SqlLog(url, "bench")
    with pytest.raises(NameInUseError) as refused:
        SqlLog(url, "bench")
    monkeypatch.setattr(PostgresqlLogDatabase, "writing", lambda self: self.engine.connect())
    with pytest.raises(LedgerError, match="read-only transaction") as unwritten:
        log.accept(command("a"), True, 1.0)
    log.close()
    with pytest.raises(LedgerError, match="cannot be opened") as closed:
        SqlLog(url.set(port=1), "bench")
    wrong = url.set(password="wrong" + secret)
    with pytest.raises(LedgerError, match="cannot be opened") as stranger:
        SqlLog(wrong, "bench")
    for said in (refused, unwritten, closed, stranger):
        assert secret not in str(said.value)


def test_a_lab_remembers_its_log_and_gets_no_second_one(url, tmp_path, monkeypatch):
    assert url_of(tmp_path, LOG) is None
    remember(tmp_path, make_url("postgresql+psycopg://lab@db.example/labs"), LOG)
    assert url_of(tmp_path, LOG).host == "db.example"
    with pytest.raises(
        InputError, match=r"the command log of .* is in postgresql://lab@db.example/labs \(its file commands"
    ):
        url_of(tmp_path, LOG, url.render_as_string(hide_password=False))
    (tmp_path / "commands.db").touch()
    with pytest.raises(
        InputError, match=r"is its file commands\.db, but the address given names postgresql://.*another --home"
    ):
        url_of(tmp_path, LOG, "postgresql://lab@db.example/labs")
    monkeypatch.setenv(LOG.variable, "mysql://x@y/z")
    with pytest.raises(InputError, match=r"\$SDL_LAB_LOG_URL names a database of kind 'mysql'"):
        url_of(tmp_path, LOG)


def open_again_and_again(url) -> None:
    for _ in range(100):
        SqlLog(url, "bench").close()


def test_a_database_that_keeps_nothing_is_refused(url, postgres):
    postgres.execute("ALTER SYSTEM SET fsync = off")
    postgres.execute("SELECT pg_reload_conf()")
    try:
        with pytest.raises(LedgerError, match=r"does not keep what it commits \(fsync off"):
            open_again_and_again(url)  # the server takes the setting over when it gets to it
    finally:
        postgres.execute("ALTER SYSTEM RESET fsync")
        postgres.execute("SELECT pg_reload_conf()")


def test_who_was_cut_off_and_overtaken_writes_nothing(url, postgres):
    """Its connection dies; another server opens the log, works and ends; then the first one comes back."""
    log = SqlLog(url, "bench")
    log.accept(command("a"), True, 1.0)
    ends = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'sdl %' "
        "AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert postgres.execute(ends, url)[0][0] >= 1
    with pytest.raises(LedgerError, match="cannot be written"):
        log.started("a", 2.0)
    log.started("a", 2.0)  # over a new connection: nobody was there meanwhile
    assert postgres.execute(ends, url)[0][0] >= 1
    other = SqlLog(url, "bench")
    with pytest.raises(LedgerError):  # the connection died
        log.finished(log.record("a").command and _reply(), 3.0)
    with pytest.raises(LedgerError, match="being run by process"):
        log.finished(_reply(), 3.0)
    other.finished(_reply(), 3.0)
    other.close()
    for _ in range(2):
        with pytest.raises(LedgerError, match=r"another server has opened the command log .* it writes nothing more"):
            log.accept(command("b"), True, 4.0)
    log.close()


def _reply():
    from sdl.driver import Reply

    return Reply("a", "succeeded")


def test_a_lost_database_begins_nothing_and_loses_nothing(url, postgres, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("sdl.lab.work._AGAIN", 0.05)
    monkeypatch.setattr("sdl.lab.driving.AGAIN", 0.05)

    async def main():
        async with served(tmp_path, log_url=url) as lab:
            client = await lab.client()
            told = []
            client.say_to(told.append)
            running = asyncio.create_task(client.execute(command("f", with_={"hold": 0.5}), True))
            await until(lambda: effects(tmp_path) == ["f"])
            waits = asyncio.create_task(client.execute(command("g", samples=("s2",)), True))
            await until(lambda: lab.server.log.record("g") is not None)
            await asyncio.to_thread(postgres.kill)
            late = asyncio.create_task(client.execute(command("h", samples=("s3",)), True))
            await until(lambda: "the reply to command f cannot be kept yet" in caplog.text and told)
            assert not running.done() and not waits.done() and not late.done()
            assert lab.server.log.record("h") is None  # not accepted
            await asyncio.to_thread(postgres.start)
            replies = await asyncio.wait_for(asyncio.gather(running, waits, late), 60)
            assert [r.status for r in replies] == ["succeeded"] * 3
            assert effects(tmp_path) == ["f", "g", "h"]
            assert lab.server.log.record("f").reply == replies[0]
            await client.close()
        again = SqlLog(url)
        assert [(r.command.id, r.status) for r in again.records("c.id")] == [(i, "succeeded") for i in "fgh"]
        again.close()

    asyncio.run(main())


def test_an_abort_needs_no_database(url, postgres, tmp_path, monkeypatch):
    """What waits does not begin, what runs is aborted; both answers are written when the database is back."""
    monkeypatch.setattr("sdl.lab.work._AGAIN", 0.05)
    monkeypatch.setattr("sdl.lab.client._URGENT", 1.0)

    async def main():
        async with served(tmp_path, log_url=url) as lab:
            client = await lab.client()
            running = asyncio.create_task(client.execute(command("f", with_={"hold": 600.0}), True))
            await until(lambda: effects(tmp_path) == ["f"])
            waits = asyncio.create_task(client.execute(command("g", samples=("s2",)), True))
            await until(lambda: lab.server.log.record("g") is not None)
            await asyncio.to_thread(postgres.kill)
            try:
                await client.abort()  # nothing had to be written: both were here
                assert not lab.server.lab.under_way()
            finally:
                await asyncio.to_thread(postgres.start)
            replies = await asyncio.wait_for(asyncio.gather(running, waits), 60)
            assert [r.status for r in replies] == ["aborted", "not_started"]
            assert effects(tmp_path) == ["f"]
            await client.close()

    asyncio.run(main())


@pytest.mark.slow
def test_sdl_lab_serve_takes_the_address(url, tmp_path):
    (tmp_path / "lab.yaml").write_text(
        "name: bench\nworld: {seed: 1}\ninstruments:\n  oven: {driver: simulated_box_furnace}\n"
    )
    serve = [sys.executable, "-m", "sdl.cli", "lab", "serve", str(tmp_path / "lab.yaml"), "--port", "0", "--no-token"]
    environment = {**os.environ, "SDL_LOCKS": str(tmp_path / "locks"), "OMP_NUM_THREADS": "1"}
    address = url.render_as_string(hide_password=False)

    def start(home: Path, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*serve, "--home", str(home)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**environment, **more},
        )

    first = start(tmp_path / "one", SDL_LAB_LOG_URL=address)
    try:
        line = first.stdout.readline()
        assert re.search(r"command log postgresql://.*/test\d+ \(schema sdl_lab_bench\)", line), line
        assert str(url.password) not in line
        assert str(url.password) not in (tmp_path / "one" / "labs" / "bench" / "commands.url").read_text()
        second = start(tmp_path / "two", SDL_LAB_LOG_URL=address, SDL_LOCKS=str(tmp_path / "other machine"))
        said = second.communicate(timeout=60)[0]
        assert second.returncode == 2
        assert f"is being written by the lab server of process {first.pid} on {socket.gethostname()[:30]}" in said
        assert str(url.password) not in said
    finally:
        first.kill()
        first.wait()
        first.stdout.close()
    refused = start(tmp_path / "one", SDL_LAB_LOG_URL="postgresql://x@127.0.0.1:1/other")
    said = refused.communicate(timeout=60)[0]
    assert refused.returncode == 2
    assert "its file commands.url" in said
