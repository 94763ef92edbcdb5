"""Row-level security: every row belongs to an organisation, and PostgreSQL itself hides it from the others.

A transaction says whose eyes it sees with through `cardhour.role` and `cardhour.org_id` (see `app.kit.db.Scope`).
The policies are the second wall behind the repositories; they are FORCEd, so that the owner is bound too.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

FUNCTIONS = (
    """CREATE FUNCTION cardhour_org() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS
       $$ SELECT NULLIF(current_setting('cardhour.org_id', true), '')::uuid $$""",
    """CREATE FUNCTION cardhour_is_known() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS
       $$ SELECT COALESCE(current_setting('cardhour.role', true), '') IN ('desk', 'auditor', 'system')
              OR NULLIF(current_setting('cardhour.org_id', true), '') IS NOT NULL $$""",
    """CREATE FUNCTION cardhour_reads_all() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS
       $$ SELECT COALESCE(current_setting('cardhour.role', true), '') IN ('desk', 'auditor', 'system') $$""",
    """CREATE FUNCTION cardhour_writes_all() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS
       $$ SELECT COALESCE(current_setting('cardhour.role', true), '') IN ('desk', 'system') $$""",
    """CREATE FUNCTION cardhour_identifies() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS
       $$ SELECT COALESCE(current_setting('cardhour.role', true), '') = 'authenticator' $$""",
)
ORG, KNOWN = "(SELECT cardhour_org())", "(SELECT cardhour_is_known())"
READS, WRITES, IDENTIFIES = (
    "(SELECT cardhour_reads_all())",
    "(SELECT cardhour_writes_all())",
    "(SELECT cardhour_identifies())",
)
OWN = f"org_id = {ORG}"
OF_OFFER = f"EXISTS (SELECT FROM offer o WHERE o.id = capacity_step.offer_id AND o.supplier_org_id = {ORG}) OR {WRITES}"
OF_REQUEST_READ = (
    f"EXISTS (SELECT FROM request r WHERE r.id = request_alternative.request_id AND r.buyer_org_id = {ORG}) OR {READS}"
)
OF_REQUEST_WRITE = OF_REQUEST_READ.replace(READS, WRITES)
PARTY = f"buyer_org_id = {ORG} OR supplier_org_id = {ORG}"

# table: (who sees a row, who may insert it, who may update it, who may delete it); None = nobody
POLICIES: dict[str, tuple[str, str | None, str | None, str | None]] = {
    "organisation": (
        (
            f"id = {ORG} OR {READS} OR {IDENTIFIES}"
            f" OR ({KNOWN} AND EXISTS (SELECT FROM organisation_role r WHERE r.org_id = organisation.id"
            " AND r.role = 'supplier'))"
            " OR EXISTS (SELECT FROM reservation v WHERE v.buyer_org_id = organisation.id"
            f" AND v.supplier_org_id = {ORG})"
        ),
        f"(id = {ORG} AND state = 'pending') OR {WRITES}",
        f"id = {ORG} OR {WRITES}",
        None,
    ),
    "organisation_role": (
        f"{OWN} OR {READS} OR {IDENTIFIES} OR ({KNOWN} AND role = 'supplier')",
        f"({OWN} AND role IN ('buyer', 'supplier')) OR {WRITES}",
        WRITES,
        None,
    ),
    "organisation_fact": (
        f"{OWN} OR {READS}",
        f"({OWN} AND verified_at IS NULL) OR {WRITES}",
        WRITES,
        None,
    ),
    "affiliation": (f"low_id = {ORG} OR high_id = {ORG} OR {READS}", WRITES, WRITES, None),
    "partner_list_entry": (KNOWN, WRITES, WRITES, WRITES),
    "api_key": (f"{OWN} OR {READS} OR {IDENTIFIES}", f"{OWN} OR {WRITES}", f"{OWN} OR {WRITES}", None),
    "chip_model": (KNOWN, WRITES, WRITES, None),
    "offer": (KNOWN, f"supplier_org_id = {ORG} OR {WRITES}", f"supplier_org_id = {ORG} OR {WRITES}", None),
    "capacity_step": (KNOWN, OF_OFFER, OF_OFFER, OF_OFFER),
    "offer_book": (READS, None, None, None),
    "request": (
        f"buyer_org_id = {ORG} OR {READS}",
        f"buyer_org_id = {ORG} OR {WRITES}",
        f"buyer_org_id = {ORG} OR {WRITES}",
        None,
    ),
    "request_alternative": (OF_REQUEST_READ, OF_REQUEST_WRITE, OF_REQUEST_WRITE, OF_REQUEST_WRITE),
    "reservation": (
        f"{PARTY} OR {READS}",
        f"buyer_org_id = {ORG} OR {WRITES}",
        f"{PARTY} OR {WRITES}",
        None,
    ),
    "reservation_journal": (READS, None, None, None),
    "quote": (f"buyer_org_id = {ORG} OR {READS}", f"buyer_org_id = {ORG} OR {WRITES}", None, WRITES),
    "idempotency_record": (f"{OWN} OR {WRITES}", f"{OWN} OR {WRITES}", None, WRITES),
    "bulk_job": (f"{OWN} OR {READS}", f"{OWN} OR {WRITES}", f"{OWN} OR {WRITES}", WRITES),
    "bulk_file": (f"{OWN} OR {READS}", f"{OWN} OR {WRITES}", WRITES, WRITES),
}
NOT_FOR_AUDITORS = {
    "api_key": "id, org_id, label, prefix, roles, created_at, expires_at, revoked_at",
    "idempotency_record": "org_id, route, key, status, created_at",
}


def upgrade() -> None:
    """Grant what each role needs and no more, then put the policies in front of it."""
    op.execute("SET LOCAL ROLE cardhour_owner")
    for function in FUNCTIONS:
        op.execute(function)
    for table, (see, insert, update, delete) in POLICIES.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"GRANT SELECT ON {table} TO cardhour_app, cardhour_guard")
        op.execute(
            f"GRANT SELECT ({NOT_FOR_AUDITORS[table]}) ON {table} TO cardhour_auditor"
            if table in NOT_FOR_AUDITORS
            else f"GRANT SELECT ON {table} TO cardhour_auditor"
        )
        op.execute(f"CREATE POLICY auditor_sees ON {table} FOR SELECT TO cardhour_auditor USING (true)")
        op.execute(f"CREATE POLICY app_sees ON {table} FOR SELECT TO cardhour_app USING ({see})")
        if insert is not None:
            op.execute(f"GRANT INSERT ON {table} TO cardhour_app")
            op.execute(f"CREATE POLICY app_inserts ON {table} FOR INSERT TO cardhour_app WITH CHECK ({insert})")
        if update is not None:
            op.execute(f"GRANT UPDATE ON {table} TO cardhour_app")
            op.execute(f"CREATE POLICY app_updates ON {table} FOR UPDATE TO cardhour_app USING ({update})")
        if delete is not None:
            op.execute(f"GRANT DELETE ON {table} TO cardhour_app")
            op.execute(f"CREATE POLICY app_deletes ON {table} FOR DELETE TO cardhour_app USING ({delete})")
    op.execute("RESET ROLE")


def downgrade() -> None:
    """Take policies and rights away."""
    for table in POLICIES:
        for policy in ("auditor_sees", "app_sees", "app_inserts", "app_updates", "app_deletes"):
            op.execute(f"DROP POLICY IF EXISTS {policy} ON {table}")
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        op.execute(f"REVOKE ALL ON {table} FROM cardhour_app, cardhour_auditor, cardhour_guard")
    for function in ("org", "is_known", "reads_all", "writes_all", "identifies"):
        op.execute(f"DROP FUNCTION cardhour_{function}()")
