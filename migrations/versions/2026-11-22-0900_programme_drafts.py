"""Drafts of programmes may be changed and deleted until they are published; `revision` counts the changes."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

WRITES = "(SELECT cardhour_writes_all())"


def upgrade() -> None:
    """Add the revision, and the rights on drafts; the trigger keeps what is published."""
    op.execute("SET LOCAL ROLE cardhour_owner")
    op.add_column("programme_version", sa.Column("revision", sa.BigInteger(), server_default="1", nullable=False))
    op.execute("GRANT UPDATE (toml, sha256, state, revision), DELETE ON programme_version TO cardhour_app")
    op.execute(f"CREATE POLICY app_updates ON programme_version FOR UPDATE TO cardhour_app USING ({WRITES})")
    op.execute(f"CREATE POLICY app_deletes ON programme_version FOR DELETE TO cardhour_app USING ({WRITES})")
    op.execute("RESET ROLE")


def downgrade() -> None:
    """Take the rights and the revision away."""
    op.execute("DROP POLICY app_deletes ON programme_version")
    op.execute("DROP POLICY app_updates ON programme_version")
    op.execute("REVOKE UPDATE (toml, sha256, state, revision), DELETE ON programme_version FROM cardhour_app")
    op.drop_column("programme_version", "revision")
