"""The checks of vouchers and contracts: states held against reservations, applications and the ledger's transfers."""

from typing import Final

from app.verification.checks import Check

# What vouchers take of their budgets: set aside, issued, and after their end what did not come back.
_TAKEN: Final = """
    back AS (
        SELECT t.subject AS id, sum(t.amount_fen) AS fen FROM ledger_transfer t
        JOIN ledger_account d ON d.id = t.debit_id JOIN ledger_account c ON c.id = t.credit_id
        WHERE t.kind = 'single' AND c.kind = 'pool' AND d.kind IN ('voucher', 'clawback') GROUP BY t.subject
    ),
    taken AS (
        SELECT v.*, CASE WHEN v.state = 'earmarked' THEN v.amount_fen
            ELSE coalesce(v.issued_fen, 0) - coalesce(back.fen, 0) END AS fen
        FROM voucher v LEFT JOIN back USING (id) WHERE v.state NOT IN ('voided', 'rejected')
    )
"""
# What was redeemed of a voucher, what was given back onto it taken off.
_REDEEMED: Final = """
    flow AS MATERIALIZED (
        SELECT t.debit_id AS account_id, t.amount_fen AS fen
        FROM ledger_transfer t JOIN ledger_account other ON other.id = t.credit_id AND other.kind = 'claimable'
        WHERE t.kind = 'single'
        UNION ALL
        SELECT t.credit_id, -t.amount_fen
        FROM ledger_transfer t JOIN ledger_account other ON other.id = t.debit_id AND other.kind = 'claimable'
        WHERE t.kind = 'single'
    ),
    redeemed AS (
        SELECT v.id, sum(flow.fen) AS fen FROM voucher v JOIN flow USING (account_id) GROUP BY v.id
    )
"""
VOUCHER_CHECKS: Final = (
    Check(
        "budgets",
        "a programme's pool of a year was filled once from its own treasury; neither it nor a buyer's cap is exceeded",
        "SELECT count(*) FROM programme_year",
        f"""
        WITH {_TAKEN},
        filled AS (
            SELECT c.name, d.name AS source, sum(t.amount_fen) AS fen FROM ledger_transfer t
            JOIN ledger_account d ON d.id = t.debit_id JOIN ledger_account c ON c.id = t.credit_id
            WHERE t.kind IN ('single', 'post') AND d.kind = 'treasury' AND c.kind = 'pool' GROUP BY c.name, d.name
        )
        SELECT DISTINCT format('programme %s is open and has no treasury', y.programme_id) FROM programme_year y
        WHERE NOT EXISTS (SELECT FROM ledger_account t
            WHERE t.kind = 'treasury' AND t.name = y.programme_id || '/treasury')
        UNION ALL
        SELECT format('the pool of %s %s got %s fen from %s', y.programme_id, y.year, filled.fen, filled.source)
        FROM programme_year y JOIN filled ON filled.name = y.programme_id || '/pool/' || y.year
        WHERE filled.source <> y.programme_id || '/treasury'
        UNION ALL
        SELECT format('the pool of %s %s was filled with %s fen, not %s', y.programme_id, y.year,
            coalesce(filled.fen, 0), y.pool_fen)
        FROM programme_year y
        LEFT JOIN ledger_account a ON a.name = y.programme_id || '/pool/' || y.year
        LEFT JOIN filled ON filled.name = a.name AND filled.source = y.programme_id || '/treasury'
        WHERE a.id IS NULL OR coalesce(y.pool_fen, 0) <> coalesce(filled.fen, 0)
            OR a.credits_posted - coalesce(filled.fen, 0) > a.debits_posted
            OR (a.guard = 'debits_le_credits') <> (y.pool_fen IS NOT NULL)
        UNION ALL
        SELECT format('vouchers of %s %s are %s fen of %s', y.programme_id, y.year, sum(v.fen), y.pool_fen)
        FROM programme_year y JOIN taken v USING (programme_id, year)
        GROUP BY y.programme_id, y.year, y.pool_fen HAVING sum(v.fen) > y.pool_fen
        UNION ALL
        SELECT format('buyer %s has %s fen of %s %s, at most %s', v.buyer_org_id, sum(v.fen), y.programme_id,
            y.year, y.buyer_year_fen)
        FROM programme_year y JOIN taken v USING (programme_id, year)
        GROUP BY y.programme_id, y.year, y.buyer_year_fen, v.buyer_org_id HAVING sum(v.fen) > y.buyer_year_fen
        """,
    ),
    Check(
        "earmarks",
        "every open earmark has one live reservation, and its legs on the pool and the buyer's cap are pending",
        "SELECT count(*) FROM voucher",
        """
        WITH leg AS (
            SELECT t.subject, d.name AS source, d.kind, t.credit_id, t.amount_fen
            FROM ledger_transfer t JOIN ledger_account d ON d.id = t.debit_id
            WHERE t.kind = 'pending' AND d.kind IN ('pool', 'buyer_quota')
                AND NOT EXISTS (SELECT FROM ledger_transfer r WHERE r.pending_id = t.id)
        ),
        found AS (
            SELECT v.id, v.amount_fen,
                count(*) FILTER (WHERE leg.credit_id = v.account_id
                    AND leg.source = v.programme_id || '/pool/' || v.year) AS pools,
                count(*) FILTER (WHERE leg.kind = 'buyer_quota' AND leg.source LIKE '%/' || v.year) AS quotas
            FROM voucher v LEFT JOIN leg ON leg.subject = v.id AND leg.amount_fen = v.amount_fen
            WHERE v.state = 'earmarked' GROUP BY v.id
        )
        SELECT format('voucher %s is %s and its reservation %s', v.id, v.state, coalesce(r.state, 'missing'))
        FROM voucher v LEFT JOIN reservation r ON r.id = v.subject_id AND r.buyer_org_id = v.buyer_org_id
        WHERE v.subject_id IS NOT NULL AND (r.id IS NULL
            OR (r.state IN ('cancelled', 'expired') AND v.state IN ('earmarked', 'issued', 'exhausted')))
        UNION ALL
        SELECT format('voucher %s is voided though its reservation is %s', v.id, r.state)
        FROM voucher v JOIN reservation r ON r.id = v.subject_id
        LEFT JOIN voucher_application p ON p.voucher_id = v.id
        WHERE v.state = 'voided' AND r.state NOT IN ('cancelled', 'expired') AND p.state IS DISTINCT FROM 'withdrawn'
            AND NOT EXISTS (SELECT FROM voucher w WHERE w.subject_id = v.subject_id
                AND w.programme_id = v.programme_id AND w.id > v.id)
        UNION ALL
        SELECT format('voucher %s over %s fen has no such amount pending on its pool and cap', id, amount_fen)
        FROM found WHERE pools <> 1 OR quotas <> 1
        UNION ALL
        SELECT format('%s fen are pending for %s, which is no open voucher', leg.amount_fen, leg.subject)
        FROM leg LEFT JOIN voucher v ON v.id = leg.subject WHERE v.state IS DISTINCT FROM 'earmarked'
        """,
    ),
    Check(
        "vouchers",
        "what was issued of a voucher was posted on pool and cap; its state agrees with what is left on its account",
        "SELECT count(*) FROM voucher WHERE issued_fen IS NOT NULL",
        """
        WITH leg AS MATERIALIZED (
            SELECT t.subject, t.credit_id, t.amount_fen, d.kind, d.name
            FROM ledger_transfer t JOIN ledger_account d ON d.id = t.debit_id
            WHERE t.kind = 'post' AND t.subject IS NOT NULL
        ),
        posted AS (
            SELECT v.id, coalesce(sum(leg.amount_fen) FILTER (WHERE leg.credit_id = v.account_id), 0) AS pool,
                coalesce(sum(leg.amount_fen)
                    FILTER (WHERE leg.kind = 'buyer_quota' AND leg.name LIKE '%/' || v.year), 0) AS quota
            FROM voucher v LEFT JOIN leg ON leg.subject = v.id GROUP BY v.id
        )
        SELECT format('voucher %s was issued over %s fen, posted are %s of its pool and %s of its cap', v.id,
            coalesce(v.issued_fen, 0), p.pool, p.quota)
        FROM voucher v JOIN posted p USING (id)
        WHERE (p.pool, p.quota) IS DISTINCT FROM (coalesce(v.issued_fen, 0), coalesce(v.issued_fen, 0))
        UNION ALL
        SELECT format('voucher %s is %s with %s fen on its account', v.id, v.state, a.credits_posted - a.debits_posted)
        FROM voucher v JOIN ledger_account a ON a.id = v.account_id
        WHERE (v.state = 'issued') <> (a.credits_posted > a.debits_posted)
        """,
    ),
    Check(
        "subsidies",
        "a live reservation's subsidy is what its vouchers cover, or its whole cost where that is less",
        "SELECT count(*) FROM reservation WHERE subsidy_fen > 0",
        f"""
        WITH {_REDEEMED},
        covered AS (
            SELECT v.subject_id, sum(CASE WHEN v.state = 'earmarked' THEN v.amount_fen
                WHEN v.state IN ('issued', 'exhausted') THEN v.issued_fen ELSE coalesce(redeemed.fen, 0) END) AS fen
            FROM voucher v LEFT JOIN redeemed USING (id) GROUP BY v.subject_id
        )
        SELECT format('reservation %s has a subsidy of %s fen and vouchers of %s', r.id, r.subsidy_fen,
            coalesce(c.fen, 0))
        FROM reservation r LEFT JOIN covered c ON c.subject_id = r.id
        WHERE r.state IN ('held', 'confirmed', 'active', 'completed')
            AND r.subsidy_fen <> least(coalesce(c.fen, 0), r.cost_fen)
        """,
    ),
    Check(
        "contracts",
        "every confirmed reservation has one contract between its sides, over the sum of its items",
        "SELECT count(*) FROM contract",
        """
        SELECT format('reservation %s is %s and has no contract', r.id, r.state)
        FROM reservation r LEFT JOIN contract c ON c.reservation_id = r.id
        WHERE r.state IN ('confirmed', 'active', 'completed') AND c.id IS NULL
        UNION ALL
        SELECT format('contract %s is not between the sides of its reservation, which is %s', c.id,
            coalesce(r.state, 'missing'))
        FROM contract c LEFT JOIN reservation r ON r.id = c.reservation_id
        WHERE (r.buyer_org_id, r.supplier_org_id) IS DISTINCT FROM (c.buyer_org_id, c.supplier_org_id)
            OR r.state IN ('held', 'expired')
        UNION ALL
        SELECT format('contract %s is over %s fen, its items are %s', c.id, c.amount_fen,
            coalesce(sum(i.amount_fen), 0))
        FROM contract c LEFT JOIN contract_item i ON i.contract_id = c.id
        GROUP BY c.id HAVING coalesce(sum(i.amount_fen), 0) <> c.amount_fen
        """,
    ),
    Check(
        "applications",
        "an application is for a voucher of its contract, and both are in states that belong together",
        "SELECT count(*) FROM voucher_application",
        """
        SELECT format('application %s is %s and its voucher %s', p.id, p.state, coalesce(v.state, 'missing'))
        FROM voucher_application p LEFT JOIN voucher v ON v.id = p.voucher_id
        WHERE NOT coalesce(CASE p.state WHEN 'submitted' THEN v.state = 'earmarked'
            WHEN 'rejected' THEN v.state = 'rejected' WHEN 'withdrawn' THEN v.state = 'voided'
            ELSE v.issued_fen = p.amount_fen END, false)
        UNION ALL
        SELECT format('application %s is not for a voucher of its contract', p.id)
        FROM voucher_application p LEFT JOIN voucher v ON v.id = p.voucher_id
        LEFT JOIN contract c ON c.id = p.contract_id
        WHERE (v.subject_id, v.buyer_org_id, v.programme_id, c.supplier_org_id)
            IS DISTINCT FROM (c.reservation_id, c.buyer_org_id, p.programme_id, p.supplier_org_id)
        UNION ALL
        SELECT format('voucher %s is %s without an application', v.id, v.state)
        FROM voucher v LEFT JOIN voucher_application p ON p.voucher_id = v.id
        WHERE v.kind = 'contract' AND v.state NOT IN ('earmarked', 'voided') AND p.id IS NULL
        """,
    ),
    Check(
        "voucher_guard",
        "the triggers of vouchers and contracts are in place, and nobody of the service may remove what is on record",
        "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal",
        """
        WITH wanted (relation, name) AS (VALUES
            ('voucher', 'guard_insert'), ('voucher', 'guard_update'), ('voucher_application', 'guard_insert'),
            ('voucher_application', 'guard_update'), ('voucher_application', 'never_removed'),
            ('contract', 'never_removed'), ('contract_item', 'append_only'), ('document', 'append_only'),
            ('evaluation', 'append_only'), ('voucher_journal', 'append_only'))
        SELECT format('trigger %s on %s is missing or disabled', w.name, w.relation) FROM wanted w
        LEFT JOIN pg_trigger t ON t.tgname = w.name AND t.tgrelid = to_regclass('public.' || w.relation)
        WHERE t.tgenabled IS DISTINCT FROM 'O'
        UNION ALL
        SELECT format('function %s is not the guard''s own', p.proname) FROM pg_proc p
        JOIN pg_roles owner ON owner.oid = p.proowner
        WHERE p.pronamespace = 'public'::regnamespace AND (owner.rolname <> 'cardhour_guard' OR NOT p.prosecdef)
            AND p.proname IN ('guard_voucher_added', 'guard_voucher_changed', 'guard_application_added',
                'guard_application_changed')
        UNION ALL
        SELECT format('role %s may %s %s', r.role, p.privilege, p.relation)
        FROM unnest(ARRAY['cardhour_app', 'cardhour_worker', 'cardhour_auditor']) AS r (role),
            unnest(ARRAY['contract', 'contract_item', 'document', 'voucher_application', 'evaluation',
                'voucher_journal']) AS t (relation),
            unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) AS v (privilege),
            LATERAL (SELECT t.relation, v.privilege) AS p
        WHERE has_table_privilege(r.role, p.relation, p.privilege)
        """,
    ),
)
