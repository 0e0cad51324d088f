"""A PostgreSQL server for tests, made by `scripts/postgres`; it ends with the process that asked for it."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, make_url, text

_MEMORY = "/dev/shm"
"""A file system in memory: hundreds of databases are made and thrown away, and a power cut is not what tests can try."""

SCRIPT = Path(__file__).parents[2] / "scripts" / "postgres"


def reason_against() -> str | None:
    """Say why there can be no PostgreSQL here, or None."""
    if importlib.util.find_spec("psycopg") is None:
        return "NO TEST ON POSTGRESQL: its driver is missing, install sdl[postgresql]"
    if subprocess.run([SCRIPT, "where"], stdout=subprocess.DEVNULL, check=False).returncode:
        return "NO TEST ON POSTGRESQL: the server is not installed, see scripts/install_debian"
    return None


def _has_room(folder: str) -> bool:
    return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > 2**30


ONLY_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""Marks a test of what only SQLite has; what PostgreSQL has in its place is tested in `test_postgresql.py`."""


class Postgres:
    """One server."""

    def __init__(self) -> None:
        where = {"TMPDIR": _MEMORY} if _has_room(_MEMORY) else {}
        self._process = subprocess.Popen(
            [SCRIPT, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **where}
        )
        said = self._process.stdout.readline().strip()
        assert said, "the server did not start; see above"
        self.url = make_url(said)
        self._numbers = itertools.count(1)
        [(version,)] = self.execute("SELECT current_setting('server_version_num')::int")
        self._strategy = "STRATEGY FILE_COPY" if version >= 150000 else ""  # older ones know no other

    def database(self, like: URL | None = None) -> URL:
        """Make a database, empty or a copy of another one to which nobody is connected."""
        name = f"test{next(self._numbers)}"
        template = "template0" if like is None else like.database
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} {self._strategy}")
        return self.url.set(database=name)

    def drop(self, database: URL) -> None:
        """Remove a database, whoever uses it."""
        self.execute(f"DROP DATABASE IF EXISTS {database.database} WITH (FORCE)")

    def execute(self, statement: str, database: URL | None = None) -> list[tuple]:
        """Carry a statement out as the administrator."""
        engine = create_engine(database or self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            result = connection.execute(text(statement))
            found = [tuple(r) for r in result] if result.returns_rows else []
        engine.dispose()
        return found

    def kill(self) -> None:
        """End the server at once."""
        self._tell("kill", "killed")

    def start(self) -> None:
        """Start it again."""
        self._tell("start", "started")

    def limit(self, size: int | None) -> None:
        """Start the server again in such a way that no file of its can be larger, in bytes: to it the disk is full."""
        self._tell(f"limit {-1 if size is None else size}", "limited")
        self.kill()
        self.start()

    def _tell(self, word: str, answer: str) -> None:
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline().strip() == answer

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def home_in(home: Path, url: URL) -> Path:
    """Tell a home that its ledger is in a database."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / "ledger.url"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)  # for it holds the password
    path.write_text(url.render_as_string(hide_password=False) + "\n")
    return home
