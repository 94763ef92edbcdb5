"""The house: roles, accounts, catalogue, demand, reservations, quotes, bulk jobs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Roles belong to the whole server: another database of it may have made them already, and keeps them.
ROLES = (
    "cardhour_owner NOLOGIN",
    "cardhour_guard NOLOGIN BYPASSRLS",
    "cardhour_app LOGIN NOBYPASSRLS",
    "cardhour_worker LOGIN NOBYPASSRLS",
    "cardhour_auditor LOGIN NOBYPASSRLS",
)


def create_roles() -> None:
    """Create the roles that are not there yet; let the migrating user act as the owner and the guard."""
    for role in ROLES:
        op.execute(
            f"DO $$ BEGIN CREATE ROLE {role} NOSUPERUSER NOCREATEDB NOCREATEROLE; "
            "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )
    op.execute("GRANT cardhour_owner, cardhour_guard TO CURRENT_USER")
    op.execute("GRANT cardhour_app TO cardhour_worker")
    op.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    op.execute("GRANT USAGE, CREATE ON SCHEMA public TO cardhour_owner")
    op.execute("GRANT USAGE ON SCHEMA public TO cardhour_app, cardhour_worker, cardhour_auditor, cardhour_guard")
    op.execute("GRANT SELECT ON alembic_version TO cardhour_app, cardhour_worker, cardhour_auditor")


def upgrade() -> None:
    """Create roles and tables; the tables belong to `cardhour_owner`."""
    create_roles()
    op.execute("SET LOCAL ROLE cardhour_owner")
    op.create_table(
        "chip_model",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("vendor", sa.String(), nullable=True),
        sa.Column("fp16_tflops", sa.Numeric(precision=12, scale=3), nullable=True),
        sa.Column("memory_gb", sa.Numeric(precision=12, scale=3), nullable=True),
        sa.Column("domestic", sa.Boolean(), nullable=True),
        sa.Column("chip_class", sa.String(), nullable=True),
        sa.Column("source", sa.String(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("fp16_tflops > 0", name=op.f("chip_model_fp16_tflops_positive")),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 100", name=op.f("chip_model_name_length")),
        sa.CheckConstraint("memory_gb > 0", name=op.f("chip_model_memory_gb_positive")),
        sa.PrimaryKeyConstraint("name", name=op.f("chip_model_pkey")),
    )
    op.create_index(op.f("chip_model_chip_class_idx"), "chip_model", ["chip_class"], unique=False)
    op.create_table(
        "idempotency_record",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("headers", postgresql.JSONB(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("org_id", "route", "key", name=op.f("idempotency_record_pkey")),
    )
    op.create_index(op.f("idempotency_record_created_at_idx"), "idempotency_record", ["created_at"], unique=False)
    op.create_table(
        "organisation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("contact", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("state_reason", sa.String(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'approved', 'rejected', 'suspended')", name=op.f("organisation_state_known")
        ),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 200", name=op.f("organisation_name_length")),
        sa.PrimaryKeyConstraint("id", name=op.f("organisation_pkey")),
    )
    op.create_table(
        "reservation_journal",
        sa.Column("offer_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("reservation_id", sa.Uuid(), nullable=False),
        sa.Column("cards", sa.BigInteger(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("offer_id", "seq", "reservation_id", name=op.f("reservation_journal_pkey")),
    )
    op.create_index("reservation_journal_reservation_id_idx", "reservation_journal", ["reservation_id"], unique=False)
    op.create_table(
        "affiliation",
        sa.Column("low_id", sa.Uuid(), nullable=False),
        sa.Column("high_id", sa.Uuid(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_to", sa.Date(), nullable=True),
        sa.Column("evidence", sa.String(), nullable=False),
        sa.Column(
            "recorded_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("low_id < high_id", name=op.f("affiliation_ordered")),
        sa.ForeignKeyConstraint(["high_id"], ["organisation.id"], name=op.f("affiliation_high_id_fkey")),
        sa.ForeignKeyConstraint(["low_id"], ["organisation.id"], name=op.f("affiliation_low_id_fkey")),
        sa.PrimaryKeyConstraint("low_id", "high_id", "valid_from", name=op.f("affiliation_pkey")),
    )
    op.create_table(
        "api_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("roles", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["org_id"], ["organisation.id"], name=op.f("api_key_org_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("api_key_pkey")),
        sa.UniqueConstraint("digest", name=op.f("api_key_digest_key")),
    )
    op.create_index("api_key_org_id_id_idx", "api_key", ["org_id", "id"], unique=False)
    op.create_table(
        "bulk_job",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("options", postgresql.JSONB(), nullable=False),
        sa.Column("progress", postgresql.JSONB(), nullable=False),
        sa.Column("result", postgresql.JSONB(), nullable=True),
        sa.Column("error", postgresql.JSONB(), nullable=True),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("lease_ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('import', 'export')", name=op.f("bulk_job_kind_known")),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')",
            name=op.f("bulk_job_state_known"),
        ),
        sa.CheckConstraint("NOT (result IS NOT NULL AND error IS NOT NULL)", name=op.f("bulk_job_result_or_error")),
        sa.ForeignKeyConstraint(["org_id"], ["organisation.id"], name=op.f("bulk_job_org_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("bulk_job_pkey")),
    )
    op.create_index(
        "bulk_job_waiting_idx",
        "bulk_job",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.create_table(
        "offer",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("supplier_org_id", sa.Uuid(), nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("chip_model", sa.String(), nullable=False),
        sa.Column("cards_per_node", sa.BigInteger(), nullable=False),
        sa.Column("interconnect_gbps", sa.BigInteger(), nullable=True),
        sa.Column("price_fen", sa.BigInteger(), nullable=False),
        sa.Column("list_price_fen", sa.BigInteger(), nullable=False),
        sa.Column("price_unit", sa.String(), nullable=False),
        sa.Column("posted_fen_per_instance_month", sa.BigInteger(), nullable=True),
        sa.Column("listed_fen_per_instance_month", sa.BigInteger(), nullable=True),
        sa.Column("auto_accept", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column(
            "observed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(price_unit = 'instance_month') = (posted_fen_per_instance_month IS NOT NULL)",
            name=op.f("offer_posted_price_whole"),
        ),
        sa.CheckConstraint("state IN ('open', 'withdrawn')", name=op.f("offer_state_known")),
        sa.CheckConstraint("cards_per_node BETWEEN 1 AND 100000", name=op.f("offer_cards_per_node_range")),
        sa.CheckConstraint("interconnect_gbps BETWEEN 0 AND 1000000", name=op.f("offer_interconnect_range")),
        sa.CheckConstraint("list_price_fen BETWEEN 0 AND 100000000", name=op.f("offer_list_price_range")),
        sa.CheckConstraint("price_fen BETWEEN 0 AND 100000000", name=op.f("offer_price_range")),
        sa.ForeignKeyConstraint(["chip_model"], ["chip_model.name"], name=op.f("offer_chip_model_fkey")),
        sa.ForeignKeyConstraint(["supplier_org_id"], ["organisation.id"], name=op.f("offer_supplier_org_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("offer_pkey")),
        sa.UniqueConstraint("supplier_org_id", "id", name=op.f("offer_supplier_org_id_id_key")),
        sa.UniqueConstraint("supplier_org_id", "ref", name=op.f("offer_supplier_org_id_ref_key")),
    )
    op.create_index(op.f("offer_chip_model_idx"), "offer", ["chip_model"], unique=False)
    op.create_index("offer_price_fen_id_idx", "offer", ["price_fen", "id"], unique=False)
    op.create_table(
        "organisation_fact",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", postgresql.JSONB(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("evidence", sa.String(), nullable=True),
        sa.Column(
            "recorded_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("verified_by", sa.Uuid(), nullable=True),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(verified_at IS NULL) = (verified_by IS NULL)", name=op.f("organisation_fact_verified_whole")
        ),
        sa.ForeignKeyConstraint(["org_id"], ["organisation.id"], name=op.f("organisation_fact_org_id_fkey")),
        sa.ForeignKeyConstraint(["verified_by"], ["organisation.id"], name=op.f("organisation_fact_verified_by_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("organisation_fact_pkey")),
        sa.UniqueConstraint("org_id", "key", "valid_from", name=op.f("organisation_fact_org_id_key_valid_from_key")),
    )
    op.create_table(
        "organisation_role",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.CheckConstraint(
            "role IN ('buyer', 'supplier', 'desk', 'auditor')", name=op.f("organisation_role_role_known")
        ),
        sa.ForeignKeyConstraint(["org_id"], ["organisation.id"], name=op.f("organisation_role_org_id_fkey")),
        sa.PrimaryKeyConstraint("org_id", "role", name=op.f("organisation_role_pkey")),
        sa.UniqueConstraint("role", "ref", name=op.f("organisation_role_role_ref_key")),
    )
    op.create_table(
        "partner_list_entry",
        sa.Column("list_name", sa.String(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("batch", sa.String(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column(
            "recorded_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["org_id"], ["organisation.id"], name=op.f("partner_list_entry_org_id_fkey")),
        sa.PrimaryKeyConstraint("list_name", "org_id", name=op.f("partner_list_entry_pkey")),
    )
    op.create_table(
        "quote",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("buyer_org_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=True),
        sa.Column("need", postgresql.JSONB(), nullable=False),
        sa.Column("options", postgresql.JSONB(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["buyer_org_id"], ["organisation.id"], name=op.f("quote_buyer_org_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("quote_pkey")),
    )
    op.create_index("quote_expires_at_idx", "quote", ["expires_at"], unique=False)
    op.create_table(
        "request",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("buyer_org_id", sa.Uuid(), nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("earliest_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
        sa.Column("blocks", sa.BigInteger(), nullable=False),
        sa.Column("min_blocks", sa.BigInteger(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("regions", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("suppliers_allowed", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("suppliers_refused", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("min_interconnect_gbps", sa.BigInteger(), nullable=True),
        sa.Column("min_cards_per_node", sa.BigInteger(), nullable=True),
        sa.Column("domestic", sa.Boolean(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "state IN ('open', 'partly_matched', 'matched', 'closed', 'withdrawn', 'expired')",
            name=op.f("request_state_known"),
        ),
        sa.CheckConstraint("blocks BETWEEN 1 AND 1000", name=op.f("request_blocks_range")),
        sa.CheckConstraint("earliest_start < deadline", name=op.f("request_window_ordered")),
        sa.CheckConstraint("min_blocks BETWEEN 1 AND blocks", name=op.f("request_min_blocks_range")),
        sa.CheckConstraint("priority BETWEEN 1 AND 1000", name=op.f("request_priority_range")),
        sa.ForeignKeyConstraint(["buyer_org_id"], ["organisation.id"], name=op.f("request_buyer_org_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("request_pkey")),
        sa.UniqueConstraint("buyer_org_id", "id", name=op.f("request_buyer_org_id_id_key")),
        sa.UniqueConstraint("buyer_org_id", "ref", name=op.f("request_buyer_org_id_ref_key")),
    )
    op.create_index(
        "request_open_deadline_idx",
        "request",
        ["deadline"],
        unique=False,
        postgresql_where=sa.text("state IN ('open', 'partly_matched')"),
    )
    op.create_index("request_submitted_at_id_idx", "request", ["submitted_at", "id"], unique=False)
    op.create_table(
        "bulk_file",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["bulk_job.id"], name=op.f("bulk_file_job_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["org_id"], ["organisation.id"], name=op.f("bulk_file_org_id_fkey")),
        sa.PrimaryKeyConstraint("job_id", "name", name=op.f("bulk_file_pkey")),
    )
    op.create_table(
        "capacity_step",
        sa.Column("offer_id", sa.Uuid(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cards", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("cards BETWEEN 0 AND 100000", name=op.f("capacity_step_cards_range")),
        sa.CheckConstraint("mod(extract(epoch from starts_at), 3600) = 0", name=op.f("capacity_step_whole_hour")),
        sa.ForeignKeyConstraint(["offer_id"], ["offer.id"], name=op.f("capacity_step_offer_id_fkey")),
        sa.PrimaryKeyConstraint("offer_id", "starts_at", name=op.f("capacity_step_pkey")),
    )
    op.create_table(
        "offer_book",
        sa.Column("offer_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["offer_id"], ["offer.id"], name=op.f("offer_book_offer_id_fkey")),
        sa.PrimaryKeyConstraint("offer_id", name=op.f("offer_book_pkey")),
    )
    op.create_table(
        "request_alternative",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("chips", sa.String(), nullable=False),
        sa.Column("min_memory_gb", sa.Numeric(precision=12, scale=3), nullable=True),
        sa.Column("min_fp16_tflops", sa.Numeric(precision=12, scale=3), nullable=True),
        sa.Column("cards", sa.BigInteger(), nullable=False),
        sa.Column("hours", sa.Numeric(), nullable=False),
        sa.Column("max_net_price_fen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("cards BETWEEN 1 AND 100000", name=op.f("request_alternative_cards_range")),
        sa.CheckConstraint("hours > 0 AND hours <= 20000", name=op.f("request_alternative_hours_range")),
        sa.CheckConstraint(
            "max_net_price_fen BETWEEN 0 AND 100000000", name=op.f("request_alternative_max_net_price_range")
        ),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["request.id"],
            name=op.f("request_alternative_request_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("request_id", "position", name=op.f("request_alternative_pkey")),
    )
    op.create_table(
        "reservation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("offer_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sa.Column("buyer_org_id", sa.Uuid(), nullable=False),
        sa.Column("supplier_org_id", sa.Uuid(), nullable=False),
        sa.Column("cards", sa.BigInteger(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("hold_ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("buyer_accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("supplier_accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason_code", sa.String(), nullable=True),
        sa.Column("reason_detail", sa.String(), nullable=True),
        sa.Column("price_fen", sa.BigInteger(), nullable=False),
        sa.Column("cost_fen", sa.BigInteger(), nullable=False),
        sa.Column("subsidy_fen", sa.BigInteger(), nullable=False),
        sa.Column("net_fen", sa.BigInteger(), nullable=False),
        sa.Column("access_contact", sa.String(), nullable=True),
        sa.Column("access_instructions", sa.String(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("(state = 'held') <= (hold_ends_at IS NOT NULL)", name=op.f("reservation_hold_has_an_end")),
        sa.CheckConstraint(
            "(state IN ('cancelled', 'expired')) = (reason_code IS NOT NULL)",
            name=op.f("reservation_reason_where_ended"),
        ),
        sa.CheckConstraint(
            "state IN ('held', 'confirmed', 'active', 'completed', 'cancelled', 'expired')",
            name=op.f("reservation_state_known"),
        ),
        sa.CheckConstraint("block >= 0", name=op.f("reservation_block_range")),
        sa.CheckConstraint("cards BETWEEN 1 AND 100000", name=op.f("reservation_cards_range")),
        sa.CheckConstraint(
            "mod(extract(epoch from starts_at), 3600) = 0 AND mod(extract(epoch from ends_at), 3600) = 0",
            name=op.f("reservation_whole_hours"),
        ),
        sa.CheckConstraint("net_fen = cost_fen - subsidy_fen", name=op.f("reservation_net_is_cost_less_subsidy")),
        sa.CheckConstraint("price_fen >= 0", name=op.f("reservation_price_range")),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("reservation_interval_ordered")),
        sa.CheckConstraint("subsidy_fen >= 0 AND subsidy_fen <= cost_fen", name=op.f("reservation_subsidy_range")),
        sa.ForeignKeyConstraint(
            ["buyer_org_id", "request_id"],
            ["request.buyer_org_id", "request.id"],
            name=op.f("reservation_buyer_org_id_request_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["buyer_org_id"], ["organisation.id"], name=op.f("reservation_buyer_org_id_fkey")),
        sa.ForeignKeyConstraint(
            ["supplier_org_id", "offer_id"],
            ["offer.supplier_org_id", "offer.id"],
            name=op.f("reservation_supplier_org_id_offer_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["supplier_org_id"], ["organisation.id"], name=op.f("reservation_supplier_org_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("reservation_pkey")),
    )
    op.create_index("reservation_buyer_org_id_idx", "reservation", ["buyer_org_id", "id"], unique=False)
    op.create_index(
        "reservation_due_end_idx",
        "reservation",
        ["ends_at"],
        unique=False,
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_index(
        "reservation_due_start_idx",
        "reservation",
        ["starts_at"],
        unique=False,
        postgresql_where=sa.text("state = 'confirmed'"),
    )
    op.create_index(
        "reservation_held_idx",
        "reservation",
        ["hold_ends_at"],
        unique=False,
        postgresql_where=sa.text("state = 'held'"),
    )
    op.create_index(
        "reservation_live_idx",
        "reservation",
        ["offer_id", "ends_at", "starts_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('held', 'confirmed', 'active', 'completed')"),
    )
    op.create_index(
        "reservation_one_live_per_block",
        "reservation",
        ["request_id", "block"],
        unique=True,
        postgresql_where=sa.text("state IN ('held', 'confirmed', 'active', 'completed')"),
    )
    op.create_index("reservation_supplier_org_id_idx", "reservation", ["supplier_org_id", "id"], unique=False)
    op.execute("RESET ROLE")


def downgrade() -> None:
    """Drop the tables; the roles stay, since another database may use them."""
    op.drop_index("reservation_supplier_org_id_idx", table_name="reservation")
    op.drop_index(
        "reservation_one_live_per_block",
        table_name="reservation",
        postgresql_where=sa.text("state IN ('held', 'confirmed', 'active', 'completed')"),
    )
    op.drop_index(
        "reservation_live_idx",
        table_name="reservation",
        postgresql_where=sa.text("state IN ('held', 'confirmed', 'active', 'completed')"),
    )
    op.drop_index("reservation_held_idx", table_name="reservation", postgresql_where=sa.text("state = 'held'"))
    op.drop_index(
        "reservation_due_start_idx", table_name="reservation", postgresql_where=sa.text("state = 'confirmed'")
    )
    op.drop_index("reservation_due_end_idx", table_name="reservation", postgresql_where=sa.text("state = 'active'"))
    op.drop_index("reservation_buyer_org_id_idx", table_name="reservation")
    op.drop_table("reservation")
    op.drop_table("request_alternative")
    op.drop_table("offer_book")
    op.drop_table("capacity_step")
    op.drop_table("bulk_file")
    op.drop_index("request_submitted_at_id_idx", table_name="request")
    op.drop_index(
        "request_open_deadline_idx",
        table_name="request",
        postgresql_where=sa.text("state IN ('open', 'partly_matched')"),
    )
    op.drop_table("request")
    op.drop_index("quote_expires_at_idx", table_name="quote")
    op.drop_table("quote")
    op.drop_table("partner_list_entry")
    op.drop_table("organisation_role")
    op.drop_table("organisation_fact")
    op.drop_index("offer_price_fen_id_idx", table_name="offer")
    op.drop_index(op.f("offer_chip_model_idx"), table_name="offer")
    op.drop_table("offer")
    op.drop_index(
        "bulk_job_waiting_idx",
        table_name="bulk_job",
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.drop_table("bulk_job")
    op.drop_index("api_key_org_id_id_idx", table_name="api_key")
    op.drop_table("api_key")
    op.drop_table("affiliation")
    op.drop_index("reservation_journal_reservation_id_idx", table_name="reservation_journal")
    op.drop_table("reservation_journal")
    op.drop_table("organisation")
    op.drop_index(op.f("idempotency_record_created_at_idx"), table_name="idempotency_record")
    op.drop_table("idempotency_record")
    op.drop_index(op.f("chip_model_chip_class_idx"), table_name="chip_model")
    op.drop_table("chip_model")
