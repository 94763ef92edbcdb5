"""Delivery reports and their guard, settlement lines and redemptions.

Each INSERT into `delivery_report` ends in one trigger call that (1) locks the books of the reservations concerned in
id order by counting them up, which holds at every isolation level, (2) refuses what was not reserved, does not run,
overlaps a report in force or corrects another period, with SQLSTATE 23514 and a constraint's name. A report is in
force while no other corrects it. A reservation is never cut to less than what was reported of it.

What changes what a contract owes or a voucher redeems puts its reservation on `settlement_due` in the same
transaction, whoever writes it: the sweep settles it and takes it off again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

HEADER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off"
ORG, READS, WRITES = "(SELECT cardhour_org())", "(SELECT cardhour_reads_all())", "(SELECT cardhour_writes_all())"
PARTY = f"buyer_org_id = {ORG} OR supplier_org_id = {ORG} OR {READS}"

REPORTED = f"""
CREATE FUNCTION guard_delivery_reported() RETURNS trigger {HEADER} AS $$
DECLARE
    ids uuid[];
    wrong record;
BEGIN
    SELECT array_agg(DISTINCT reservation_id ORDER BY reservation_id) INTO ids FROM added;
    IF ids IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO delivery_book AS b (reservation_id, seq) SELECT id, 1 FROM unnest(ids) AS u (id) ORDER BY id
    ON CONFLICT (reservation_id) DO UPDATE SET seq = b.seq + 1;
    -- What a report is held against may not change until it is on record.
    PERFORM 1 FROM reservation WHERE id = ANY (ids) ORDER BY id FOR SHARE;
    SELECT a.id, CASE
        WHEN (r.buyer_org_id, r.supplier_org_id) <> (a.buyer_org_id, a.supplier_org_id) THEN 'delivery_report_parties'
        WHEN r.state NOT IN ('active', 'completed') THEN 'delivery_report_of_running'
        WHEN a.period_start < r.starts_at OR a.period_end > r.ends_at THEN 'delivery_report_within_reservation'
        WHEN a.card_seconds > r.cards * extract(epoch FROM a.period_end - a.period_start)
            THEN 'delivery_report_within_reserved'
        WHEN a.corrects_id IS NOT NULL AND (c.reservation_id, c.period_start, c.period_end)
            IS DISTINCT FROM (a.reservation_id, a.period_start, a.period_end)
            THEN 'delivery_report_corrects_same_period'
        END AS refused_by INTO wrong
    FROM added a JOIN reservation r ON r.id = a.reservation_id
    LEFT JOIN delivery_report c ON c.id = a.corrects_id
    ORDER BY 2 NULLS LAST LIMIT 1;
    IF wrong.refused_by IS NOT NULL THEN
        RAISE EXCEPTION 'delivery report % is refused', wrong.id
            USING ERRCODE = 'check_violation', CONSTRAINT = wrong.refused_by;
    END IF;
    WITH in_force AS (
        SELECT d.* FROM delivery_report d WHERE d.reservation_id = ANY (ids)
            AND NOT EXISTS (SELECT FROM delivery_report c WHERE c.corrects_id = d.id)
    ),
    ordered AS (
        SELECT id, period_start,
            max(period_end) OVER (PARTITION BY reservation_id ORDER BY period_start, id
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
        FROM in_force
    )
    SELECT id INTO wrong FROM ordered WHERE before > period_start LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'delivery report % overlaps another', wrong.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'delivery_report_no_overlap';
    END IF;
    RETURN NULL;
END $$"""

CUT = f"""
CREATE FUNCTION guard_reservation_cut() RETURNS trigger {HEADER} AS $$
BEGIN
    IF EXISTS (SELECT FROM delivery_report d WHERE d.reservation_id = NEW.id
               AND NOT EXISTS (SELECT FROM delivery_report c WHERE c.corrects_id = d.id)
               AND (d.period_start < NEW.starts_at OR d.period_end > NEW.ends_at
                    OR d.card_seconds > NEW.cards * extract(epoch FROM d.period_end - d.period_start))) THEN
        RAISE EXCEPTION 'reservation % would be less than what was delivered of it', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'reservation_covers_deliveries';
    END IF;
    RETURN NULL;
END $$"""

# Only where something was billed or is paid ahead: what is delivered is settled by its report.
DUE = """
    INSERT INTO settlement_due (reservation_id)
    SELECT c.reservation_id FROM contract c WHERE c.reservation_id = {0}
        AND (c.payment = 'prepaid' OR EXISTS (SELECT FROM settlement s WHERE s.contract_id = c.id))
    ON CONFLICT DO NOTHING;
    RETURN NULL;"""
DUE_OF = {
    "guard_due_of_reservation()": "NEW.id",
    "guard_due_of_contract()": "NEW.reservation_id",
    "guard_due_of_voucher()": "NEW.subject_id",
}

TRIGGERS = (
    """CREATE TRIGGER settlement_due AFTER UPDATE OF state, ends_at ON reservation FOR EACH ROW
       WHEN (OLD.state <> 'held' AND (OLD.state <> NEW.state OR OLD.ends_at <> NEW.ends_at))
       EXECUTE FUNCTION guard_due_of_reservation()""",
    """CREATE TRIGGER settlement_due AFTER INSERT OR UPDATE OF payment ON contract FOR EACH ROW
       EXECUTE FUNCTION guard_due_of_contract()""",
    """CREATE TRIGGER settlement_due AFTER UPDATE OF state, subject_id ON voucher FOR EACH ROW
       WHEN (OLD.state = 'earmarked' AND NEW.state <> 'earmarked' OR OLD.subject_id IS DISTINCT FROM NEW.subject_id)
       EXECUTE FUNCTION guard_due_of_voucher()""",
    """CREATE TRIGGER guard_insert AFTER INSERT ON delivery_report REFERENCING NEW TABLE AS added
       FOR EACH STATEMENT EXECUTE FUNCTION guard_delivery_reported()""",
    """CREATE TRIGGER guard_deliveries AFTER UPDATE OF starts_at, ends_at, cards ON reservation FOR EACH ROW
       WHEN (NEW.ends_at < OLD.ends_at OR NEW.starts_at > OLD.starts_at OR NEW.cards < OLD.cards)
       EXECUTE FUNCTION guard_reservation_cut()""",
    """CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON delivery_report
       FOR EACH STATEMENT EXECUTE FUNCTION guard_refuse()""",
    """CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON delivery_book
       FOR EACH STATEMENT EXECUTE FUNCTION guard_refuse()""",
    """CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON settlement
       FOR EACH STATEMENT EXECUTE FUNCTION guard_refuse()""",
    """CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON settlement_counter
       FOR EACH STATEMENT EXECUTE FUNCTION guard_refuse()""",
    """CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON redemption
       FOR EACH STATEMENT EXECUTE FUNCTION guard_refuse()""",
)
FUNCTIONS = ("guard_delivery_reported()", "guard_reservation_cut()", *DUE_OF)
# table: (who sees a row, whether the service inserts, which columns it may update)
TABLES: dict[str, tuple[str, bool, str | None]] = {
    "delivery_report": (PARTY, True, "disputed_at, dispute_reason"),
    "delivery_book": (READS, False, None),
    "settlement_due": (READS, False, None),
    "settlement_counter": (READS, True, "last_number"),
    "settlement": (PARTY, True, "payment_state, paid_at, payment_reference, version"),
    "redemption": (PARTY, True, "claim_id"),
}


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _create_deliveries() -> None:
    op.create_table(
        "delivery_report",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("reservation_id", sa.Uuid(), nullable=False),
        sa.Column("buyer_org_id", sa.Uuid(), nullable=False),
        sa.Column("supplier_org_id", sa.Uuid(), nullable=False),
        _moment("period_start"),
        _moment("period_end"),
        sa.Column("card_seconds", sa.BigInteger(), nullable=False),
        sa.Column("corrects_id", sa.Uuid(), nullable=True),
        _moment("disputed_at", nullable=True),
        sa.Column("dispute_reason", sa.String(), nullable=True),
        _moment("created_at"),
        sa.CheckConstraint("card_seconds >= 0", name=op.f("delivery_report_card_seconds_range")),
        sa.CheckConstraint("period_start < period_end", name=op.f("delivery_report_period_ordered")),
        sa.CheckConstraint(
            "date_trunc('second', period_start) = period_start AND date_trunc('second', period_end) = period_end",
            name=op.f("delivery_report_whole_seconds"),
        ),
        sa.CheckConstraint("corrects_id <> id", name=op.f("delivery_report_corrects_another")),
        sa.CheckConstraint(
            "(disputed_at IS NULL) = (dispute_reason IS NULL)", name=op.f("delivery_report_dispute_has_reason")
        ),
        sa.ForeignKeyConstraint(
            ["reservation_id"], ["reservation.id"], name=op.f("delivery_report_reservation_id_fkey")
        ),
        sa.ForeignKeyConstraint(["buyer_org_id"], ["organisation.id"], name=op.f("delivery_report_buyer_org_id_fkey")),
        sa.ForeignKeyConstraint(
            ["supplier_org_id"], ["organisation.id"], name=op.f("delivery_report_supplier_org_id_fkey")
        ),
        sa.ForeignKeyConstraint(["corrects_id"], ["delivery_report.id"], name=op.f("delivery_report_corrects_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("delivery_report_pkey")),
    )
    op.create_index(
        "delivery_report_one_correction",
        "delivery_report",
        ["corrects_id"],
        unique=True,
        postgresql_where=sa.text("corrects_id IS NOT NULL"),
    )
    op.create_index("delivery_report_reservation_id_idx", "delivery_report", ["reservation_id", "period_start"])
    op.create_index("delivery_report_supplier_org_id_idx", "delivery_report", ["supplier_org_id", "id"])
    op.create_index("delivery_report_buyer_org_id_idx", "delivery_report", ["buyer_org_id", "id"])
    op.create_table(
        "delivery_book",
        sa.Column("reservation_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["reservation_id"], ["reservation.id"], name=op.f("delivery_book_reservation_id_fkey")),
        sa.PrimaryKeyConstraint("reservation_id", name=op.f("delivery_book_pkey")),
    )


def _create_settlements() -> None:
    op.create_table(
        "settlement_due",
        sa.Column("reservation_id", sa.Uuid(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["reservation_id"], ["reservation.id"], name=op.f("settlement_due_reservation_id_fkey")
        ),
        sa.PrimaryKeyConstraint("reservation_id", name=op.f("settlement_due_pkey")),
    )
    op.create_table(
        "settlement_counter",
        sa.Column("supplier_org_id", sa.Uuid(), nullable=False),
        sa.Column("last_number", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["supplier_org_id"], ["organisation.id"], name=op.f("settlement_counter_supplier_org_id_fkey")
        ),
        sa.PrimaryKeyConstraint("supplier_org_id", name=op.f("settlement_counter_pkey")),
    )
    op.create_table(
        "settlement",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("contract_id", sa.Uuid(), nullable=False),
        sa.Column("reservation_id", sa.Uuid(), nullable=False),
        sa.Column("buyer_org_id", sa.Uuid(), nullable=False),
        sa.Column("supplier_org_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("report_id", sa.Uuid(), nullable=True),
        _moment("period_start"),
        _moment("period_end"),
        sa.Column("price_fen", sa.BigInteger(), nullable=False),
        sa.Column("card_seconds_total", sa.BigInteger(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("payable_fen", sa.BigInteger(), nullable=False),
        sa.Column("payment_state", sa.String(), nullable=False),
        _moment("paid_at", nullable=True),
        sa.Column("payment_reference", sa.String(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        _moment("created_at"),
        sa.CheckConstraint(
            "kind IN ('prepaid', 'arrears', 'refund', 'redemption')", name=op.f("settlement_kind_known")
        ),
        sa.CheckConstraint(
            "sign(amount_fen) = CASE kind WHEN 'refund' THEN -1 WHEN 'redemption' THEN 0 ELSE 1 END",
            name=op.f("settlement_amount_sign"),
        ),
        sa.CheckConstraint("payment_state IN ('open', 'paid', 'void')", name=op.f("settlement_payment_state_known")),
        sa.CheckConstraint("(payment_state = 'paid') = (paid_at IS NOT NULL)", name=op.f("settlement_paid_has_time")),
        sa.CheckConstraint(
            "payable_fen <> 0 OR payment_state <> 'open'", name=op.f("settlement_nothing_to_pay_is_paid")
        ),
        sa.CheckConstraint("number >= 1", name=op.f("settlement_number_range")),
        sa.CheckConstraint("price_fen >= 0 AND card_seconds_total >= 0", name=op.f("settlement_metered_range")),
        sa.CheckConstraint("period_start < period_end", name=op.f("settlement_period_ordered")),
        sa.ForeignKeyConstraint(["contract_id"], ["contract.id"], name=op.f("settlement_contract_id_fkey")),
        sa.ForeignKeyConstraint(["reservation_id"], ["reservation.id"], name=op.f("settlement_reservation_id_fkey")),
        sa.ForeignKeyConstraint(["report_id"], ["delivery_report.id"], name=op.f("settlement_report_id_fkey")),
        sa.ForeignKeyConstraint(["buyer_org_id"], ["organisation.id"], name=op.f("settlement_buyer_org_id_fkey")),
        sa.ForeignKeyConstraint(["supplier_org_id"], ["organisation.id"], name=op.f("settlement_supplier_org_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("settlement_pkey")),
        sa.UniqueConstraint("supplier_org_id", "number", name="settlement_number_once"),
    )
    op.create_index("settlement_contract_id_idx", "settlement", ["contract_id", "id"])
    op.create_index("settlement_buyer_org_id_idx", "settlement", ["buyer_org_id", "id"])
    op.create_index("settlement_supplier_org_id_idx", "settlement", ["supplier_org_id", "id"])
    op.create_index(
        "settlement_report_id_idx",
        "settlement",
        ["report_id"],
        postgresql_where=sa.text("report_id IS NOT NULL"),
    )


def _create_redemptions() -> None:
    op.create_table(
        "redemption",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("settlement_id", sa.Uuid(), nullable=False),
        sa.Column("voucher_id", sa.Uuid(), nullable=False),
        sa.Column("programme_id", sa.String(), nullable=False),
        sa.Column("buyer_org_id", sa.Uuid(), nullable=False),
        sa.Column("supplier_org_id", sa.Uuid(), nullable=False),
        sa.Column("claimant_org_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("of_id", sa.Uuid(), nullable=True),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("transfer_id", sa.Uuid(), nullable=False),
        sa.Column("claim_id", sa.Uuid(), nullable=True),
        _moment("created_at"),
        sa.CheckConstraint("kind IN ('redeemed', 'given_back')", name=op.f("redemption_kind_known")),
        sa.CheckConstraint(
            "(kind = 'given_back') = (of_id IS NOT NULL)", name=op.f("redemption_given_back_names_redemption")
        ),
        sa.CheckConstraint("amount_fen > 0", name=op.f("redemption_amount_range")),
        sa.CheckConstraint("kind = 'redeemed' OR claim_id IS NULL", name=op.f("redemption_redeemed_is_claimed")),
        sa.ForeignKeyConstraint(["settlement_id"], ["settlement.id"], name=op.f("redemption_settlement_id_fkey")),
        sa.ForeignKeyConstraint(["voucher_id"], ["voucher.id"], name=op.f("redemption_voucher_id_fkey")),
        sa.ForeignKeyConstraint(["buyer_org_id"], ["organisation.id"], name=op.f("redemption_buyer_org_id_fkey")),
        sa.ForeignKeyConstraint(["supplier_org_id"], ["organisation.id"], name=op.f("redemption_supplier_org_id_fkey")),
        sa.ForeignKeyConstraint(["claimant_org_id"], ["organisation.id"], name=op.f("redemption_claimant_org_id_fkey")),
        sa.ForeignKeyConstraint(["of_id"], ["redemption.id"], name=op.f("redemption_of_id_fkey")),
        sa.ForeignKeyConstraint(["transfer_id"], ["ledger_transfer.id"], name=op.f("redemption_transfer_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("redemption_pkey")),
        sa.UniqueConstraint("transfer_id", name=op.f("redemption_transfer_id_key")),
    )
    op.create_index("redemption_settlement_id_idx", "redemption", ["settlement_id"])
    op.create_index("redemption_voucher_id_idx", "redemption", ["voucher_id", "id"])
    op.create_index("redemption_of_id_idx", "redemption", ["of_id"], postgresql_where=sa.text("of_id IS NOT NULL"))
    op.create_index("redemption_claimant_org_id_idx", "redemption", ["claimant_org_id", "programme_id", "id"])


def upgrade() -> None:
    """Create tables, rights and policies, and the guard of deliveries."""
    op.execute("SET LOCAL ROLE cardhour_owner")
    _create_deliveries()
    _create_settlements()
    _create_redemptions()
    for table, (see, inserted, updated) in TABLES.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"GRANT SELECT ON {table} TO cardhour_app, cardhour_auditor, cardhour_guard")
        op.execute(f"CREATE POLICY auditor_sees ON {table} FOR SELECT TO cardhour_auditor USING (true)")
        op.execute(f"CREATE POLICY app_sees ON {table} FOR SELECT TO cardhour_app USING ({see})")
        if inserted:
            op.execute(f"GRANT INSERT ON {table} TO cardhour_app")
            op.execute(f"CREATE POLICY app_inserts ON {table} FOR INSERT TO cardhour_app WITH CHECK ({WRITES})")
        if updated is not None:
            op.execute(f"GRANT UPDATE ({updated}) ON {table} TO cardhour_app")
            op.execute(f"CREATE POLICY app_updates ON {table} FOR UPDATE TO cardhour_app USING ({WRITES})")
    op.execute("GRANT INSERT, UPDATE ON delivery_book TO cardhour_guard")
    op.execute("GRANT INSERT ON settlement_due TO cardhour_guard")
    op.execute("GRANT DELETE ON settlement_due TO cardhour_app")
    op.execute(f"CREATE POLICY app_deletes ON settlement_due FOR DELETE TO cardhour_app USING ({WRITES})")
    # To lock a row for sharing needs a right to update it; the guard updates no reservation.
    op.execute("GRANT UPDATE (version) ON reservation TO cardhour_guard")
    op.execute(REPORTED)
    op.execute(CUT)
    for function, of in DUE_OF.items():
        op.execute(f"CREATE FUNCTION {function} RETURNS trigger {HEADER} AS $$ BEGIN {DUE.format(of)} END $$")
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
    op.execute("DROP TRIGGER guard_deliveries ON reservation")
    for table in ("reservation", "contract", "voucher"):
        op.execute(f"DROP TRIGGER settlement_due ON {table}")
    op.execute("REVOKE UPDATE (version) ON reservation FROM cardhour_guard")
    for table in (
        "redemption",
        "settlement",
        "settlement_due",
        "settlement_counter",
        "delivery_book",
        "delivery_report",
    ):
        op.drop_table(table)
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
