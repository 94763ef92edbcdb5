"""The checks of deliveries and settlements: what was billed is the formula on the reports, what was redeemed its share.

They recompute in SQL, from rows, what `app.settlements` and `app.vouchers.instalments` compute in Python.
"""

from typing import Final

from app.verification.checks import Check

# Reports that no other corrects; what each contract's delivery comes to.
_IN_FORCE: Final = """
    in_force AS (
        SELECT d.*, extract(epoch FROM d.period_end - d.period_start)::bigint AS seconds FROM delivery_report d
        WHERE NOT EXISTS (SELECT FROM delivery_report c WHERE c.corrects_id = d.id)
    ),
    delivered AS (
        SELECT reservation_id, sum(card_seconds)::numeric AS card_seconds, sum(seconds)::numeric AS seconds
        FROM in_force GROUP BY reservation_id
    ),
    billed AS (
        SELECT contract_id, sum(amount_fen) AS amount_fen, sum(amount_fen - payable_fen) AS deducted_fen
        FROM settlement WHERE payment_state <> 'void' GROUP BY contract_id
    ),
    net AS (
        SELECT voucher_id, sum(CASE kind WHEN 'redeemed' THEN amount_fen ELSE -amount_fen END) AS redeemed_fen,
            bool_or(claim_id IS NOT NULL) AS claimed
        FROM redemption GROUP BY voucher_id
    )"""

SETTLEMENT_CHECKS: Final = (
    Check(
        "deliveries",
        "what was reported of a reservation lies within it, never twice, and is no more than was reserved",
        "SELECT count(*) FROM delivery_report",
        f"""
        WITH {_IN_FORCE}
        SELECT format('delivery %s is not within reservation %s, or above it', d.id, r.id)
        FROM in_force d JOIN reservation r ON r.id = d.reservation_id
        WHERE d.period_start < r.starts_at OR d.period_end > r.ends_at OR d.card_seconds > r.cards * d.seconds
            OR r.state NOT IN ('active', 'completed')
            OR (d.buyer_org_id, d.supplier_org_id) <> (r.buyer_org_id, r.supplier_org_id)
        UNION ALL
        SELECT format('deliveries %s and %s overlap', a.id, b.id) FROM in_force a JOIN in_force b
            ON a.reservation_id = b.reservation_id AND a.id < b.id
            AND a.period_start < b.period_end AND b.period_start < a.period_end
        UNION ALL
        SELECT format('delivery %s corrects one of another period', d.id)
        FROM delivery_report d JOIN delivery_report c ON c.id = d.corrects_id
        WHERE (c.reservation_id, c.period_start, c.period_end) <> (d.reservation_id, d.period_start, d.period_end)
        """,
    ),
    Check(
        "billed",
        "what a contract was billed is its price × the card-seconds it owes ÷ 3600, rounded half up",
        "SELECT count(*) FROM settlement",
        f"""
        WITH {_IN_FORCE},
        owed AS (
            SELECT c.id, c.reservation_id, b.amount_fen, floor((2 * r.price_fen * CASE
                WHEN r.state IN ('cancelled', 'expired') THEN 0
                WHEN c.payment = 'prepaid' AND (b.amount_fen IS NOT NULL OR r.state <> 'confirmed')
                    THEN r.cards * extract(epoch FROM r.ends_at - r.starts_at)
                        - r.cards * coalesce(d.seconds, 0) + coalesce(d.card_seconds, 0)
                ELSE coalesce(d.card_seconds, 0) END + 3600) / 7200) AS owed_fen
            FROM contract c JOIN reservation r ON r.id = c.reservation_id
            LEFT JOIN delivered d ON d.reservation_id = r.id LEFT JOIN billed b ON b.contract_id = c.id
        )
        SELECT format('contract %s was billed %s fen and owes %s', id, coalesce(amount_fen, 0), owed_fen) FROM owed
        WHERE coalesce(amount_fen, 0) <> owed_fen
            AND NOT EXISTS (SELECT FROM settlement_due s WHERE s.reservation_id = owed.reservation_id)
        UNION ALL
        SELECT format('settlement %s names other parties than its contract', s.id)
        FROM settlement s JOIN contract c ON c.id = s.contract_id
        WHERE (s.reservation_id, s.buyer_org_id, s.supplier_org_id)
            <> (c.reservation_id, c.buyer_org_id, c.supplier_org_id)
        """,
    ),
    Check(
        "settlement_numbers",
        "a supplier's settlements are counted from 1 without gaps",
        "SELECT count(*) FROM settlement",
        """
        SELECT format('supplier %s has %s settlements, numbered %s to %s, its counter at %s', supplier_org_id, count(*),
            min(s.number), max(s.number), n.last_number)
        FROM settlement s FULL JOIN settlement_counter n USING (supplier_org_id) GROUP BY supplier_org_id, n.last_number
        HAVING (count(s.number), min(s.number), max(s.number))
            IS DISTINCT FROM (n.last_number, 1::bigint, n.last_number)
        """,
    ),
    Check(
        "redemptions",
        "what a voucher redeemed is at most its rate × what was billed, and at most the voucher",
        "SELECT count(*) FROM redemption",
        f"""
        WITH {_IN_FORCE}
        SELECT format('voucher %s redeemed %s fen of %s, at most %s', v.id, n.redeemed_fen, v.issued_fen,
            v.rate_ppm * coalesce(b.amount_fen, 0) / 1000000)
        FROM net n JOIN voucher v ON v.id = n.voucher_id LEFT JOIN contract c ON c.reservation_id = v.subject_id
        LEFT JOIN billed b ON b.contract_id = c.id
        WHERE n.redeemed_fen < 0 OR v.issued_fen IS NULL OR n.redeemed_fen > v.issued_fen
            OR (NOT n.claimed AND n.redeemed_fen > v.rate_ppm * coalesce(b.amount_fen, 0) / 1000000
                AND NOT EXISTS (SELECT FROM settlement_due d WHERE d.reservation_id = v.subject_id))
        UNION ALL
        SELECT format('redemption %s is given back beyond its amount', r.id)
        FROM redemption r JOIN redemption g ON g.of_id = r.id GROUP BY r.id, r.amount_fen, r.voucher_id
        HAVING sum(g.amount_fen) > r.amount_fen OR bool_or(g.voucher_id <> r.voucher_id)
        UNION ALL
        SELECT format('contract %s was deducted %s fen for what its supplier claims, and redeemed %s', b.contract_id,
            b.deducted_fen, coalesce(sum(CASE r.kind WHEN 'redeemed' THEN r.amount_fen ELSE -r.amount_fen END), 0))
        FROM billed b LEFT JOIN settlement s ON s.contract_id = b.contract_id
        LEFT JOIN redemption r ON r.settlement_id = s.id AND r.claimant_org_id = s.supplier_org_id
        GROUP BY b.contract_id, b.deducted_fen
        HAVING b.deducted_fen <> coalesce(sum(CASE r.kind WHEN 'redeemed' THEN r.amount_fen ELSE -r.amount_fen END), 0)
            AND NOT coalesce(bool_or(r.claim_id IS NOT NULL), false)
            AND NOT EXISTS (SELECT FROM settlement_due d JOIN contract c ON c.reservation_id = d.reservation_id
                WHERE c.id = b.contract_id)
        """,
    ),
    Check(
        "redemption_transfers",
        "each redemption is a transfer from its voucher to what its claimant can claim, each give-back the reverse",
        "SELECT count(*) FROM redemption",
        """
        WITH wanted AS (
            SELECT r.id, r.kind, r.amount_fen, t.amount_fen AS moved_fen, t.kind AS transfer_kind, t.subject,
                r.voucher_id, v.account_id, CASE r.kind WHEN 'redeemed' THEN t.debit_id ELSE t.credit_id END AS ours,
                a.kind AS other_kind, a.owner_org_id, r.claimant_org_id, r.programme_id, v.programme_id AS issued_under
            FROM redemption r JOIN voucher v ON v.id = r.voucher_id
            LEFT JOIN ledger_transfer t ON t.id = r.transfer_id
            LEFT JOIN ledger_account a ON a.id = CASE r.kind WHEN 'redeemed' THEN t.credit_id ELSE t.debit_id END
        )
        SELECT format('redemption %s of %s fen is not its transfer', id, amount_fen) FROM wanted
        WHERE (moved_fen, transfer_kind, subject, ours, other_kind, owner_org_id, programme_id)
            IS DISTINCT FROM (amount_fen, 'single', voucher_id, account_id, 'claimable', claimant_org_id, issued_under)
        UNION ALL
        SELECT format('transfer %s moves voucher money and no redemption tells of it', t.id)
        FROM ledger_transfer t JOIN ledger_account d ON d.id = t.debit_id JOIN ledger_account c ON c.id = t.credit_id
        WHERE (d.kind, c.kind) IN (('voucher', 'claimable'), ('claimable', 'voucher'))
            AND NOT EXISTS (SELECT FROM redemption r WHERE r.transfer_id = t.id)
        """,
    ),
    Check(
        "settlement_guard",
        "the guard of deliveries is in place, and nobody of the service may change what was reported or settled",
        "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal",
        """
        WITH wanted (relation, name) AS (VALUES
            ('delivery_report', 'guard_insert'), ('delivery_report', 'never_removed'),
            ('delivery_book', 'never_removed'), ('reservation', 'guard_deliveries'),
            ('reservation', 'settlement_due'), ('contract', 'settlement_due'), ('voucher', 'settlement_due'),
            ('settlement', 'never_removed'), ('settlement_counter', 'never_removed'), ('redemption', 'never_removed'))
        SELECT format('trigger %s on %s is missing or disabled', w.name, w.relation) FROM wanted w
        LEFT JOIN pg_trigger t ON t.tgname = w.name AND t.tgrelid = to_regclass('public.' || w.relation)
        WHERE t.tgenabled IS DISTINCT FROM 'O'
        UNION ALL
        SELECT format('role %s may write %s of %s', r.role, p.name, p.relation)
        FROM unnest(ARRAY['cardhour_app', 'cardhour_worker', 'cardhour_auditor']) AS r (role),
            (VALUES ('delivery_report', 'card_seconds'), ('delivery_report', 'period_end'),
                ('settlement', 'amount_fen'), ('settlement', 'payable_fen'), ('settlement', 'number'),
                ('redemption', 'amount_fen'), ('redemption', 'transfer_id'),
                ('delivery_book', 'seq')) AS p (relation, name)
        WHERE has_column_privilege(r.role, p.relation, p.name, 'UPDATE')
        """,
    ),
)
