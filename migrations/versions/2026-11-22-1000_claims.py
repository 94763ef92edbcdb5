"""Claims, their lines and proofs, advances of reserve funds; signals of applications.

A claim turns as it should and says the same for ever: a trigger refuses the rest. A redemption that leaves a claim puts
its reservation on `settlement_due`: what it held may be due to come back.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import SchemaItem

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

HEADER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off"
ORG, READS, WRITES = "(SELECT cardhour_org())", "(SELECT cardhour_reads_all())", "(SELECT cardhour_writes_all())"
CLAIMANT = f"claimant_org_id = {ORG} OR {READS}"

CLAIM_CHANGED = f"""
CREATE FUNCTION guard_claim_changed() RETURNS trigger {HEADER} AS $$
BEGIN
    IF (OLD.programme_id, OLD.programme_version, OLD.claimant_org_id, OLD.period, OLD.period_start, OLD.period_end,
            OLD.amount_fen, OLD.signals, OLD.created_at)
        IS DISTINCT FROM (NEW.programme_id, NEW.programme_version, NEW.claimant_org_id, NEW.period, NEW.period_start,
            NEW.period_end, NEW.amount_fen, NEW.signals, NEW.created_at) THEN
        RAISE EXCEPTION 'what claim % is for never changes', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'claim_identity';
    END IF;
    IF NOT (OLD.state = 'submitted' AND NEW.state IN ('approved', 'rejected')
            OR OLD.state = 'approved' AND NEW.state = 'paid'
                AND (OLD.approved_fen, OLD.decided_at) IS NOT DISTINCT FROM (NEW.approved_fen, NEW.decided_at)) THEN
        RAISE EXCEPTION 'claim % is % and does not become %', NEW.id, OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'claim_transition';
    END IF;
    RETURN NULL;
END $$"""

LINE_CHANGED = f"""
CREATE FUNCTION guard_claim_line_changed() RETURNS trigger {HEADER} AS $$
BEGIN
    IF OLD.state <> 'submitted' THEN
        RAISE EXCEPTION 'line % of claim % is decided once', NEW.id, NEW.claim_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'claim_line_transition';
    END IF;
    RETURN NULL;
END $$"""

RELEASED = f"""
CREATE FUNCTION guard_due_of_redemption() RETURNS trigger {HEADER} AS $$
BEGIN
    INSERT INTO settlement_due (reservation_id) SELECT s.reservation_id FROM settlement s WHERE s.id = NEW.settlement_id
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$"""

FUNCTIONS = {
    "guard_claim_changed()": CLAIM_CHANGED,
    "guard_claim_line_changed()": LINE_CHANGED,
    "guard_due_of_redemption()": RELEASED,
}
TRIGGERS = (
    """CREATE TRIGGER guard_update AFTER UPDATE ON claim FOR EACH ROW EXECUTE FUNCTION guard_claim_changed()""",
    """CREATE TRIGGER guard_update AFTER UPDATE ON claim_line FOR EACH ROW
       EXECUTE FUNCTION guard_claim_line_changed()""",
    """CREATE TRIGGER settlement_due AFTER UPDATE OF claim_id ON redemption FOR EACH ROW
       WHEN (OLD.claim_id IS NOT NULL AND NEW.claim_id IS NULL) EXECUTE FUNCTION guard_due_of_redemption()""",
    *(
        f"""CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION guard_refuse()"""
        for table in ("claim", "claim_line")
    ),
    *(
        f"""CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION guard_refuse()"""
        for table in ("claim_proof", "advance")
    ),
)
# table: (who sees a row, which columns the service may update)
TABLES: dict[str, tuple[str, str | None]] = {
    "claim": (
        CLAIMANT,
        ("state, approved_fen, netted_fen, recovered_fen, cash_fen, decided_at, paid_at, payment_reference, version"),
    ),
    "claim_line": (CLAIMANT, "state, reason_code, reason_detail"),
    "claim_proof": (CLAIMANT, None),
    "advance": (f"supplier_org_id = {ORG} OR {READS}", None),
}


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _column(name: str, kind: type[sa.types.TypeEngine[Any]], *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind(), nullable=nullable)


def _key(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=op.f(f"{table}_{column}_fkey"))


def _version_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["programme_id", "programme_version"],
        ["programme_version.programme_id", "programme_version.version"],
        name=op.f(f"{table}_programme_id_programme_version_fkey"),
    )


def _checks(table: str, **checks: str) -> list[SchemaItem]:
    return [sa.CheckConstraint(text, name=op.f(f"{table}_{name}")) for name, text in checks.items()]


def _create_claims() -> None:
    op.create_table(
        "claim",
        _column("id", sa.Uuid),
        _column("programme_id", sa.String),
        _column("programme_version", sa.BigInteger),
        _column("claimant_org_id", sa.Uuid),
        _column("period", sa.String),
        _moment("period_start"),
        _moment("period_end"),
        _column("state", sa.String),
        _column("amount_fen", sa.BigInteger),
        _column("approved_fen", sa.BigInteger, nullable=True),
        _column("netted_fen", sa.BigInteger, nullable=True),
        _column("recovered_fen", sa.BigInteger, nullable=True),
        _column("cash_fen", sa.BigInteger, nullable=True),
        sa.Column("signals", JSONB(), nullable=False),
        _moment("decided_at", nullable=True),
        _moment("paid_at", nullable=True),
        _column("payment_reference", sa.String, nullable=True),
        _column("version", sa.BigInteger),
        _moment("created_at"),
        *_checks(
            "claim",
            state_known="state IN ('submitted', 'approved', 'rejected', 'paid')",
            period_ordered="period_start < period_end",
            amount_range="amount_fen > 0",
            decided_whole=(
                "(state = 'submitted') = (approved_fen IS NULL) AND (approved_fen IS NULL) = (decided_at IS NULL)"
            ),
            approved_range="approved_fen BETWEEN 0 AND amount_fen AND (approved_fen = 0) = (state = 'rejected')",
            paid_whole=(
                "(state = 'paid') = (paid_at IS NOT NULL) AND (paid_at IS NULL) = (cash_fen IS NULL)"
                " AND (cash_fen IS NULL) = (netted_fen IS NULL) AND (cash_fen IS NULL) = (recovered_fen IS NULL)"
            ),
            paid_amounts=(
                "netted_fen >= 0 AND recovered_fen >= 0 AND cash_fen >= 0"
                " AND cash_fen = approved_fen - netted_fen - recovered_fen"
            ),
        ),
        _version_key("claim"),
        _key("claim", "claimant_org_id", "organisation"),
        sa.PrimaryKeyConstraint("id", name=op.f("claim_pkey")),
    )
    op.create_index("claim_claimant_org_id_idx", "claim", ["claimant_org_id", "id"])
    open_claims = sa.text("state IN ('submitted', 'approved')")
    op.create_index("claim_queue_idx", "claim", ["id"], postgresql_where=open_claims)


def _create_lines() -> None:
    op.create_table(
        "claim_line",
        _column("id", sa.Uuid),
        _column("claim_id", sa.Uuid),
        _column("claimant_org_id", sa.Uuid),
        _column("redemption_id", sa.Uuid),
        _column("settlement_id", sa.Uuid),
        _column("voucher_id", sa.Uuid),
        _column("amount_fen", sa.BigInteger),
        _column("state", sa.String),
        _column("reason_code", sa.String, nullable=True),
        _column("reason_detail", sa.String, nullable=True),
        _column("transfer_id", sa.Uuid),
        *_checks(
            "claim_line",
            state_known="state IN ('submitted', 'approved', 'rejected')",
            amount_range="amount_fen > 0",
            reason_where_rejected=(
                "(state = 'rejected') = (reason_code IS NOT NULL) AND (reason_code IS NULL) = (reason_detail IS NULL)"
            ),
        ),
        _key("claim_line", "claim_id", "claim"),
        _key("claim_line", "claimant_org_id", "organisation"),
        _key("claim_line", "redemption_id", "redemption"),
        _key("claim_line", "settlement_id", "settlement"),
        _key("claim_line", "voucher_id", "voucher"),
        _key("claim_line", "transfer_id", "ledger_transfer"),
        sa.PrimaryKeyConstraint("id", name=op.f("claim_line_pkey")),
        sa.UniqueConstraint("transfer_id", name=op.f("claim_line_transfer_id_key")),
    )
    op.create_index(
        "claim_line_one_live_claim",
        "claim_line",
        ["redemption_id"],
        unique=True,
        postgresql_where=sa.text("state <> 'rejected'"),
    )
    op.create_index("claim_line_claim_id_idx", "claim_line", ["claim_id", "id"])
    op.create_index("claim_line_redemption_id_idx", "claim_line", ["redemption_id"])
    op.create_table(
        "claim_proof",
        _column("claim_id", sa.Uuid),
        _column("document_id", sa.Uuid),
        _column("kind", sa.String),
        _column("claimant_org_id", sa.Uuid),
        _key("claim_proof", "claim_id", "claim"),
        _key("claim_proof", "document_id", "document"),
        _key("claim_proof", "claimant_org_id", "organisation"),
        sa.PrimaryKeyConstraint("claim_id", "document_id", "kind", name=op.f("claim_proof_pkey")),
    )
    op.create_index("claim_proof_document_id_idx", "claim_proof", ["document_id"])


def _create_advances() -> None:
    op.create_table(
        "advance",
        _column("id", sa.Uuid),
        _column("programme_id", sa.String),
        _column("programme_version", sa.BigInteger),
        _column("supplier_org_id", sa.Uuid),
        _column("amount_fen", sa.BigInteger),
        _column("reference", sa.String, nullable=True),
        _column("transfer_id", sa.Uuid),
        _moment("created_at"),
        *_checks("advance", amount_range="amount_fen > 0"),
        _version_key("advance"),
        _key("advance", "supplier_org_id", "organisation"),
        _key("advance", "transfer_id", "ledger_transfer"),
        sa.PrimaryKeyConstraint("id", name=op.f("advance_pkey")),
        sa.UniqueConstraint("transfer_id", name=op.f("advance_transfer_id_key")),
    )
    op.create_index("advance_supplier_org_id_idx", "advance", ["supplier_org_id", "programme_id", "id"])


def upgrade() -> None:
    """Create tables, rights and policies, and the guard of claims."""
    op.execute("SET LOCAL ROLE cardhour_owner")
    _create_claims()
    _create_lines()
    _create_advances()
    op.add_column("voucher_application", sa.Column("signals", JSONB(), server_default="[]", nullable=False))
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
    for sql in FUNCTIONS.values():
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


def downgrade() -> None:
    """Drop what was created."""
    op.execute("DROP TRIGGER settlement_due ON redemption")
    for table in ("advance", "claim_proof", "claim_line", "claim"):
        op.drop_table(table)
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    op.drop_column("voucher_application", "signals")
