"""What an analysis found; commands that experiments share; questions that people answer, and the inbox in which they do."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

OBSERVATIONS = (
    sa.Column("lower", sa.Float()),
    sa.Column("upper", sa.Float()),
    sa.Column("flags", sa.Text()),
    sa.Column("analysis", sa.String(length=100)),
)

COMMANDS = (
    sa.Column("members", sa.Text()),
    sa.Column("destination", sa.String(length=100)),
    sa.Column("failed_samples", sa.Text()),
)

QUESTIONS = (
    sa.Column("step", sa.Integer()),
    sa.Column("answers", sa.Text()),
    sa.Column("fields", sa.Text()),
    sa.Column("asker", sa.String(length=300)),
    sa.Column("asked", sa.String(length=40)),
    sa.Column("expires", sa.String(length=40)),
    sa.Column("times", sa.Integer()),
    sa.Column("answer", sa.String(length=40)),
    sa.Column("told", sa.Text()),
    sa.Column("answered_by", sa.String(length=300)),
    sa.Column("answered", sa.String(length=40)),
    sa.Column("reason", sa.Text()),
)

NEW = {"observations": OBSERVATIONS, "commands": COMMANDS, "questions": QUESTIONS}
"""Table → columns that it gets. In rows that are there already they are NULL, as the projection of an old row gives them,
but for those in `FILLED`."""

FILLED = {("observations", "flags"): "[]"}
"""(table, column) → what the projection of an old row gives; such a column holds no NULL afterwards."""


def upgrade() -> None:
    """Add the columns and the table."""
    for table, columns in NEW.items():
        for column in columns:
            op.add_column(table, column.copy())
        filled = {name: value for (where, name), value in FILLED.items() if where == table}
        for name, value in filled.items():
            added = sa.table(table, sa.column(name))
            op.execute(added.update().values({name: value}))
        if filled:
            with op.batch_alter_table(table) as batch:  # SQLite takes NOT NULL only by rebuilding the table
                for name in filled:
                    batch.alter_column(name, nullable=False)
    op.create_table(
        "analyses",
        sa.Column("campaign", sa.String(length=100), nullable=False),
        sa.Column("id", sa.String(length=100), nullable=False),
        sa.Column("experiment", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("command", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("artefacts", sa.Text(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("flags", sa.Text(), nullable=False),
        sa.Column("diagnostics", sa.Text(), nullable=False),
        sa.Column("figure", sa.Text(), nullable=True),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("campaign", "id"),
    )
    op.create_table(
        "inbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("campaign", sa.String(length=100), nullable=False),
        sa.Column("at", sa.String(length=40), nullable=False),
        sa.Column("by", sa.String(length=300), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("taken_seq", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.String(length=20), nullable=True),
        sa.Column("said", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("inbox_of_campaign", "inbox", ["campaign", "taken_seq"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("inbox_of_campaign", table_name="inbox")
    op.drop_table("inbox")
    op.drop_table("analyses")
    for table, columns in NEW.items():
        with op.batch_alter_table(table) as batch:
            for column in columns:
                batch.drop_column(column.name)
