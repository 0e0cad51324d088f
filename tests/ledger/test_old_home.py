"""A home that an older version wrote opens, is brought up to date, verifies and goes on."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect, text

from sdl.engine import Hooks, InlineWorker, open_session
from sdl.errors import LedgerError
from sdl.ledger import AnalysisRecorded, ExperimentFinished, Ledger, ObservationRecorded, canonical, migrate
from sdl.ledger import tables as t
from sdl.ledger.events import event_of
from sdl.ledger.export import experiment_table
from sdl.ledger.ledger import GENESIS, row_hash
from sdl.ledger.queries import table_of
from sdl.ledger.verify import _rebuild, verify
from sdl.preflight import check


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


OLD_FIELDS = {
    "command.intended": _words("command experiment step instrument action arguments samples occurrence digest epoch"),
    "command.settled": _words("command status values artefacts error started finished duration simulated how"),
    "question.opened": _words("question about experiment command text"),
    "observation.recorded": _words(
        "observation experiment outcome value uncertainty unit source status command supersedes"
    ),
}
"""What a body held when the schema was 0001, where it has grown since."""

NEW_KINDS = {"analysis.recorded", "experiment.failing"}
"""Rows that nobody wrote then."""


def aged(home: Path, name: str) -> None:
    """Turn a home with one campaign into what the version of schema 0001 would have left."""
    ledger = Ledger(home)
    rows = ledger.rows(name)
    ledger.close()
    for path in home.glob("ledger.db*"):
        path.unlink()
    shutil.rmtree(home / "heads", ignore_errors=True)
    engine = create_engine(f"sqlite:///{home / 'ledger.db'}")
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    previous, events = GENESIS, []
    with engine.begin() as connection:
        for row in rows:
            kind = row.event.kind
            if kind in NEW_KINDS:
                continue
            seq = len(events) + 1
            whole = row.event.body()
            body = canonical({k: whole[k] for k in OLD_FIELDS.get(kind, whole)})
            digest = row_hash(previous, name, seq, row.at, kind, body)
            values = (name, seq, row.at, kind, body, previous, digest)
            connection.exec_driver_sql("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?)", values)
            events.append((seq, row.at, event_of(kind, {k: whole[k] for k in OLD_FIELDS.get(kind, whole)})))
            previous = digest
        rebuilt, wrong = _rebuild(name, events)
        assert not wrong
        for table in t.PROJECTIONS:
            if not inspect(connection).has_table(table.name):
                continue
            columns = [c["name"] for c in inspect(connection).get_columns(table.name)]
            for values in rebuilt[table.name].values():
                marks = ", ".join("?" for _ in columns)
                names = ", ".join(f'"{c}"' for c in columns)
                statement = f"INSERT INTO {table.name} ({names}) VALUES ({marks})"
                connection.exec_driver_sql(statement, tuple(values[c] for c in columns))
    engine.dispose()


@pytest.fixture
def old(tmp_path: Path, full_home: Path) -> Path:
    home = Path(shutil.copytree(full_home, tmp_path / "home"))
    aged(home, "demo")
    return home


def test_an_old_home_is_old(old):
    engine = create_engine(f"sqlite:///{old / 'ledger.db'}")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "0001"
        assert not inspect(connection).has_table("analyses")
        columns = {c["name"] for c in inspect(connection).get_columns("observations")}
        assert not {"lower", "upper", "flags", "analysis"} & columns
        bodies = (
            connection.execute(text("SELECT body FROM journal WHERE kind = 'observation.recorded'")).scalars().all()
        )
        assert bodies
        assert not any("flags" in body for body in bodies)
        hashes = connection.execute(text("SELECT hash FROM journal ORDER BY seq")).scalars().all()
    engine.dispose()
    ledger = Ledger(old)
    assert [r.hash for r in ledger.rows("demo")] == hashes  # migrating touches no row of the journal
    ledger.close()


def test_it_opens_verifies_and_takes_rows_of_today(old):
    ledger = Ledger(old)
    found = verify(ledger, "demo")
    assert found.ok, found.text()
    observed = table_of(ledger, "observations", "demo")
    assert observed
    assert all((o["flags"], o["lower"], o["analysis"]) == ([], None, None) for o in observed)
    command_ = observed[0]["command"]
    new = ObservationRecorded(
        "1.conductivity.2", 1, "conductivity", 5.0, 0.1, "mS/cm", "default", "flagged", command_,
        "1.conductivity.1", 4.8, 5.2, ["noisy"], "1.0.1",
    )  # fmt: skip
    analysis = AnalysisRecorded("1.0.1", 1, 0, command_, "trace", "succeeded", [], {}, ["noisy"], {}, None, {})
    ledger.append("demo", 60.0, [analysis, new])
    found = verify(ledger, "demo")
    assert found.ok, found.text()
    table = experiment_table(ledger, "demo")
    first = dict(zip([c.header for c in table.columns], table.rows[0], strict=True))
    assert (first["conductivity 95 % lower [mS/cm]"], first["conductivity flags"]) == (4.8, "noisy")
    ledger.close()
    again = Ledger(old)
    assert verify(again, "demo").ok
    again.close()


def test_guards_of_the_journal_survive_the_migration(old):
    ledger = Ledger(old)
    with pytest.raises(Exception, match="a journal row is never changed"), ledger.engine.begin() as connection:
        connection.execute(text("UPDATE journal SET body = '{}' WHERE seq = 1"))
    ledger.close()


def test_an_old_home_that_may_only_be_read_says_what_to_do(old, monkeypatch):
    from sdl.ledger import sqlite as module

    monkeypatch.setattr(module, "_may_write", lambda path: False)
    with pytest.raises(LedgerError, match="schema 0001, is read-only and cannot be brought to 0003; copy it first"):
        Ledger(old)


class StopAfter(Hooks):
    """Stops the engine once so many experiments came to their end."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.engine = None

    def recorded(self, rows, view):
        self.left -= sum(isinstance(r.event, ExperimentFinished) for r in rows)
        if self.left == 0 and self.engine is not None:
            self.engine.stop("the test says so")


def _run(path: Path, home: Path, hook: StopAfter | None = None):
    options = ("stop={experiments: 3}", "planner={type: sobol}", "concurrency=1")

    async def go():
        session = open_session(check(path, overrides=options), home)
        try:
            engine = await session.engine(InlineWorker(), hook or Hooks())
            if hook is not None:
                hook.engine = engine
            return await engine.run(), session.ledger.rows(session.name)
        finally:
            await session.close()

    return asyncio.run(go())


def test_a_campaign_begun_by_the_old_version_goes_on(campaigns, tmp_path):
    path = campaigns / "electrolyte_sintering.yaml"
    _, undisturbed = _run(path, tmp_path / "a")
    home = tmp_path / "b"
    end, _ = _run(path, home, StopAfter(2))
    assert end[0] == "stopped"
    aged(home, "electrolyte-sintering")
    end, rows = _run(path, home)
    assert end[0] == "done"

    def values(of):
        found = [r.event for r in of if isinstance(r.event, ObservationRecorded)]
        return sorted((o.experiment, o.outcome, o.value, o.uncertainty) for o in found)

    assert values(rows) == values(undisturbed)
    assert [r.event.experiment for r in rows if isinstance(r.event, AnalysisRecorded)] == [3]
    ledger = Ledger(home)
    found = verify(ledger, "electrolyte-sintering")
    assert found.ok, found.text()
    ledger.close()
