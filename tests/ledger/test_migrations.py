"""The migrations give the very database that the tables describe."""

from __future__ import annotations

import re

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from postgreskit import ONLY_SQLITE
from sqlalchemy import text

from sdl.ledger import Ledger, migrate
from sdl.ledger.tables import GUARDS, metadata


def schema(ledger: Ledger) -> dict[str, list[str]]:
    with ledger.engine.connect() as connection:
        found = connection.execute(
            text("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%alembic%' AND sql IS NOT NULL")
        )
        # In words and signs, without quotes and commas, which mean nothing here and follow how a table came to be.
        return {name: re.findall(r"\w+|[^\s\w\",]", sql) for name, sql in found}


def differ(context, column, made_column, found, wanted):
    """Tell whether a type differs in the database's own words."""

    def said(type_):
        return type_.compile(dialect=context.dialect).replace("DOUBLE PRECISION", "FLOAT")

    return said(found) != said(wanted)


@pytest.fixture
def in_memory():
    made = Ledger(None)
    yield made
    made.close()


def test_alembic_finds_no_difference(empty):
    with empty.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": differ, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


@ONLY_SQLITE
def test_migrated_and_made_databases_are_the_same_statement_by_statement(empty, in_memory):
    migrated, made = schema(empty), schema(in_memory)
    assert migrated.keys() == made.keys()
    for name in made:
        assert sorted(migrated[name]) == sorted(made[name])
    assert sum(name.startswith("journal_") for name in made) == len(GUARDS)


def test_the_known_revisions_are_those_on_disk():
    from pathlib import Path

    scripts = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
    assert scripts.get_heads() == [migrate.HEAD]
    assert tuple(reversed([s.revision for s in scripts.walk_revisions()])) == migrate.KNOWN


@ONLY_SQLITE
def test_opening_a_home_again_changes_nothing(ledger):
    before, head = schema(ledger), ledger.head("demo")
    again = Ledger(ledger.home)
    assert (schema(again), again.head("demo")) == (before, head)
    again.close()
