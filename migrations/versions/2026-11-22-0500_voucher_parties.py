"""A reservation's vouchers, found by it and seen by both of its sides: the supplier is paid by them."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

OWN = "buyer_org_id = (SELECT cardhour_org()) OR (SELECT cardhour_reads_all())"
# Whoever sees the reservation is a side of it: its own policy says so.
PARTY = f"{OWN} OR EXISTS (SELECT FROM reservation r WHERE r.id = voucher.subject_id)"


def _see(condition: str) -> None:
    op.execute("DROP POLICY app_sees ON voucher")
    op.execute(f"CREATE POLICY app_sees ON voucher FOR SELECT TO cardhour_app USING ({condition})")


def upgrade() -> None:
    """Add the index, and let the supplier see."""
    op.execute("SET LOCAL ROLE cardhour_owner")
    op.create_index("voucher_subject_id_idx", "voucher", ["subject_id"], unique=False)
    _see(PARTY)
    op.execute("RESET ROLE")


def downgrade() -> None:
    """Let the buyer alone see again, and drop the index."""
    _see(OWN)
    op.drop_index("voucher_subject_id_idx", table_name="voucher")
