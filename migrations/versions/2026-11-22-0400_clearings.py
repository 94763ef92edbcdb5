"""Clearings: the runs, their input and result, and what came of each request; a lock on offers' books."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ORG = "(SELECT cardhour_org())"
READS, WRITES = "(SELECT cardhour_reads_all())", "(SELECT cardhour_writes_all())"
PARTY = f"buyer_org_id = {ORG} OR supplier_org_id = {ORG}"
# Who must know what is free before reserving many at once: it can't change until the transaction's end. Without it an
# apply would take the books after the accounts, the other way round from a booking.
LOCK = """
CREATE FUNCTION offer_books_lock(ids uuid[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT cardhour_writes_all() THEN
        RAISE EXCEPTION 'books are locked by the service alone' USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM 1 FROM offer_book WHERE offer_id = ANY (ids) ORDER BY offer_id FOR NO KEY UPDATE;
END $$"""
# table: (who sees a row, whether it is updated)
TABLES = {
    "clearing": (
        (
            f"EXISTS (SELECT FROM clearing_row r WHERE r.clearing_id = clearing.id AND (r.buyer_org_id = {ORG}"
            f" OR r.supplier_org_id = {ORG})) OR {READS}"
        ),
        True,
    ),
    "clearing_file": (READS, False),
    "clearing_row": (f"{PARTY} OR {READS}", False),
}


def create_tables() -> None:
    """Create the tables with their checks and indexes."""
    op.create_table(
        "clearing",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("requested_by", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("options", postgresql.JSONB(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("lease_ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("progress", postgresql.JSONB(), nullable=False),
        sa.Column("status", sa.String(), nullable=True),
        sa.Column("objective_fen", sa.BigInteger(), nullable=True),
        sa.Column("bound_fen", sa.BigInteger(), nullable=True),
        sa.Column("matches", sa.BigInteger(), nullable=True),
        sa.Column("losers", postgresql.JSONB(), nullable=False),
        sa.Column("error", postgresql.JSONB(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name=op.f("clearing_state_known")
        ),
        sa.CheckConstraint("mode IN ('dry_run', 'apply')", name=op.f("clearing_mode_known")),
        sa.CheckConstraint(
            "(state IN ('failed', 'cancelled')) = (error IS NOT NULL)", name=op.f("clearing_error_where_ended_so")
        ),
        sa.CheckConstraint(
            "state <> 'succeeded' OR (status IN ('optimal', 'feasible') AND objective_fen IS NOT NULL)",
            name=op.f("clearing_success_has_an_outcome"),
        ),
        sa.ForeignKeyConstraint(["requested_by"], ["organisation.id"], name=op.f("clearing_requested_by_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("clearing_pkey")),
    )
    op.create_index(
        "clearing_waiting_idx",
        "clearing",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.create_table(
        "clearing_file",
        sa.Column("clearing_id", sa.Uuid(), nullable=False),
        sa.Column("instance", sa.LargeBinary(), nullable=False),
        sa.Column("outcome", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["clearing_id"], ["clearing.id"], name=op.f("clearing_file_clearing_id_fkey")),
        sa.PrimaryKeyConstraint("clearing_id", name=op.f("clearing_file_pkey")),
    )
    op.create_table(
        "clearing_row",
        sa.Column("clearing_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("offer_id", sa.Uuid(), nullable=True),
        sa.Column("buyer_org_id", sa.Uuid(), nullable=False),
        sa.Column("supplier_org_id", sa.Uuid(), nullable=True),
        sa.Column("reservation_id", sa.Uuid(), nullable=True),
        sa.Column("body", postgresql.JSONB(), nullable=False),
        sa.CheckConstraint("kind IN ('match', 'unmatched')", name=op.f("clearing_row_kind_known")),
        sa.CheckConstraint(
            "(kind = 'match') = (offer_id IS NOT NULL AND supplier_org_id IS NOT NULL)",
            name=op.f("clearing_row_match_has_an_offer"),
        ),
        sa.ForeignKeyConstraint(["buyer_org_id"], ["organisation.id"], name=op.f("clearing_row_buyer_org_id_fkey")),
        sa.ForeignKeyConstraint(["clearing_id"], ["clearing.id"], name=op.f("clearing_row_clearing_id_fkey")),
        sa.ForeignKeyConstraint(["offer_id"], ["offer.id"], name=op.f("clearing_row_offer_id_fkey")),
        sa.ForeignKeyConstraint(["request_id"], ["request.id"], name=op.f("clearing_row_request_id_fkey")),
        sa.ForeignKeyConstraint(["reservation_id"], ["reservation.id"], name=op.f("clearing_row_reservation_id_fkey")),
        sa.ForeignKeyConstraint(
            ["supplier_org_id"], ["organisation.id"], name=op.f("clearing_row_supplier_org_id_fkey")
        ),
        sa.PrimaryKeyConstraint("clearing_id", "kind", "position", name=op.f("clearing_row_pkey")),
    )
    op.create_index("clearing_row_buyer_org_id_idx", "clearing_row", ["buyer_org_id", "clearing_id"], unique=False)
    op.create_index(
        "clearing_row_supplier_org_id_idx", "clearing_row", ["supplier_org_id", "clearing_id"], unique=False
    )


def upgrade() -> None:
    """Create tables, rights and policies, and the lock."""
    op.execute("SET LOCAL ROLE cardhour_owner")
    create_tables()
    for table, (see, is_updated) in TABLES.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"GRANT SELECT ON {table} TO cardhour_app, cardhour_auditor, cardhour_guard")
        op.execute(f"GRANT INSERT ON {table} TO cardhour_app")
        op.execute(f"CREATE POLICY auditor_sees ON {table} FOR SELECT TO cardhour_auditor USING (true)")
        op.execute(f"CREATE POLICY app_sees ON {table} FOR SELECT TO cardhour_app USING ({see})")
        op.execute(f"CREATE POLICY app_inserts ON {table} FOR INSERT TO cardhour_app WITH CHECK ({WRITES})")
        if is_updated:
            op.execute(f"GRANT UPDATE ON {table} TO cardhour_app")
            op.execute(f"CREATE POLICY app_updates ON {table} FOR UPDATE TO cardhour_app USING ({WRITES})")
    op.execute(LOCK)
    op.execute("RESET ROLE")
    op.execute("GRANT CREATE ON SCHEMA public TO cardhour_guard")
    op.execute("REVOKE ALL ON FUNCTION offer_books_lock(uuid[]) FROM PUBLIC")
    op.execute("ALTER FUNCTION offer_books_lock(uuid[]) OWNER TO cardhour_guard")
    op.execute("REVOKE CREATE ON SCHEMA public FROM cardhour_guard")
    op.execute("GRANT EXECUTE ON FUNCTION offer_books_lock(uuid[]) TO cardhour_app")


def downgrade() -> None:
    """Drop the tables of clearings and the lock."""
    op.execute("DROP POLICY app_sees ON clearing")
    op.drop_table("clearing_row")
    op.drop_table("clearing_file")
    op.drop_table("clearing")
    op.execute("DROP FUNCTION offer_books_lock(uuid[])")
