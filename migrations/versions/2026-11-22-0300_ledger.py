"""The ledger: accounts and transfers, and the statement trigger that alone writes balances.

Each INSERT into `ledger_transfer` ends in one trigger call that (1) locks the accounts concerned in id order,
(2) refuses a resolution that does not match its pending transfer, (3) adds the sums to the balances, one UPDATE per
account; the accounts' CHECKs then refuse what exceeds a guard. The transition table holds only rows that were really
inserted, so `ON CONFLICT DO NOTHING` can't post twice; it is not used all the same, since it would swallow a transfer
that differs. The functions are SECURITY DEFINER of `cardhour_guard`, as the capacity guard's.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

HEADER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off"
ORG, READS, WRITES = "(SELECT cardhour_org())", "(SELECT cardhour_reads_all())", "(SELECT cardhour_writes_all())"

# One plan for good: to plan the lock anew for each list of accounts costs more than a small posting itself.
POST = f"""
CREATE FUNCTION ledger_post() RETURNS trigger {HEADER} SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    ids uuid[];
    written bigint;
    wrong uuid;
BEGIN
    SELECT array_agg(id) INTO ids FROM (SELECT debit_id AS id FROM added UNION SELECT credit_id FROM added) AS s;
    IF ids IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM 1 FROM ledger_account WHERE id = ANY (ids) ORDER BY id FOR NO KEY UPDATE;
    SELECT a.id INTO wrong FROM added a LEFT JOIN ledger_transfer p ON p.id = a.pending_id
    WHERE a.pending_id IS NOT NULL AND (
        (p.kind, p.debit_id, p.credit_id) IS DISTINCT FROM ('pending', a.debit_id, a.credit_id)
        OR a.amount_fen > p.amount_fen)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transfer % does not match a pending one', wrong
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_transfer_matches_pending';
    END IF;
    WITH change AS (
        SELECT a.debit_id, a.credit_id,
            CASE WHEN a.kind = 'pending' THEN a.amount_fen ELSE -coalesce(p.amount_fen, 0) END AS pending,
            CASE WHEN a.kind IN ('single', 'post') THEN a.amount_fen ELSE 0 END AS posted
        FROM added a LEFT JOIN ledger_transfer p ON p.id = a.pending_id
    ),
    side AS (
        SELECT debit_id AS id, pending AS dp, posted AS d, 0::bigint AS cp, 0::bigint AS c FROM change
        UNION ALL SELECT credit_id, 0, 0, pending, posted FROM change
    ),
    net AS (
        SELECT id, sum(dp)::bigint AS dp, sum(d)::bigint AS d, sum(cp)::bigint AS cp, sum(c)::bigint AS c
        FROM side GROUP BY id
    )
    UPDATE ledger_account AS a SET debits_pending = a.debits_pending + net.dp,
        debits_posted = a.debits_posted + net.d, credits_pending = a.credits_pending + net.cp,
        credits_posted = a.credits_posted + net.c
    FROM net WHERE net.id = a.id;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written <> cardinality(ids) THEN
        RAISE EXCEPTION 'an account is missing: % of % posted', written, cardinality(ids);
    END IF;
    RETURN NULL;
END $$"""

# Not SECURITY DEFINER: it looks at who updates, and inside the posting trigger that is the guard.
BALANCES = """
CREATE FUNCTION ledger_only_transfers_write() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND current_user = 'cardhour_guard' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% of % is never allowed', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$"""

# For who must read balances before posting: what is left can't change until the transaction's end.
LOCK = f"""
CREATE FUNCTION ledger_lock(ids uuid[]) RETURNS void {HEADER} AS $$
BEGIN
    IF NOT cardhour_writes_all() THEN
        RAISE EXCEPTION 'accounts are locked by the service alone' USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM 1 FROM ledger_account WHERE id = ANY (ids) ORDER BY id FOR NO KEY UPDATE;
END $$"""

TRIGGERS = (
    """CREATE TRIGGER post AFTER INSERT ON ledger_transfer REFERENCING NEW TABLE AS added
       FOR EACH STATEMENT EXECUTE FUNCTION ledger_post()""",
    """CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transfer
       FOR EACH STATEMENT EXECUTE FUNCTION guard_refuse()""",
    """CREATE TRIGGER only_transfers_write BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_account
       FOR EACH STATEMENT EXECUTE FUNCTION ledger_only_transfers_write()""",
)
FUNCTIONS = ("ledger_post()", "ledger_only_transfers_write()", "ledger_lock(uuid[])")
INSERTED = {
    "ledger_account": "id, name, kind, guard, owner_org_id",
    "ledger_transfer": "id, debit_id, credit_id, amount_fen, kind, pending_id, subject",
}
SEEN = {
    "ledger_account": f"owner_org_id = {ORG} OR {READS}",
    "ledger_transfer": (
        "EXISTS (SELECT FROM ledger_account a WHERE a.id IN (ledger_transfer.debit_id, ledger_transfer.credit_id)"
        f" AND a.owner_org_id = {ORG}) OR {READS}"
    ),
}


def create_tables() -> None:
    """Create the tables with their checks and indexes."""
    op.create_table(
        "ledger_account",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("guard", sa.String(), nullable=False),
        sa.Column("owner_org_id", sa.Uuid(), nullable=True),
        sa.Column("debits_pending", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("debits_posted", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("credits_pending", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("credits_posted", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 300", name=op.f("ledger_account_name_length")),
        sa.CheckConstraint("length(kind) BETWEEN 1 AND 40", name=op.f("ledger_account_kind_length")),
        sa.CheckConstraint(
            "guard IN ('none', 'debits_le_credits', 'credits_le_debits')", name=op.f("ledger_account_guard_known")
        ),
        sa.CheckConstraint(
            "debits_pending >= 0 AND debits_posted >= 0 AND credits_pending >= 0 AND credits_posted >= 0",
            name=op.f("ledger_account_balances_not_negative"),
        ),
        sa.CheckConstraint(
            "guard <> 'debits_le_credits' OR debits_pending + debits_posted <= credits_posted",
            name=op.f("ledger_account_debits_within_credits"),
        ),
        sa.CheckConstraint(
            "guard <> 'credits_le_debits' OR credits_pending + credits_posted <= debits_posted",
            name=op.f("ledger_account_credits_within_debits"),
        ),
        sa.ForeignKeyConstraint(["owner_org_id"], ["organisation.id"], name=op.f("ledger_account_owner_org_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("ledger_account_pkey")),
        sa.UniqueConstraint("name", name=op.f("ledger_account_name_key")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index(
        "ledger_account_owner_idx",
        "ledger_account",
        ["owner_org_id", "id"],
        unique=False,
        postgresql_where=sa.text("owner_org_id IS NOT NULL"),
    )
    op.create_table(
        "ledger_transfer",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("debit_id", sa.Uuid(), nullable=False),
        sa.Column("credit_id", sa.Uuid(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("pending_id", sa.Uuid(), nullable=True),
        sa.Column("subject", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint(
            "kind IN ('single', 'pending', 'post', 'void', 'expire')", name=op.f("ledger_transfer_kind_known")
        ),
        sa.CheckConstraint("debit_id <> credit_id", name=op.f("ledger_transfer_two_accounts")),
        sa.CheckConstraint(
            "amount_fen BETWEEN 0 AND 1000000000000000 AND (amount_fen = 0) = (kind IN ('void', 'expire'))",
            name=op.f("ledger_transfer_amount_range"),
        ),
        sa.CheckConstraint(
            "(kind IN ('post', 'void', 'expire')) = (pending_id IS NOT NULL)",
            name=op.f("ledger_transfer_resolution_names_pending"),
        ),
        sa.ForeignKeyConstraint(["debit_id"], ["ledger_account.id"], name=op.f("ledger_transfer_debit_id_fkey")),
        sa.ForeignKeyConstraint(["credit_id"], ["ledger_account.id"], name=op.f("ledger_transfer_credit_id_fkey")),
        sa.ForeignKeyConstraint(["pending_id"], ["ledger_transfer.id"], name=op.f("ledger_transfer_pending_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("ledger_transfer_pkey")),
        sa.UniqueConstraint("seq", name=op.f("ledger_transfer_seq_key")),
    )
    op.create_index(
        "ledger_transfer_one_resolution",
        "ledger_transfer",
        ["pending_id"],
        unique=True,
        postgresql_where=sa.text("pending_id IS NOT NULL"),
    )
    op.create_index(
        "ledger_transfer_subject_idx",
        "ledger_transfer",
        ["subject"],
        unique=False,
        postgresql_where=sa.text("subject IS NOT NULL"),
    )
    op.create_index("ledger_transfer_debit_idx", "ledger_transfer", ["debit_id", "seq"], unique=False)
    op.create_index("ledger_transfer_credit_idx", "ledger_transfer", ["credit_id", "seq"], unique=False)


def upgrade() -> None:
    """Create tables, rights, policies, and the functions and triggers that keep the books."""
    op.execute("SET LOCAL ROLE cardhour_owner")
    create_tables()
    for table, columns in INSERTED.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"GRANT SELECT ON {table} TO cardhour_app, cardhour_auditor, cardhour_guard")
        # Not the balances, nor the order and time of a transfer: these are the database's own.
        op.execute(f"GRANT INSERT ({columns}) ON {table} TO cardhour_app")
        op.execute(f"CREATE POLICY auditor_sees ON {table} FOR SELECT TO cardhour_auditor USING (true)")
        op.execute(f"CREATE POLICY app_sees ON {table} FOR SELECT TO cardhour_app USING ({SEEN[table]})")
        op.execute(f"CREATE POLICY app_inserts ON {table} FOR INSERT TO cardhour_app WITH CHECK ({WRITES})")
    op.execute(
        "GRANT UPDATE (debits_pending, debits_posted, credits_pending, credits_posted)"
        " ON ledger_account TO cardhour_guard"
    )
    for sql in (POST, BALANCES, LOCK):
        op.execute(sql)
    op.execute("RESET ROLE")
    # As the migrating user, who is a member of both the owner and the guard: the owner may not execute guard_refuse().
    for sql in TRIGGERS:
        op.execute(sql)
    op.execute("GRANT CREATE ON SCHEMA public TO cardhour_guard")
    for function in FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"ALTER FUNCTION {function} OWNER TO cardhour_guard")
    op.execute("REVOKE CREATE ON SCHEMA public FROM cardhour_guard")
    op.execute("GRANT EXECUTE ON FUNCTION ledger_lock(uuid[]) TO cardhour_app")


def downgrade() -> None:
    """Drop the ledger."""
    op.drop_table("ledger_transfer")
    op.drop_table("ledger_account")
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
