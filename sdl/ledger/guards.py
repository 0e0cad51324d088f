"""What the database itself refuses, whoever asks: against mistakes, not against malice, for which there is `verify`.

A copy of each list stands in the migration that made it; a test holds them equal.
"""

from __future__ import annotations

GUARDS = (
    """CREATE TRIGGER journal_never_changed BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'a journal row is never changed'); END""",
    """CREATE TRIGGER journal_never_removed BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'a journal row is never removed'); END""",
    """CREATE TRIGGER journal_follows BEFORE INSERT ON journal
WHEN NEW.seq IS NOT (SELECT COALESCE(MAX(seq), 0) + 1 FROM journal WHERE campaign = NEW.campaign)
OR NEW.previous IS NOT COALESCE((SELECT hash FROM journal WHERE campaign = NEW.campaign ORDER BY seq DESC LIMIT 1),
'0000000000000000000000000000000000000000000000000000000000000000')
BEGIN SELECT RAISE(ABORT, 'a journal row must follow the last one'); END""",
)
"""For SQLite.

The third also stops `INSERT OR REPLACE`, which would remove a row without asking the second. A migration that has
Alembic rebuild the table (batch mode) loses them and must make them again.
"""

POSTGRESQL_GUARDS = (
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
"""For PostgreSQL; 23000 is the class of broken integrity, as a broken key is. Two writers who both saw the same last row
are told apart by the primary key."""
