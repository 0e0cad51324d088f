"""The ledger's tables: the journal, and its projections (which `verify` rebuilds from the journal and compares)."""

from __future__ import annotations

from sqlalchemy import DDL, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text, event

from sdl.ledger.guards import GUARDS, POSTGRESQL_GUARDS
from sdl.ledger.portable import make_portable

metadata = MetaData()

journal = Table(
    "journal",
    metadata,
    Column("campaign", String(100), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String(40), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

for _dialect, _guards in (("sqlite", GUARDS), ("postgresql", POSTGRESQL_GUARDS)):
    for _guard in _guards:
        event.listen(journal, "after_create", DDL(_guard).execute_if(dialect=_dialect))  # type: ignore[no-untyped-call]

campaigns = Table(
    "campaigns",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("created", String(40), nullable=False),
    Column("seed", Integer, nullable=False),
    Column("settings", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("pid", Integer),
    Column("host", String(255)),
    Column("state", String(20), nullable=False),
    Column("reason", Text),
)

versions = Table(
    "versions",
    metadata,
    Column("campaign", String(100), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("overrides", Text, nullable=False),
    Column("files", Text, nullable=False),
)

rounds = Table(
    "rounds",
    metadata,
    Column("campaign", String(100), primary_key=True),
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    Column("seed", String(20), nullable=False),  # 63 bits: beyond what some databases' integers hold
    Column("opened_seq", Integer, nullable=False),
    Column("planner", String(100)),
    Column("candidates", Text),
    Column("diagnostics", Text),
    Column("environment", Text),
    Column("seconds", Float),
)

experiments = Table(
    "experiments",
    metadata,
    Column("campaign", String(100), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("round", Integer, nullable=False),
    Column("candidate", Text, nullable=False),
    Column("source", String(100)),
    Column("sample", String(200)),
    Column("state", String(20), nullable=False),
    Column("reason", Text),
    Column("started", String(40)),
    Column("finished", String(40)),
)

steps = Table(
    "steps",
    metadata,
    Column("campaign", String(100), primary_key=True),
    Column("experiment", Integer, primary_key=True, autoincrement=False),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("instrument", String(100), nullable=False),
    Column("action", String(100), nullable=False),
    Column("command", String(36), nullable=False),  # the last one that was sent for it
    Column("state", String(20), nullable=False),
)

commands = Table(
    "commands",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("campaign", String(100), nullable=False),
    Column("experiment", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("instrument", String(100), nullable=False),
    Column("action", String(100), nullable=False),
    Column("arguments", Text, nullable=False),
    Column("samples", Text, nullable=False),
    Column("occurrence", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("state", String(20), nullable=False),
    Column("result", Text),
    Column("error", Text),
    Column("started", String(40)),
    Column("finished", String(40)),
    Column("duration", Float),
    Column("simulated", Boolean),
    Column("how", String(20)),
    Column("members", Text),  # NULL where the command is one experiment's alone
    Column("destination", String(100)),
    Column("failed_samples", Text),  # NULL for none
    Index("commands_of_campaign", "campaign", "experiment", "step"),
)

observations = Table(
    "observations",
    metadata,
    Column("campaign", String(100), primary_key=True),
    Column("id", String(300), primary_key=True),
    Column("experiment", Integer, nullable=False),
    Column("outcome", String(100), nullable=False),
    Column("value", Float, nullable=False),
    Column("uncertainty", Float),
    Column("unit", String(100), nullable=False),
    Column("source", String(100), nullable=False),
    Column("status", String(20), nullable=False),
    Column("command", String(36), nullable=False),
    Column("supersedes", String(300)),
    Column("lower", Float),
    Column("upper", Float),
    Column("flags", Text, nullable=False),
    Column("analysis", String(100)),
)

analyses = Table(
    "analyses",
    metadata,
    Column("campaign", String(100), primary_key=True),
    Column("id", String(100), primary_key=True),
    Column("experiment", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("command", String(36), nullable=False),
    Column("name", String(100), nullable=False),
    Column("status", String(20), nullable=False),
    Column("artefacts", Text, nullable=False),
    Column("fields", Text, nullable=False),
    Column("flags", Text, nullable=False),
    Column("diagnostics", Text, nullable=False),
    Column("figure", Text),
    Column("environment", Text, nullable=False),
    Column("error", Text),
)

artefacts = Table(
    "artefacts",
    metadata,
    Column("campaign", String(100), primary_key=True),
    Column("command", String(36), primary_key=True),  # two commands may give the same bytes under the same name
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("name", String(300), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", Integer, nullable=False),
    Column("media_type", String(100), nullable=False),
)

questions = Table(
    "questions",
    metadata,
    Column("campaign", String(100), primary_key=True),
    Column("id", String(100), primary_key=True),
    Column("about", String(20), nullable=False),
    Column("experiment", Integer, nullable=False),
    Column("command", String(36), nullable=False),
    Column("text", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("step", Integer),
    Column("answers", Text),
    Column("fields", Text),  # what `done` must tell
    Column("asker", String(300)),
    Column("asked", String(40)),
    Column("expires", String(40)),
    Column("times", Integer),  # NULL until it is asked again
    Column("answer", String(40)),
    Column("told", Text),  # the values that came with the answer
    Column("answered_by", String(300)),
    Column("answered", String(40)),
    Column("reason", Text),
)

model_versions = Table(
    "model_versions",
    metadata,
    Column("campaign", String(100), primary_key=True),
    Column("model", String(100), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False),
    Column("gates", Text, nullable=False),
)

inbox = Table(
    "inbox",  # no projection: what people ask of the process that owns a campaign; the rows it leads to stand in the journal
    metadata,
    Column("id", Integer, primary_key=True),
    Column("campaign", String(100), nullable=False),
    Column("at", String(40), nullable=False),
    Column("by", String(300), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("body", Text, nullable=False),
    Column("taken_seq", Integer),  # the journal row that settled it; NULL until then
    Column("outcome", String(20)),
    Column("said", Text),
    Index("inbox_of_campaign", "campaign", "taken_seq"),
)

PROJECTIONS = (
    campaigns,
    versions,
    rounds,
    experiments,
    steps,
    commands,
    observations,
    analyses,
    artefacts,
    questions,
    model_versions,
)

make_portable(metadata)  # the lengths and sizes above are SQLite's
