"""What an analysis found, and commands that experiments share: interval, flags and origin of an observation; members, way and casualties."""

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

NEW = {"observations": OBSERVATIONS, "commands": COMMANDS}
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


def downgrade() -> None:
    """Drop them."""
    op.drop_table("analyses")
    for table, columns in NEW.items():
        with op.batch_alter_table(table) as batch:
            for column in columns:
                batch.drop_column(column.name)
