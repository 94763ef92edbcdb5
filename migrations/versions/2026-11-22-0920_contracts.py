"""Contracts, documents, applications for vouchers and evaluations; the rest of a voucher's life.

The turns of vouchers and applications are refused by statement triggers, as those of reservations are. A voucher whose
reservation ends takes its undecided application with it, whichever way it ends. Contracts are made for what was
confirmed before there were any.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import SchemaItem

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

HEADER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off"
ORG, READS, WRITES = "(SELECT cardhour_org())", "(SELECT cardhour_reads_all())", "(SELECT cardhour_writes_all())"
PARTY = f"buyer_org_id = {ORG} OR supplier_org_id = {ORG} OR {READS}"
OF_CONTRACT = "EXISTS (SELECT FROM contract c WHERE c.id = contract_item.contract_id)"
# Whoever sees a voucher sees its journal: the voucher's own policy says who.
OF_VOUCHER = "EXISTS (SELECT FROM voucher v WHERE v.id = voucher_journal.voucher_id)"

VOUCHER_ADDED = f"""
CREATE FUNCTION guard_voucher_added() RETURNS trigger {HEADER} AS $$
BEGIN
    IF EXISTS (SELECT FROM added WHERE state <> 'earmarked') THEN
        RAISE EXCEPTION 'a voucher begins as an earmark'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'voucher_transition';
    END IF;
    INSERT INTO voucher_journal (voucher_id, state, amount_fen)
    SELECT id, state, amount_fen FROM added ORDER BY id;
    RETURN NULL;
END $$"""

VOUCHER_CHANGED = f"""
CREATE FUNCTION guard_voucher_changed() RETURNS trigger {HEADER} AS $$
BEGIN
    IF EXISTS (SELECT FROM added a LEFT JOIN removed r USING (id)
               WHERE (r.buyer_org_id, r.programme_id, r.programme_version, r.tier, r.year, r.amount_fen, r.account_id,
                       r.kind, r.bonus_of, r.created_at)
                   IS DISTINCT FROM (a.buyer_org_id, a.programme_id, a.programme_version, a.tier, a.year, a.amount_fen,
                       a.account_id, a.kind, a.bonus_of, a.created_at)
                   OR (r.subject_id IS NOT NULL AND r.subject_id IS DISTINCT FROM a.subject_id)
                   OR (r.issued_fen IS NOT NULL AND (r.issued_fen, r.rate_ppm, r.issued_at, r.expires_at)
                       IS DISTINCT FROM (a.issued_fen, a.rate_ppm, a.issued_at, a.expires_at))) THEN
        RAISE EXCEPTION 'what a voucher is for, and what was issued, never changes'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'voucher_identity';
    END IF;
    IF EXISTS (SELECT FROM added a JOIN removed r USING (id) WHERE a.state <> r.state AND (r.state, a.state) NOT IN (
            ('earmarked', 'voided'), ('earmarked', 'rejected'), ('earmarked', 'issued'), ('issued', 'exhausted'),
            ('issued', 'expired'), ('issued', 'revoked'), ('exhausted', 'issued'), ('exhausted', 'revoked'),
            ('expired', 'revoked'))) THEN
        RAISE EXCEPTION 'a voucher does not turn so'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'voucher_transition';
    END IF;
    INSERT INTO voucher_journal (voucher_id, state, amount_fen, reason_code)
    SELECT a.id, a.state, coalesce(a.issued_fen, a.amount_fen), a.reason_code
    FROM added a JOIN removed r USING (id) WHERE a.state <> r.state ORDER BY a.id;
    UPDATE voucher_application p SET state = 'withdrawn', reason_code = 'reservation_ended', version = p.version + 1,
        decided_at = clock_timestamp()
    FROM added a WHERE a.id = p.voucher_id AND a.state = 'voided' AND p.state = 'submitted';
    RETURN NULL;
END $$"""

APPLICATION_ADDED = f"""
CREATE FUNCTION guard_application_added() RETURNS trigger {HEADER} AS $$
BEGIN
    IF EXISTS (SELECT FROM added p
               LEFT JOIN contract c ON c.id = p.contract_id
               LEFT JOIN voucher v ON v.id = p.voucher_id
               WHERE (p.buyer_org_id, p.supplier_org_id) IS DISTINCT FROM (c.buyer_org_id, c.supplier_org_id)
                   OR (v.subject_id, v.buyer_org_id, v.programme_id)
                       IS DISTINCT FROM (c.reservation_id, c.buyer_org_id, p.programme_id)) THEN
        RAISE EXCEPTION 'an application is for a voucher of its contract'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'voucher_application_identity';
    END IF;
    RETURN NULL;
END $$"""

APPLICATION_CHANGED = f"""
CREATE FUNCTION guard_application_changed() RETURNS trigger {HEADER} AS $$
BEGIN
    IF EXISTS (SELECT FROM added a LEFT JOIN removed r USING (id)
               WHERE (r.contract_id, r.programme_id, r.voucher_id, r.buyer_org_id, r.supplier_org_id, r.created_at)
                   IS DISTINCT FROM (a.contract_id, a.programme_id, a.voucher_id, a.buyer_org_id, a.supplier_org_id,
                       a.created_at)) THEN
        RAISE EXCEPTION 'what an application is for never changes'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'voucher_application_identity';
    END IF;
    IF EXISTS (SELECT FROM added a JOIN removed r USING (id)
               WHERE (a.state <> r.state AND r.state <> 'submitted')
                   OR (r.choice IS NOT NULL AND a.choice IS DISTINCT FROM r.choice)
                   OR (r.decided_at IS NOT NULL AND (a.decided_at, a.decided_by, a.choice_ends_at)
                       IS DISTINCT FROM (r.decided_at, r.decided_by, r.choice_ends_at))) THEN
        RAISE EXCEPTION 'an application is decided once'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'voucher_application_transition';
    END IF;
    RETURN NULL;
END $$"""

FUNCTIONS = (
    "guard_voucher_added()",
    "guard_voucher_changed()",
    "guard_application_added()",
    "guard_application_changed()",
)
NEW, OLD_NEW = "REFERENCING NEW TABLE AS added", "REFERENCING OLD TABLE AS removed NEW TABLE AS added"
TRIGGERS = (
    f"""CREATE TRIGGER guard_insert AFTER INSERT ON voucher {NEW}
        FOR EACH STATEMENT EXECUTE FUNCTION guard_voucher_added()""",
    f"""CREATE TRIGGER guard_update AFTER UPDATE ON voucher {OLD_NEW}
        FOR EACH STATEMENT EXECUTE FUNCTION guard_voucher_changed()""",
    f"""CREATE TRIGGER guard_insert AFTER INSERT ON voucher_application {NEW}
        FOR EACH STATEMENT EXECUTE FUNCTION guard_application_added()""",
    f"""CREATE TRIGGER guard_update AFTER UPDATE ON voucher_application {OLD_NEW}
        FOR EACH STATEMENT EXECUTE FUNCTION guard_application_changed()""",
    *(
        f"""CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION guard_refuse()"""
        for table in ("contract", "voucher_application")
    ),
    *(
        f"""CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION guard_refuse()"""
        for table in ("contract_item", "document", "evaluation", "voucher_journal")
    ),
)
# table: (who sees a row, which columns may be updated)
TABLES = {
    "contract": (PARTY, "payment, version"),
    "contract_item": (OF_CONTRACT, None),
    "document": (PARTY, None),
    "voucher_application": (
        PARTY,
        (
            "state, decided_by, reason_code, reason_detail, choice, choice_ends_at, clauses, arithmetic, desk_checks,"
            " amount_fen, version, decided_at"
        ),
    ),
    "evaluation": (PARTY, None),
}

BACKFILL = (
    """
    INSERT INTO contract (id, reservation_id, buyer_org_id, supplier_org_id, chip_model, domestic, region, cards,
        starts_at, ends_at, price_fen, amount_fen, payment, signed_at, version, created_at)
    SELECT gen_random_uuid(), r.id, r.buyer_org_id, r.supplier_org_id, o.chip_model, m.domestic, o.region, r.cards,
        r.starts_at, r.ends_at, r.price_fen, r.cost_fen, 'arrears',
        greatest(r.buyer_accepted_at, r.supplier_accepted_at, r.created_at), 1, clock_timestamp()
    FROM reservation r JOIN offer o ON o.id = r.offer_id LEFT JOIN chip_model m ON m.name = o.chip_model
    WHERE r.state IN ('confirmed', 'active', 'completed')
    """,
    (
        "INSERT INTO contract_item (contract_id, position, kind, amount_fen) SELECT id, 0, 'compute', amount_fen"
        " FROM contract"
    ),
    (
        "INSERT INTO voucher_journal (voucher_id, state, amount_fen, at)"
        " SELECT id, 'earmarked', amount_fen, created_at FROM voucher ORDER BY id"
    ),
    (
        "INSERT INTO voucher_journal (voucher_id, state, amount_fen)"
        " SELECT id, state, amount_fen FROM voucher WHERE state <> 'earmarked' ORDER BY id"
    ),
)


def _moment(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[object]:
    server_default = None if default is None else sa.text(default)
    return sa.Column(name, sa.DateTime(timezone=True), server_default=server_default, nullable=nullable)


def _parties(table: str) -> list[SchemaItem]:
    return [
        sa.Column("buyer_org_id", sa.Uuid(), nullable=False),
        sa.Column("supplier_org_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["buyer_org_id"], ["organisation.id"], name=op.f(f"{table}_buyer_org_id_fkey")),
        sa.ForeignKeyConstraint(["supplier_org_id"], ["organisation.id"], name=op.f(f"{table}_supplier_org_id_fkey")),
    ]


def _party_indexes(table: str) -> None:
    for side in ("buyer_org_id", "supplier_org_id"):
        op.create_index(f"{table}_{side}_idx", table, [side, "id"], unique=False)


def change_voucher() -> None:
    """Give vouchers the rest of their life, and a journal."""
    op.drop_constraint(op.f("voucher_state_known"), "voucher", type_="check")
    op.drop_index("voucher_one_live_per_programme", table_name="voucher")
    op.alter_column("voucher", "subject_id", existing_type=sa.Uuid(), nullable=True)
    op.add_column("voucher", sa.Column("kind", sa.String(), server_default="contract", nullable=False))
    op.add_column("voucher", sa.Column("bonus_of", sa.Uuid(), nullable=True))
    op.create_foreign_key(op.f("voucher_bonus_of_fkey"), "voucher", "voucher", ["bonus_of"], ["id"])
    op.create_unique_constraint(op.f("voucher_bonus_of_key"), "voucher", ["bonus_of"])
    op.add_column("voucher", sa.Column("issued_fen", sa.BigInteger(), nullable=True))
    op.add_column("voucher", sa.Column("rate_ppm", sa.BigInteger(), nullable=True))
    op.add_column("voucher", _moment("issued_at", nullable=True))
    op.add_column("voucher", _moment("expires_at", nullable=True))
    op.add_column("voucher", sa.Column("reason_code", sa.String(), nullable=True))
    op.add_column("voucher", sa.Column("reason_detail", sa.String(), nullable=True))
    checks = {
        "state_known": "state IN ('earmarked', 'voided', 'rejected', 'issued', 'exhausted', 'expired', 'revoked')",
        "kind_known": "kind IN ('contract', 'bonus')",
        "contract_has_subject": "kind = 'bonus' OR subject_id IS NOT NULL",
        "bonus_of_one": "(kind = 'bonus') = (bonus_of IS NOT NULL)",
        "issued_whole": (
            "(state IN ('issued', 'exhausted', 'expired', 'revoked')) = (issued_fen IS NOT NULL)"
            " AND (issued_fen IS NULL) = (rate_ppm IS NULL) AND (issued_fen IS NULL) = (issued_at IS NULL)"
            " AND (expires_at IS NULL OR issued_fen IS NOT NULL)"
        ),
        "rate_range": "rate_ppm BETWEEN 1 AND 1000000",
        "issued_range": "issued_fen BETWEEN 1 AND amount_fen",
        "reason_where_ended": "(state IN ('expired', 'revoked')) = (reason_code IS NOT NULL)",
    }
    for name, condition in checks.items():
        op.create_check_constraint(op.f(f"voucher_{name}"), "voucher", condition)
    op.create_index(
        "voucher_one_live_per_programme",
        "voucher",
        ["subject_id", "programme_id", "kind"],
        unique=True,
        postgresql_where=sa.text("state <> 'voided'"),
    )
    op.create_index(
        "voucher_due_idx", "voucher", ["expires_at"], unique=False, postgresql_where=sa.text("state = 'issued'")
    )
    op.create_table(
        "voucher_journal",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("voucher_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("reason_code", sa.String(), nullable=True),
        _moment("at", default="clock_timestamp()"),
        sa.PrimaryKeyConstraint("seq", name=op.f("voucher_journal_pkey")),
    )
    op.create_index("voucher_journal_voucher_id_idx", "voucher_journal", ["voucher_id", "seq"], unique=False)


def create_contracts() -> None:
    """Create contracts, their items and documents."""
    op.create_table(
        "contract",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("reservation_id", sa.Uuid(), nullable=False),
        *_parties("contract"),
        sa.Column("chip_model", sa.String(), nullable=False),
        sa.Column("domestic", sa.Boolean(), nullable=True),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("cards", sa.BigInteger(), nullable=False),
        _moment("starts_at"),
        _moment("ends_at"),
        sa.Column("price_fen", sa.BigInteger(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("payment", sa.String(), nullable=False),
        _moment("signed_at"),
        sa.Column("version", sa.BigInteger(), nullable=False),
        _moment("created_at"),
        sa.CheckConstraint("payment IN ('prepaid', 'arrears')", name=op.f("contract_payment_known")),
        sa.CheckConstraint("amount_fen >= 0", name=op.f("contract_amount_range")),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("contract_interval_ordered")),
        sa.ForeignKeyConstraint(["reservation_id"], ["reservation.id"], name=op.f("contract_reservation_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("contract_pkey")),
        sa.UniqueConstraint("reservation_id", name=op.f("contract_reservation_id_key")),
    )
    _party_indexes("contract")
    op.create_table(
        "contract_item",
        sa.Column("contract_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('compute', 'storage', 'network', 'security')", name=op.f("contract_item_kind_known")
        ),
        sa.CheckConstraint("amount_fen >= 0", name=op.f("contract_item_amount_range")),
        sa.ForeignKeyConstraint(["contract_id"], ["contract.id"], name=op.f("contract_item_contract_id_fkey")),
        sa.PrimaryKeyConstraint("contract_id", "position", name=op.f("contract_item_pkey")),
    )
    op.create_table(
        "document",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("contract_id", sa.Uuid(), nullable=True),
        *_parties("document"),
        sa.Column("uploaded_by_org_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        _moment("created_at"),
        sa.CheckConstraint(
            "kind IN ('contract', 'invoice', 'delivery_record', 'claim_proof', 'other')",
            name=op.f("document_kind_known"),
        ),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 200", name=op.f("document_name_length")),
        sa.CheckConstraint(
            "media_type IN ('application/pdf', 'image/png', 'image/jpeg')", name=op.f("document_media_type_known")
        ),
        sa.CheckConstraint(
            "size_bytes = octet_length(content) AND size_bytes BETWEEN 1 AND 10485760",
            name=op.f("document_size_range"),
        ),
        sa.CheckConstraint("sha256 = encode(sha256(content), 'hex')", name=op.f("document_sha256_of_content")),
        sa.ForeignKeyConstraint(["contract_id"], ["contract.id"], name=op.f("document_contract_id_fkey")),
        sa.ForeignKeyConstraint(
            ["uploaded_by_org_id"], ["organisation.id"], name=op.f("document_uploaded_by_org_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("document_pkey")),
    )
    op.create_index(
        "document_contract_id_idx",
        "document",
        ["contract_id"],
        unique=False,
        postgresql_where=sa.text("contract_id IS NOT NULL"),
    )
    op.create_index("document_sha256_idx", "document", ["sha256"], unique=False)


def create_applications() -> None:
    """Create applications and evaluations."""
    op.create_table(
        "voucher_application",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("contract_id", sa.Uuid(), nullable=False),
        sa.Column("programme_id", sa.String(), nullable=False),
        sa.Column("voucher_id", sa.Uuid(), nullable=False),
        *_parties("voucher_application"),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.Column("reason_code", sa.String(), nullable=True),
        sa.Column("reason_detail", sa.String(), nullable=True),
        sa.Column("choice", sa.String(), nullable=True),
        _moment("choice_ends_at", nullable=True),
        sa.Column("clauses", JSONB(), nullable=False),
        sa.Column("arithmetic", JSONB(), nullable=False),
        sa.Column("desk_checks", JSONB(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        _moment("created_at"),
        _moment("decided_at", nullable=True),
        sa.CheckConstraint(
            "state IN ('submitted', 'approved', 'rejected', 'withdrawn')", name=op.f("voucher_application_state_known")
        ),
        sa.CheckConstraint("decided_by IN ('rules', 'desk')", name=op.f("voucher_application_decided_by_known")),
        sa.CheckConstraint(
            "(state IN ('approved', 'rejected')) = (decided_by IS NOT NULL)",
            name=op.f("voucher_application_decided_by_whole"),
        ),
        sa.CheckConstraint(
            "(state = 'submitted') = (decided_at IS NULL)", name=op.f("voucher_application_decided_whole")
        ),
        sa.CheckConstraint(
            "(state = 'rejected') <= (reason_code IS NOT NULL)", name=op.f("voucher_application_reason_where_rejected")
        ),
        sa.CheckConstraint("choice IN ('full_price', 'lapsed')", name=op.f("voucher_application_choice_known")),
        sa.CheckConstraint(
            "(state = 'rejected') = (choice_ends_at IS NOT NULL) AND (choice IS NULL OR state = 'rejected')",
            name=op.f("voucher_application_choice_where_rejected"),
        ),
        sa.ForeignKeyConstraint(["contract_id"], ["contract.id"], name=op.f("voucher_application_contract_id_fkey")),
        sa.ForeignKeyConstraint(["voucher_id"], ["voucher.id"], name=op.f("voucher_application_voucher_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("voucher_application_pkey")),
        sa.UniqueConstraint("contract_id", "programme_id", name="voucher_application_one_per_contract"),
        sa.UniqueConstraint("voucher_id", name=op.f("voucher_application_voucher_id_key")),
    )
    _party_indexes("voucher_application")
    op.create_index(
        "voucher_application_queue_idx",
        "voucher_application",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state = 'submitted'"),
    )
    op.create_index(
        "voucher_application_choice_idx",
        "voucher_application",
        ["choice_ends_at"],
        unique=False,
        postgresql_where=sa.text("state = 'rejected' AND choice IS NULL"),
    )
    op.create_table(
        "evaluation",
        sa.Column("contract_id", sa.Uuid(), nullable=False),
        *_parties("evaluation"),
        sa.Column("score", sa.BigInteger(), nullable=False),
        sa.Column("remarks", sa.String(), nullable=False),
        _moment("created_at"),
        sa.CheckConstraint("score BETWEEN 0 AND 100", name=op.f("evaluation_score_range")),
        sa.ForeignKeyConstraint(["contract_id"], ["contract.id"], name=op.f("evaluation_contract_id_fkey")),
        sa.PrimaryKeyConstraint("contract_id", name=op.f("evaluation_pkey")),
    )


def grant() -> None:
    """Let each role have what it needs and no more, with the policies in front of it."""
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
    op.execute("GRANT UPDATE (state, reason_code, version, decided_at) ON voucher_application TO cardhour_guard")
    op.execute("ALTER TABLE voucher_journal ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE voucher_journal FORCE ROW LEVEL SECURITY")
    op.execute("GRANT SELECT ON voucher_journal TO cardhour_app, cardhour_auditor, cardhour_guard")
    op.execute("GRANT INSERT (voucher_id, state, amount_fen, reason_code) ON voucher_journal TO cardhour_guard")
    op.execute("CREATE POLICY auditor_sees ON voucher_journal FOR SELECT TO cardhour_auditor USING (true)")
    op.execute(f"CREATE POLICY app_sees ON voucher_journal FOR SELECT TO cardhour_app USING ({OF_VOUCHER})")
    op.execute(
        "GRANT UPDATE (subject_id, issued_fen, rate_ppm, issued_at, expires_at, reason_code, reason_detail) ON voucher"
        " TO cardhour_app"
    )


def upgrade() -> None:
    """Create tables, rights, policies and triggers; make contracts of what was confirmed before."""
    op.execute("SET LOCAL ROLE cardhour_owner")
    change_voucher()
    create_contracts()
    create_applications()
    for sql in (VOUCHER_ADDED, VOUCHER_CHANGED, APPLICATION_ADDED, APPLICATION_CHANGED):
        op.execute(sql)
    # The owner is bound by the policies of what it reads and writes here; there is nobody else yet to be kept from it.
    for table in ("reservation", "offer", "chip_model", "voucher"):
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    for sql in BACKFILL:
        op.execute(sql)
    for table in ("reservation", "offer", "chip_model", "voucher"):
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    grant()
    op.execute("RESET ROLE")
    for sql in TRIGGERS:
        op.execute(sql)
    op.execute("GRANT CREATE ON SCHEMA public TO cardhour_guard")
    for function in FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"ALTER FUNCTION {function} OWNER TO cardhour_guard")
    op.execute("REVOKE CREATE ON SCHEMA public FROM cardhour_guard")


def downgrade() -> None:
    """Drop what was created; vouchers must be earmarked or voided, as they were before."""
    for table in ("evaluation", "voucher_application", "document", "contract_item", "contract", "voucher_journal"):
        op.drop_table(table)
    for trigger in ("guard_insert", "guard_update"):
        op.execute(f"DROP TRIGGER {trigger} ON voucher")
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    op.drop_index("voucher_due_idx", table_name="voucher")
    op.drop_index("voucher_one_live_per_programme", table_name="voucher")
    for name in (
        "state_known",
        "kind_known",
        "contract_has_subject",
        "bonus_of_one",
        "issued_whole",
        "rate_range",
        "issued_range",
        "reason_where_ended",
    ):
        op.drop_constraint(op.f(f"voucher_{name}"), "voucher", type_="check")
    for column in (
        "kind",
        "bonus_of",
        "issued_fen",
        "rate_ppm",
        "issued_at",
        "expires_at",
        "reason_code",
        "reason_detail",
    ):
        op.drop_column("voucher", column)
    op.alter_column("voucher", "subject_id", existing_type=sa.Uuid(), nullable=False)
    op.create_check_constraint(op.f("voucher_state_known"), "voucher", "state IN ('earmarked', 'voided')")
    op.create_index(
        "voucher_one_live_per_programme",
        "voucher",
        ["subject_id", "programme_id"],
        unique=True,
        postgresql_where=sa.text("state <> 'voided'"),
    )
