"""On PostgreSQL: columns that hold what SQLite's hold, and the journal's guards. SQLite has both already."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

GUARDS = (
    """CREATE FUNCTION sdl_journal_refuses() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'a journal row is never changed and never removed' USING ERRCODE = '23000'; END $$""",
    """CREATE TRIGGER journal_never_changed BEFORE UPDATE OR DELETE ON journal
FOR EACH ROW EXECUTE FUNCTION sdl_journal_refuses()""",
    """CREATE TRIGGER journal_never_emptied BEFORE TRUNCATE ON journal
FOR EACH STATEMENT EXECUTE FUNCTION sdl_journal_refuses()""",
    """CREATE FUNCTION sdl_journal_follows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE last_seq bigint := 0; last_hash text := repeat('0', 64);
BEGIN
SELECT seq, hash INTO last_seq, last_hash FROM journal WHERE campaign = NEW.campaign ORDER BY seq DESC LIMIT 1;
IF NOT FOUND THEN last_seq := 0; last_hash := repeat('0', 64); END IF;
IF NEW.seq IS DISTINCT FROM last_seq + 1 OR NEW.previous IS DISTINCT FROM last_hash THEN
RAISE EXCEPTION 'a journal row must follow the last one' USING ERRCODE = '23000'; END IF;
RETURN NEW;
END $$""",
    """CREATE TRIGGER journal_follows BEFORE INSERT ON journal
FOR EACH ROW EXECUTE FUNCTION sdl_journal_follows()""",
)
"""A copy of what `sdl.ledger.guards` said when this migration was written; a test holds them equal."""


def upgrade() -> None:
    """Widen every column of the tables made so far, and make the guards."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    found = sa.inspect(connection)
    for table in found.get_table_names():
        if table == "alembic_version":
            continue
        changes = []
        for column in found.get_columns(table):
            name = connection.dialect.identifier_preparer.quote(column["name"])
            if isinstance(column["type"], sa.String):
                changes.append(f'ALTER COLUMN {name} TYPE TEXT COLLATE "C"')
            elif isinstance(column["type"], sa.Integer):
                changes.append(f"ALTER COLUMN {name} TYPE BIGINT")
        if changes:
            op.execute(f"ALTER TABLE {table} {', '.join(changes)}")
    for guard in GUARDS:
        op.execute(guard)


def downgrade() -> None:
    """Drop the guards; the columns stay wide, for what they hold may need it."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for trigger in ("journal_follows", "journal_never_emptied", "journal_never_changed"):
        op.execute(f"DROP TRIGGER {trigger} ON journal")
    for function in ("sdl_journal_follows", "sdl_journal_refuses"):
        op.execute(f"DROP FUNCTION {function}()")
