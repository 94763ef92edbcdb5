"""Vouchers: programme versions as they were stored, the years they are opened for, and vouchers themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ORG, KNOWN = "(SELECT cardhour_org())", "(SELECT cardhour_is_known())"
READS, WRITES = "(SELECT cardhour_reads_all())", "(SELECT cardhour_writes_all())"

# A published version never changes: a voucher keeps the version it was earmarked under.
PUBLISHED = """
CREATE FUNCTION programme_published_stays() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    IF OLD.state = 'published' THEN
        RAISE EXCEPTION '% of a published programme version is never allowed', TG_OP
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$"""
TRIGGERS = (
    """CREATE TRIGGER published_stays BEFORE UPDATE OR DELETE ON programme_version
       FOR EACH ROW EXECUTE FUNCTION programme_published_stays()""",
    """CREATE TRIGGER never_emptied BEFORE TRUNCATE ON programme_version
       FOR EACH STATEMENT EXECUTE FUNCTION guard_refuse()""",
    """CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON programme_year
       FOR EACH STATEMENT EXECUTE FUNCTION guard_refuse()""",
    """CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON voucher
       FOR EACH STATEMENT EXECUTE FUNCTION guard_refuse()""",
)
# table: (who sees a row, which columns may be updated)
TABLES = {
    "programme_version": (KNOWN, None),
    "programme_year": (KNOWN, None),
    "voucher": (f"buyer_org_id = {ORG} OR {READS}", "state, version"),
}


def create_tables() -> None:
    """Create the tables with their checks and indexes."""
    op.create_table(
        "programme_version",
        sa.Column("programme_id", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("toml", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(programme_id) BETWEEN 1 AND 60", name=op.f("programme_version_id_length")),
        sa.CheckConstraint("state IN ('draft', 'published')", name=op.f("programme_version_state_known")),
        sa.CheckConstraint(
            "sha256 = encode(sha256(convert_to(toml, 'UTF8')), 'hex')",
            name=op.f("programme_version_sha256_of_toml"),
        ),
        sa.CheckConstraint("version >= 1", name=op.f("programme_version_version_range")),
        sa.PrimaryKeyConstraint("programme_id", "version", name=op.f("programme_version_pkey")),
    )
    op.create_table(
        "programme_year",
        sa.Column("programme_id", sa.String(), nullable=False),
        sa.Column("year", sa.BigInteger(), nullable=False),
        sa.Column("programme_version", sa.BigInteger(), nullable=False),
        sa.Column("pool_fen", sa.BigInteger(), nullable=True),
        sa.Column("buyer_year_fen", sa.BigInteger(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("buyer_year_fen >= 0", name=op.f("programme_year_buyer_year_range")),
        sa.CheckConstraint("pool_fen >= 0", name=op.f("programme_year_pool_range")),
        sa.CheckConstraint("year BETWEEN 2000 AND 2200", name=op.f("programme_year_year_range")),
        sa.ForeignKeyConstraint(
            ["programme_id", "programme_version"],
            ["programme_version.programme_id", "programme_version.version"],
            name=op.f("programme_year_programme_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("programme_id", "year", name=op.f("programme_year_pkey")),
    )
    op.create_table(
        "voucher",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("buyer_org_id", sa.Uuid(), nullable=False),
        sa.Column("programme_id", sa.String(), nullable=False),
        sa.Column("programme_version", sa.BigInteger(), nullable=False),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("year", sa.BigInteger(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_fen > 0", name=op.f("voucher_amount_range")),
        sa.CheckConstraint("state IN ('earmarked', 'voided')", name=op.f("voucher_state_known")),
        sa.ForeignKeyConstraint(["account_id"], ["ledger_account.id"], name=op.f("voucher_account_id_fkey")),
        sa.ForeignKeyConstraint(["buyer_org_id"], ["organisation.id"], name=op.f("voucher_buyer_org_id_fkey")),
        sa.ForeignKeyConstraint(
            ["programme_id", "year"],
            ["programme_year.programme_id", "programme_year.year"],
            name=op.f("voucher_programme_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("voucher_pkey")),
        sa.UniqueConstraint("account_id", name=op.f("voucher_account_id_key")),
    )
    op.create_index("voucher_buyer_org_id_idx", "voucher", ["buyer_org_id", "id"], unique=False)
    op.create_index(
        "voucher_one_live_per_programme",
        "voucher",
        ["subject_id", "programme_id"],
        unique=True,
        postgresql_where=sa.text("state <> 'voided'"),
    )


def upgrade() -> None:
    """Create tables, rights and policies, and the triggers that keep what was stored."""
    op.execute("SET LOCAL ROLE cardhour_owner")
    create_tables()
    for table, (see, updated) in TABLES.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"GRANT SELECT ON {table} TO cardhour_app, cardhour_auditor, cardhour_guard")
        op.execute(f"GRANT INSERT ON {table} TO cardhour_app")
        op.execute(f"CREATE POLICY auditor_sees ON {table} FOR SELECT TO cardhour_auditor USING (true)")
        op.execute(f"CREATE POLICY app_sees ON {table} FOR SELECT TO cardhour_app USING ({see})")
        op.execute(f"CREATE POLICY app_inserts ON {table} FOR INSERT TO cardhour_app WITH CHECK ({WRITES})")
        if updated is not None:
            op.execute(f"GRANT UPDATE ({updated}) ON {table} TO cardhour_app")
            op.execute(f"CREATE POLICY app_updates ON {table} FOR UPDATE TO cardhour_app USING ({WRITES})")
    op.execute(PUBLISHED)
    op.execute("RESET ROLE")
    for sql in TRIGGERS:
        op.execute(sql)
    op.execute("GRANT CREATE ON SCHEMA public TO cardhour_guard")
    op.execute("REVOKE ALL ON FUNCTION programme_published_stays() FROM PUBLIC")
    op.execute("ALTER FUNCTION programme_published_stays() OWNER TO cardhour_guard")
    op.execute("REVOKE CREATE ON SCHEMA public FROM cardhour_guard")


def downgrade() -> None:
    """Drop the tables of vouchers."""
    op.drop_table("voucher")
    op.drop_table("programme_year")
    op.drop_table("programme_version")
    op.execute("DROP FUNCTION programme_published_stays()")
