"""The ledger made fast through one shared account, its invariants and statements as views, and corrections.

Three things cost before, measured with `pgbench` on two cores:

- The foreign keys of a transfer's two accounts. Each took a KEY SHARE lock on a pool's row while another transaction
  had that row updated, so that 8 clients wrote one multixact after another: 8 clients did a third of what 1 did. The
  posting trigger locks both accounts and refuses one that is missing, under the foreign key's own name; an account is
  never removed and its id never updated. So the keys promised nothing that the trigger does not.
- Four queries over the transition table for a statement of one row, which most are. Those now have a way of their own.
- A plan made for a first statement of thousands of rows would read all transfers for each small one that followed in
  the session. What is resolved is now looked up by its id, row by row, whatever came first.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

HEADER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off"
WRITES = "(SELECT cardhour_writes_all())"

MISMATCH = """RAISE EXCEPTION 'transfer % does not match a pending one', {id}
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_transfer_matches_pending'"""
MISSING = """RAISE EXCEPTION 'an account of transfer % is missing', {id}
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = {constraint}"""

# Both ways lock the accounts in id order before they write a balance. A resolution's `more_pending` is negative.
POST = f"""
CREATE OR REPLACE FUNCTION ledger_post() RETURNS trigger {HEADER} SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    one record;
    more_pending bigint;
    more_posted bigint;
    ids uuid[];
    written bigint;
    wrong uuid;
BEGIN
    SELECT a.id, a.debit_id, a.credit_id, a.amount_fen, a.kind, a.pending_id,
        EXISTS (SELECT FROM added OFFSET 1) AS more INTO one FROM added a LIMIT 1;
    IF one.id IS NULL THEN
        RETURN NULL;
    END IF;
    IF NOT one.more THEN
        more_pending := one.amount_fen;
        IF one.pending_id IS NOT NULL THEN
            SELECT -p.amount_fen INTO more_pending FROM ledger_transfer p
            WHERE p.id = one.pending_id AND p.kind = 'pending' AND p.debit_id = one.debit_id
                AND p.credit_id = one.credit_id AND p.amount_fen >= one.amount_fen;
            IF NOT FOUND THEN
                {MISMATCH.format(id="one.id")};
            END IF;
        ELSIF one.kind = 'single' THEN
            more_pending := 0;
        END IF;
        more_posted := CASE WHEN one.kind = 'pending' THEN 0 ELSE one.amount_fen END;
        PERFORM 1 FROM ledger_account WHERE id IN (one.debit_id, one.credit_id) ORDER BY id FOR NO KEY UPDATE;
        UPDATE ledger_account AS a SET
            debits_pending = a.debits_pending + CASE WHEN a.id = one.debit_id THEN more_pending ELSE 0 END,
            debits_posted = a.debits_posted + CASE WHEN a.id = one.debit_id THEN more_posted ELSE 0 END,
            credits_pending = a.credits_pending + CASE WHEN a.id = one.credit_id THEN more_pending ELSE 0 END,
            credits_posted = a.credits_posted + CASE WHEN a.id = one.credit_id THEN more_posted ELSE 0 END
        WHERE a.id IN (one.debit_id, one.credit_id);
        GET DIAGNOSTICS written = ROW_COUNT;
        IF written = 2 THEN
            RETURN NULL;
        END IF;
    ELSE
        SELECT array_agg(id) INTO ids FROM (SELECT debit_id AS id FROM added UNION SELECT credit_id FROM added) AS s;
        PERFORM 1 FROM ledger_account WHERE id = ANY (ids) ORDER BY id FOR NO KEY UPDATE;
        SELECT a.id INTO wrong FROM added a LEFT JOIN LATERAL (
            SELECT t.amount_fen FROM ledger_transfer t WHERE t.id = a.pending_id AND t.kind = 'pending'
                AND t.debit_id = a.debit_id AND t.credit_id = a.credit_id AND t.amount_fen >= a.amount_fen OFFSET 0
        ) AS p ON true
        WHERE a.pending_id IS NOT NULL AND p.amount_fen IS NULL LIMIT 1;
        IF FOUND THEN
            {MISMATCH.format(id="wrong")};
        END IF;
        WITH change AS (
            SELECT a.debit_id, a.credit_id,
                CASE WHEN a.kind = 'pending' THEN a.amount_fen ELSE -coalesce(p.amount_fen, 0) END AS pending,
                CASE WHEN a.kind = 'pending' THEN 0 ELSE a.amount_fen END AS posted
            FROM added a LEFT JOIN LATERAL (
                SELECT t.amount_fen FROM ledger_transfer t WHERE t.id = a.pending_id OFFSET 0
            ) AS p ON true
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
        IF written = cardinality(ids) THEN
            RETURN NULL;
        END IF;
    END IF;
    SELECT a.id INTO wrong FROM added a
    WHERE NOT EXISTS (SELECT FROM ledger_account b WHERE b.id = a.debit_id) LIMIT 1;
    IF FOUND THEN
        {MISSING.format(id="wrong", constraint="'ledger_transfer_debit_id_fkey'")};
    END IF;
    SELECT a.id INTO wrong FROM added a
    WHERE NOT EXISTS (SELECT FROM ledger_account b WHERE b.id = a.credit_id) LIMIT 1;
    {MISSING.format(id="wrong", constraint="'ledger_transfer_credit_id_fkey'")};
END $$"""

# As migration 0004 had it.
FORMER_POST = f"""
CREATE OR REPLACE FUNCTION ledger_post() RETURNS trigger {HEADER} SET plan_cache_mode = force_generic_plan AS $$
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
        {MISMATCH.format(id="wrong")};
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

# One row: all of it must be 0 but the last three. With its reader's eyes: the desk's and auditors' are the whole books.
INVARIANTS = """
CREATE VIEW ledger_invariants WITH (security_invoker = true) AS
WITH change AS (
    SELECT t.debit_id, t.credit_id, t.kind, t.pending_id,
        CASE WHEN t.kind = 'pending' AND r.id IS NULL THEN t.amount_fen ELSE 0 END AS pending,
        CASE WHEN t.kind IN ('single', 'post') THEN t.amount_fen ELSE 0 END AS posted
    FROM ledger_transfer t LEFT JOIN ledger_transfer r ON r.pending_id = t.id
),
side AS (
    SELECT debit_id AS id, pending AS dp, posted AS d, 0::bigint AS cp, 0::bigint AS c FROM change
    UNION ALL SELECT credit_id, 0, 0, pending, posted FROM change
),
fold AS (SELECT id, sum(dp) AS dp, sum(d) AS d, sum(cp) AS cp, sum(c) AS c FROM side GROUP BY id)
SELECT (SELECT coalesce(sum(debits_posted) - sum(credits_posted), 0) FROM ledger_account)::bigint AS trial_balance,
    (SELECT coalesce(sum(debits_pending) - sum(credits_pending), 0) FROM ledger_account)::bigint AS trial_pending,
    (SELECT count(*) FROM ledger_account a FULL JOIN fold f USING (id) WHERE a.id IS NULL
        OR (a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted)
            IS DISTINCT FROM (coalesce(f.dp, 0), coalesce(f.d, 0), coalesce(f.cp, 0), coalesce(f.c, 0))
    ) AS balances_off,
    (SELECT count(*) FROM ledger_account a WHERE a.guard = 'debits_le_credits'
            AND a.debits_pending + a.debits_posted > a.credits_posted
        OR a.guard = 'credits_le_debits' AND a.credits_pending + a.credits_posted > a.debits_posted
    ) AS beyond_guard,
    (SELECT count(*) FROM ledger_transfer t LEFT JOIN ledger_transfer p ON p.id = t.pending_id
        WHERE t.pending_id IS NOT NULL AND ((p.kind, p.debit_id, p.credit_id)
            IS DISTINCT FROM ('pending', t.debit_id, t.credit_id) OR t.amount_fen > p.amount_fen)
    ) + (SELECT count(*) - count(DISTINCT pending_id) FROM ledger_transfer WHERE pending_id IS NOT NULL)
        AS resolutions_off,
    (SELECT count(*) FROM ledger_transfer) AS transfers,
    (SELECT count(*) FROM change WHERE pending > 0) AS open_pending,
    (SELECT coalesce(sum(pending), 0) FROM change)::bigint AS open_pending_fen"""

# A line for each transfer and side of it, on accounts that the reader sees, with the balances after it in the order of
# record. The two halves are written out, and the accounts joined last, so that one account's lines are read by index.
_CHANGE = """t.id AS transfer_id, t.seq, t.created_at, t.kind, t.pending_id, t.subject,
        CASE WHEN t.kind = 'pending' THEN t.amount_fen ELSE -coalesce(p.amount_fen, 0) END AS pending,
        CASE WHEN t.kind IN ('single', 'post') THEN t.amount_fen ELSE 0 END AS posted
    FROM ledger_transfer t LEFT JOIN ledger_transfer p ON p.id = t.pending_id"""
_AFTER = ", ".join(
    f"(sum({amount}) FILTER (WHERE side = '{side}') OVER upto)::bigint AS {side}s_{amount}"
    for side in ("debit", "credit")
    for amount in ("pending", "posted")
)
LINES = f"""
CREATE VIEW ledger_line WITH (security_invoker = true) AS
SELECT s.account_id, s.transfer_id, s.seq, s.created_at, s.kind, s.side, s.other_id, o.name AS other_name, s.pending_id,
    s.subject, s.pending AS pending_fen, s.posted AS posted_fen, coalesce(s.debits_pending, 0) AS debits_pending,
    coalesce(s.debits_posted, 0) AS debits_posted, coalesce(s.credits_pending, 0) AS credits_pending,
    coalesce(s.credits_posted, 0) AS credits_posted, c.corrects_id, c.reason,
    a.name AS account_name, a.owner_org_id
FROM (
    SELECT l.*, {_AFTER} FROM (
        SELECT t.debit_id AS account_id, t.credit_id AS other_id, 'debit' AS side, {_CHANGE}
        UNION ALL SELECT t.credit_id, t.debit_id, 'credit', {_CHANGE}
    ) AS l WINDOW upto AS (PARTITION BY account_id ORDER BY seq)
) AS s
JOIN ledger_account a ON a.id = s.account_id LEFT JOIN ledger_account o ON o.id = s.other_id
LEFT JOIN ledger_correction c ON c.transfer_id = s.transfer_id"""

# The transfer of a correction was posted before in this transaction, so that both accounts are locked: no other
# correction of the same transfer can be under way, and what was committed is seen.
CORRECTED = f"""
CREATE FUNCTION ledger_correction_fits() RETURNS trigger {HEADER} AS $$
DECLARE
    wrong uuid;
BEGIN
    SELECT a.corrects_id INTO wrong FROM added a
    JOIN ledger_transfer t ON t.id = a.transfer_id JOIN ledger_transfer o ON o.id = a.corrects_id
    WHERE t.kind <> 'single' OR o.kind NOT IN ('single', 'post')
        OR (t.debit_id, t.credit_id) IS DISTINCT FROM (o.credit_id, o.debit_id)
        OR o.amount_fen < (
            SELECT sum(x.amount_fen) FROM ledger_correction c JOIN ledger_transfer x ON x.id = c.transfer_id
            WHERE c.corrects_id = o.id)
        OR EXISTS (SELECT FROM ledger_correction c WHERE c.transfer_id = o.id)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'a correction does not fit transfer %', wrong
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_correction_fits';
    END IF;
    RETURN NULL;
END $$"""
CORRECTION_TRIGGERS = (
    """CREATE TRIGGER fits AFTER INSERT ON ledger_correction REFERENCING NEW TABLE AS added
       FOR EACH STATEMENT EXECUTE FUNCTION ledger_correction_fits()""",
    """CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_correction
       FOR EACH STATEMENT EXECUTE FUNCTION guard_refuse()""",
)
KEYS = ("debit_id", "credit_id")


def create_corrections() -> None:
    """Create the table that tells which transfers correct which, and why."""
    op.create_table(
        "ledger_correction",
        sa.Column("transfer_id", sa.Uuid(), nullable=False),
        sa.Column("corrects_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("by_org_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(reason) BETWEEN 1 AND 500", name=op.f("ledger_correction_reason_length")),
        sa.ForeignKeyConstraint(["by_org_id"], ["organisation.id"], name=op.f("ledger_correction_by_org_id_fkey")),
        sa.ForeignKeyConstraint(
            ["corrects_id"], ["ledger_transfer.id"], name=op.f("ledger_correction_corrects_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["transfer_id"], ["ledger_transfer.id"], name=op.f("ledger_correction_transfer_id_fkey")
        ),
        sa.PrimaryKeyConstraint("transfer_id", name=op.f("ledger_correction_pkey")),
    )
    op.create_index("ledger_correction_corrects_id_idx", "ledger_correction", ["corrects_id"], unique=False)


def upgrade() -> None:
    """Replace the posting function, drop the two keys, add corrections and the views."""
    op.execute("SET LOCAL ROLE cardhour_owner")
    create_corrections()
    op.execute("ALTER TABLE ledger_correction ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE ledger_correction FORCE ROW LEVEL SECURITY")
    op.execute("GRANT SELECT ON ledger_correction TO cardhour_app, cardhour_auditor, cardhour_guard")
    op.execute("GRANT INSERT ON ledger_correction TO cardhour_app")
    op.execute("CREATE POLICY auditor_sees ON ledger_correction FOR SELECT TO cardhour_auditor USING (true)")
    # Who sees the transfer sees why it was made: the transfer's own policy says so.
    op.execute(
        "CREATE POLICY app_sees ON ledger_correction FOR SELECT TO cardhour_app"
        " USING (EXISTS (SELECT FROM ledger_transfer t WHERE t.id = ledger_correction.transfer_id))"
    )
    op.execute(f"CREATE POLICY app_inserts ON ledger_correction FOR INSERT TO cardhour_app WITH CHECK ({WRITES})")
    for key in KEYS:
        op.drop_constraint(f"ledger_transfer_{key}_fkey", "ledger_transfer", type_="foreignkey")
    op.execute(INVARIANTS)
    op.execute(LINES)
    op.execute("GRANT SELECT ON ledger_invariants, ledger_line TO cardhour_app, cardhour_auditor")
    op.execute(CORRECTED)
    op.execute("RESET ROLE")
    for sql in CORRECTION_TRIGGERS:
        op.execute(sql)
    op.execute("GRANT CREATE ON SCHEMA public TO cardhour_guard")
    op.execute("REVOKE ALL ON FUNCTION ledger_correction_fits() FROM PUBLIC")
    op.execute("ALTER FUNCTION ledger_correction_fits() OWNER TO cardhour_guard")
    op.execute(POST)
    op.execute("REVOKE CREATE ON SCHEMA public FROM cardhour_guard")


def downgrade() -> None:
    """Restore the posting function and the keys; drop corrections and the views."""
    op.execute("DROP VIEW ledger_line")
    op.execute("DROP VIEW ledger_invariants")
    op.drop_table("ledger_correction")
    op.execute("DROP FUNCTION ledger_correction_fits()")
    op.execute(FORMER_POST)
    for key in KEYS:
        op.create_foreign_key(f"ledger_transfer_{key}_fkey", "ledger_transfer", "ledger_account", [key], ["id"])
