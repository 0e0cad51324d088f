"""The first schema: journal and projections. A migration is never edited; a change is a new one."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

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
"""A copy of what `sdl.ledger.tables` said when this migration was written; a test holds them equal."""


def upgrade() -> None:
    """Make the tables."""
    op.create_table('artefacts',
    sa.Column('campaign', sa.String(length=100), nullable=False),
    sa.Column('command', sa.String(length=36), nullable=False),
    sa.Column('position', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('name', sa.String(length=300), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('size', sa.Integer(), nullable=False),
    sa.Column('media_type', sa.String(length=100), nullable=False),
    sa.PrimaryKeyConstraint('campaign', 'command', 'position')
    )
    op.create_table('campaigns',
    sa.Column('name', sa.String(length=100), nullable=False),
    sa.Column('created', sa.String(length=40), nullable=False),
    sa.Column('seed', sa.Integer(), nullable=False),
    sa.Column('settings', sa.Text(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('epoch', sa.Integer(), nullable=False),
    sa.Column('pid', sa.Integer(), nullable=True),
    sa.Column('host', sa.String(length=255), nullable=True),
    sa.Column('state', sa.String(length=20), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('name')
    )
    op.create_table('commands',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('campaign', sa.String(length=100), nullable=False),
    sa.Column('experiment', sa.Integer(), nullable=False),
    sa.Column('step', sa.Integer(), nullable=False),
    sa.Column('instrument', sa.String(length=100), nullable=False),
    sa.Column('action', sa.String(length=100), nullable=False),
    sa.Column('arguments', sa.Text(), nullable=False),
    sa.Column('samples', sa.Text(), nullable=False),
    sa.Column('occurrence', sa.Integer(), nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('epoch', sa.Integer(), nullable=False),
    sa.Column('state', sa.String(length=20), nullable=False),
    sa.Column('result', sa.Text(), nullable=True),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('started', sa.String(length=40), nullable=True),
    sa.Column('finished', sa.String(length=40), nullable=True),
    sa.Column('duration', sa.Float(), nullable=True),
    sa.Column('simulated', sa.Boolean(), nullable=True),
    sa.Column('how', sa.String(length=20), nullable=True),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('commands_of_campaign', 'commands', ['campaign', 'experiment', 'step'], unique=False)
    op.create_table('experiments',
    sa.Column('campaign', sa.String(length=100), nullable=False),
    sa.Column('number', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('round', sa.Integer(), nullable=False),
    sa.Column('candidate', sa.Text(), nullable=False),
    sa.Column('source', sa.String(length=100), nullable=True),
    sa.Column('sample', sa.String(length=200), nullable=True),
    sa.Column('state', sa.String(length=20), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('started', sa.String(length=40), nullable=True),
    sa.Column('finished', sa.String(length=40), nullable=True),
    sa.PrimaryKeyConstraint('campaign', 'number')
    )
    op.create_table('journal',
    sa.Column('campaign', sa.String(length=100), nullable=False),
    sa.Column('seq', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('at', sa.String(length=40), nullable=False),
    sa.Column('kind', sa.String(length=40), nullable=False),
    sa.Column('body', sa.Text(), nullable=False),
    sa.Column('previous', sa.String(length=64), nullable=False),
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('campaign', 'seq')
    )
    if op.get_bind().dialect.name == "sqlite":
        for guard in GUARDS:
            op.execute(guard)
    op.create_table('model_versions',
    sa.Column('campaign', sa.String(length=100), nullable=False),
    sa.Column('model', sa.String(length=100), nullable=False),
    sa.Column('version', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('gates', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('campaign', 'model', 'version')
    )
    op.create_table('observations',
    sa.Column('campaign', sa.String(length=100), nullable=False),
    sa.Column('id', sa.String(length=300), nullable=False),
    sa.Column('experiment', sa.Integer(), nullable=False),
    sa.Column('outcome', sa.String(length=100), nullable=False),
    sa.Column('value', sa.Float(), nullable=False),
    sa.Column('uncertainty', sa.Float(), nullable=True),
    sa.Column('unit', sa.String(length=100), nullable=False),
    sa.Column('source', sa.String(length=100), nullable=False),
    sa.Column('status', sa.String(length=20), nullable=False),
    sa.Column('command', sa.String(length=36), nullable=False),
    sa.Column('supersedes', sa.String(length=300), nullable=True),
    sa.PrimaryKeyConstraint('campaign', 'id')
    )
    op.create_table('questions',
    sa.Column('campaign', sa.String(length=100), nullable=False),
    sa.Column('id', sa.String(length=100), nullable=False),
    sa.Column('about', sa.String(length=20), nullable=False),
    sa.Column('experiment', sa.Integer(), nullable=False),
    sa.Column('command', sa.String(length=36), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.Column('state', sa.String(length=20), nullable=False),
    sa.PrimaryKeyConstraint('campaign', 'id')
    )
    op.create_table('rounds',
    sa.Column('campaign', sa.String(length=100), nullable=False),
    sa.Column('round', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('count', sa.Integer(), nullable=False),
    sa.Column('seed', sa.String(length=20), nullable=False),
    sa.Column('opened_seq', sa.Integer(), nullable=False),
    sa.Column('planner', sa.String(length=100), nullable=True),
    sa.Column('candidates', sa.Text(), nullable=True),
    sa.Column('diagnostics', sa.Text(), nullable=True),
    sa.Column('environment', sa.Text(), nullable=True),
    sa.Column('seconds', sa.Float(), nullable=True),
    sa.PrimaryKeyConstraint('campaign', 'round')
    )
    op.create_table('steps',
    sa.Column('campaign', sa.String(length=100), nullable=False),
    sa.Column('experiment', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('step', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('instrument', sa.String(length=100), nullable=False),
    sa.Column('action', sa.String(length=100), nullable=False),
    sa.Column('command', sa.String(length=36), nullable=False),
    sa.Column('state', sa.String(length=20), nullable=False),
    sa.PrimaryKeyConstraint('campaign', 'experiment', 'step')
    )
    op.create_table('versions',
    sa.Column('campaign', sa.String(length=100), nullable=False),
    sa.Column('version', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.Column('data', sa.Text(), nullable=False),
    sa.Column('overrides', sa.Text(), nullable=False),
    sa.Column('files', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('campaign', 'version')
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table('versions')
    op.drop_table('steps')
    op.drop_table('rounds')
    op.drop_table('questions')
    op.drop_table('observations')
    op.drop_table('model_versions')
    op.drop_table('journal')
    op.drop_table('experiments')
    op.drop_index('commands_of_campaign', table_name='commands')
    op.drop_table('commands')
    op.drop_table('campaigns')
    op.drop_table('artefacts')
