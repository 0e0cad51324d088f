"""What the ledger's tests share: the life of a campaign as rows, and ways to tamper with them."""

from __future__ import annotations

import shutil
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from postgreskit import home_in
from sqlalchemy import URL

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
    ModelVersionRecorded,
    ObservationRecorded,
    QuestionOpened,
    RoundOpened,
    RoundProposed,
    VersionRecorded,
)
from sdl.ledger import tables as t
from sdl.ledger.place import url_of

DATA = {
    "name": "demo",
    "space": {
        "parameters": {
            "temperature": {"type": "continuous", "bounds": [1000, 1250], "unit": "degC"},
            "firings": {"type": "integer", "bounds": [1, 3]},
            "atmosphere": {"type": "categorical", "values": ["air", "argon"]},
        }
    },
    "objectives": {"conductivity": {"goal": "maximize", "unit": "mS/cm"}},
    "outcome_constraints": {"density": {"at_least": 0.9}},
}


def whole_life(ledger: Ledger, experiments: int = 3) -> list[list[Event]]:
    """Return the transactions of a campaign in which every kind of row stands."""
    file = ledger.artefacts.put("data/table.csv", b"a,b\n1,2\n", "text/csv")
    batches: list[list[Event]] = [
        [
            CampaignCreated(7, {"simulate": False}),
            VersionRecorded(1, "d" * 64, "name: demo\n# µ, °C\n", DATA, ["seed"], {"data/table.csv": file.sha256}),
        ],
        [EpochRaised(1, 123, "host", {"python": "3.11", "instruments": {"furnace": {"nature": "simulated"}}})],
    ]
    for n in range(1, experiments + 1):
        command = str(uuid.UUID(int=n))
        raw = ledger.artefacts.put("spectrum.csv", f"spectrum {n // 2}".encode(), "text/csv")
        candidate = {"temperature": 1000.0 + n / 7, "firings": 1 + n % 3, "atmosphere": "argon" if n % 2 else "air"}
        artefact = {"name": raw.name, "sha256": raw.sha256, "size": raw.size, "media_type": raw.media_type}
        batches += [
            [RoundOpened(n, 1, 2**62 + n)],
            [RoundProposed(n, "random", [candidate], n, {"origin": ["drawn", n / 3]}, {"numpy": "2"}, 0.25)],
            [ExperimentStarted(n, "default", f"demo-{n:04d}")],
            [CommandIntended(command, n, 0, "furnace", "sinter", {"hold": n / 3}, [f"demo-{n:04d}"], 0, "e" * 64, 1)],
        ]
        if n == experiments and experiments > 1:
            unknown = CommandSettled(command, "unknown", {}, [], "no answer", "2000", None, None, True)
            batches.append([unknown, QuestionOpened("Q1", "command", n, command, "Did it happen?")])
            continue
        values = {"conductivity": n / 11}
        batches += [
            [
                CommandSettled(command, "succeeded", values, [artefact], None, "2000", "2001", 3.5, True),
                ObservationRecorded(
                    f"{n}.conductivity.1", n, "conductivity", n / 11, n / 99, "mS/cm", "default", "valid", command
                ),
                ObservationRecorded(
                    f"{n}.density.1", n, "density", 0.9 + n / 100, None, "dimensionless", "default", "valid", command
                ),
            ],
            [ExperimentFinished(n, "failed" if n % 4 == 2 else "done", 'cracked, "badly"' if n % 4 == 2 else None)],
        ]
    return [
        *batches,
        [ModelVersionRecorded("gp", 1, "f" * 64, {"rmse": [True, 0.1]})],
        [CampaignEnded("waiting", "Q1")],
    ]


@pytest.fixture(scope="session")
def life() -> Callable[..., list[list[Event]]]:
    return whole_life


@pytest.fixture(scope="session")
def fill() -> Callable[..., Ledger]:
    """Write the life of a campaign into a ledger."""

    def filled(ledger: Ledger, name: str = "demo", experiments: int = 3) -> Ledger:
        for moment, events in enumerate(whole_life(ledger, experiments)):
            if name != "demo":  # ids of commands are unique over all campaigns
                events = [_renamed(event, name) for event in events]
            ledger.append(name, float(moment), events)
        return ledger

    return filled


def _renamed(event: Event, name: str) -> Event:
    body = event.body()
    if "command" in body:
        body["command"] = str(uuid.uuid5(uuid.UUID(int=0), name + body["command"]))
    return type(event)(**body)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database(request: pytest.FixtureRequest) -> str:
    """The kind of database: every test that opens a ledger on disk runs on both, where it does not say otherwise."""
    return request.param


@pytest.fixture(scope="session")
def templates(
    tmp_path_factory: pytest.TempPathFactory, fill: Callable[..., Ledger], request: pytest.FixtureRequest
) -> Callable[[str, str], tuple[Path, URL | None]]:
    """Return the home (and its database) that is `empty` or `full`; to be copied, not changed: making one takes a while."""
    made: dict[tuple[str, str], tuple[Path, URL | None]] = {}

    def template(database: str, content: str) -> tuple[Path, URL | None]:
        if (database, content) not in made:
            home, url = tmp_path_factory.mktemp("ledger") / "home", None
            if database == "postgresql":
                url = request.getfixturevalue("postgres").database()
                home_in(home, url)
            ledger = Ledger(home)
            if content == "full":
                fill(ledger)
            ledger.close()
            made[database, content] = home, url
        return made[database, content]

    return template


@pytest.fixture
def copied(
    templates: Callable[..., tuple[Path, URL | None]], request: pytest.FixtureRequest
) -> Iterator[Callable[[str, str, Path], Path]]:
    """Copy a home that is `empty` or `full` to a place, with its database."""

    made: list[URL] = []

    def copy(database: str, content: str, target: Path) -> Path:
        home, url = templates(database, content)
        shutil.copytree(home, target)
        if url is None:
            return target
        made.append(request.getfixturevalue("postgres").database(url))
        return home_in(target, made[-1])

    yield copy
    for url in made:
        request.getfixturevalue("postgres").drop(url)


@pytest.fixture(scope="session")
def full_home(templates: Callable[..., tuple[Path, URL | None]]) -> Path:
    """A home with SQLite that holds the campaign `demo`; to be copied, not changed."""
    return templates("sqlite", "full")[0]


@pytest.fixture
def ledger(tmp_path: Path, copied: Callable[..., Path], database: str) -> Iterator[Ledger]:
    """A ledger on disk that holds the campaign `demo`."""
    made = Ledger(copied(database, "full", tmp_path / "home"))
    yield made
    made.close()


@pytest.fixture
def empty(tmp_path: Path, copied: Callable[..., Path], database: str) -> Iterator[Ledger]:
    """A ledger on disk that holds nothing."""
    made = Ledger(copied(database, "empty", tmp_path / "home"))
    yield made
    made.close()


class Tamper:
    """Changes a database as somebody with an editor would: without asking the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        assert ledger.home is not None
        self.url = url_of(ledger.home)
        if self.url is None:
            self.connection: Any = sqlite3.connect(ledger.home / "ledger.db")
            for name in ("journal_never_changed", "journal_never_removed", "journal_follows"):
                self.connection.execute(f"DROP TRIGGER IF EXISTS {name}")
        else:
            import psycopg

            self.connection = psycopg.connect(
                self.url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True
            )
            self.connection.execute("ALTER TABLE journal DISABLE TRIGGER USER")

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        if self.url is None:
            return self.connection.execute(statement, values)
        return self.connection.execute(statement.replace("?", "%s") if values else statement, values or None)

    def __call__(self, statement: str, *values: Any) -> int:
        with self.connection if self.url is None else nullcontext():
            return self.execute(statement, values).rowcount

    def rehash(self, name: str = "demo") -> None:
        """Hash the whole journal anew and make the projections agree: the best that a forger can do."""
        from sdl.ledger.ledger import GENESIS, row_hash

        previous = GENESIS
        rows = self.execute(
            "SELECT seq, at, kind, body FROM journal WHERE campaign = ? ORDER BY seq", (name,)
        ).fetchall()
        self("DELETE FROM journal WHERE campaign = ?", name)
        for number, (_, at, kind, body) in enumerate(rows, start=1):
            digest = row_hash(previous, name, number, at, kind, body)
            self("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?)", name, number, at, kind, body, previous, digest)
            previous = digest

    def reproject(self, ledger: Ledger, name: str = "demo") -> None:
        from sdl.ledger.projections import project

        rows = ledger.rows(name)
        with ledger.writing() as connection:
            for table in t.PROJECTIONS:
                connection.execute(
                    table.delete().where((table.c.name if table is t.campaigns else table.c.campaign) == name)
                )
            for row in rows:
                project(connection, name, row.seq, row.at, row.event)

    def close(self) -> None:
        self.connection.close()


@pytest.fixture
def tamper(ledger: Ledger) -> Iterator[Tamper]:
    made = Tamper(ledger)
    yield made
    made.close()


@pytest.fixture(scope="session")
def kinds() -> Callable[[Sequence[Any]], set[str]]:
    """Return the kinds of findings."""
    return lambda findings: {f.kind for f in findings}
