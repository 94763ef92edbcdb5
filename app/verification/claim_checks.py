"""The checks of claims and advances: lines held against redemptions and transfers, payments against the ledger."""

from typing import Final

from app.verification.checks import Check

CLAIM_CHECKS: Final = (
    Check(
        "claims",
        "a redemption is in at most one live claim, over what is left of it, and names it; claims are their lines",
        "SELECT count(*) FROM claim_line",
        """
        WITH back AS (SELECT of_id, sum(amount_fen) AS fen FROM redemption WHERE of_id IS NOT NULL GROUP BY of_id)
        SELECT format('redemption %s is in %s live claims', redemption_id, count(*)) FROM claim_line
        WHERE state <> 'rejected' GROUP BY redemption_id HAVING count(*) > 1
        UNION ALL
        SELECT format('redemption %s names claim %s, its live line is of %s', r.id, r.claim_id, l.claim_id)
        FROM redemption r LEFT JOIN claim_line l ON l.redemption_id = r.id AND l.state <> 'rejected'
        WHERE r.claim_id IS DISTINCT FROM l.claim_id
        UNION ALL
        SELECT format('line %s of claim %s is over %s fen of a redemption of %s, less %s given back', l.id, l.claim_id,
            l.amount_fen, r.amount_fen, coalesce(back.fen, 0))
        FROM claim_line l JOIN redemption r ON r.id = l.redemption_id LEFT JOIN back ON back.of_id = r.id
        WHERE l.state <> 'rejected' AND l.amount_fen <> r.amount_fen - coalesce(back.fen, 0)
        UNION ALL
        SELECT format('line %s of claim %s is not of its claimant, programme or period', l.id, c.id)
        FROM claim c JOIN claim_line l ON l.claim_id = c.id JOIN redemption r ON r.id = l.redemption_id
        JOIN voucher v ON v.id = r.voucher_id
        WHERE (c.claimant_org_id, c.claimant_org_id, c.programme_id, c.programme_version, l.voucher_id, l.settlement_id)
            IS DISTINCT FROM (l.claimant_org_id, r.claimant_org_id, r.programme_id, v.programme_version, r.voucher_id,
                r.settlement_id)
            OR r.created_at < c.period_start OR r.created_at >= c.period_end
        UNION ALL
        SELECT format('claim %s is %s over %s fen, approved %s; its lines are %s, approved %s', c.id, c.state,
            c.amount_fen, c.approved_fen, sum(l.amount_fen), sum(l.amount_fen) FILTER (WHERE l.state = 'approved'))
        FROM claim c LEFT JOIN claim_line l ON l.claim_id = c.id GROUP BY c.id
        HAVING sum(l.amount_fen) IS DISTINCT FROM c.amount_fen
            OR coalesce(sum(l.amount_fen) FILTER (WHERE l.state = 'approved'), 0) <> coalesce(c.approved_fen, 0)
            OR bool_or(l.state = 'submitted') <> (c.state = 'submitted')
        """,
    ),
    Check(
        "claim_transfers",
        "each line is a pending transfer from what can be claimed, posted whole if paid, voided if rejected, else open",
        "SELECT count(*) FROM claim_line",
        """
        SELECT format('line %s of claim %s, %s, over %s fen is not its transfer', l.id, c.id, l.state, l.amount_fen)
        FROM claim_line l JOIN claim c ON c.id = l.claim_id
        LEFT JOIN ledger_transfer t ON t.id = l.transfer_id LEFT JOIN ledger_transfer r ON r.pending_id = t.id
        LEFT JOIN ledger_account d ON d.id = t.debit_id LEFT JOIN ledger_account p ON p.id = t.credit_id
        WHERE (t.kind, t.amount_fen, t.subject, d.kind, d.owner_org_id, p.kind, p.name)
                IS DISTINCT FROM ('pending', l.amount_fen, c.id, 'claimable', c.claimant_org_id, 'paid',
                    c.programme_id || '/paid/' || left(c.period, 4))
            OR split_part(d.name, '/', 1) <> c.programme_id
            OR (r.kind, r.amount_fen) IS DISTINCT FROM (CASE WHEN l.state = 'rejected' THEN 'void'
                WHEN c.state = 'paid' THEN 'post' END, CASE WHEN l.state = 'rejected' THEN 0
                WHEN c.state = 'paid' THEN l.amount_fen END)
        UNION ALL
        SELECT format('transfer %s reserves or pays claimed money and no line tells of it', t.id)
        FROM ledger_transfer t JOIN ledger_account p ON p.id = t.credit_id AND p.kind = 'paid'
        LEFT JOIN claim_line l ON l.transfer_id = coalesce(t.pending_id, t.id) WHERE l.id IS NULL
        """,
    ),
    Check(
        "claims_paid",
        "what claims were paid, recovered and netted is what the ledger moved; netted is never above what was advanced",
        "SELECT count(*) FROM claim WHERE state = 'paid'",
        """
        WITH moved AS (
            SELECT t.subject, coalesce(sum(t.amount_fen) FILTER (WHERE c.kind = 'paid' AND t.kind = 'post'), 0) AS paid,
                coalesce(sum(t.amount_fen) FILTER (WHERE d.kind = 'paid' AND c.kind = 'clawback'), 0) AS recovered,
                coalesce(sum(t.amount_fen) FILTER (WHERE d.kind = 'advance' AND c.kind = 'treasury'), 0) AS netted
            FROM ledger_transfer t JOIN ledger_account d ON d.id = t.debit_id
            JOIN ledger_account c ON c.id = t.credit_id
            WHERE t.kind IN ('single', 'post') AND ('paid' IN (d.kind, c.kind) OR d.kind = 'advance')
            GROUP BY t.subject
        )
        SELECT format('claim %s: approved %s, recovered %s, netted %s; the ledger has %s, %s, %s', coalesce(c.id,
            m.subject), c.approved_fen, c.recovered_fen, c.netted_fen, m.paid, m.recovered, m.netted)
        FROM (SELECT * FROM claim WHERE state = 'paid') c FULL JOIN moved m ON m.subject = c.id
        WHERE (c.approved_fen, c.recovered_fen, c.netted_fen) IS DISTINCT FROM (m.paid, m.recovered, m.netted)
            OR c.cash_fen <> c.approved_fen - c.recovered_fen - c.netted_fen
        UNION ALL
        SELECT format('advance %s of %s fen is not its transfer', a.id, a.amount_fen)
        FROM advance a LEFT JOIN ledger_transfer t ON t.id = a.transfer_id
        LEFT JOIN ledger_account d ON d.id = t.debit_id LEFT JOIN ledger_account c ON c.id = t.credit_id
        WHERE (t.kind, t.amount_fen, d.name, c.kind, c.owner_org_id)
            IS DISTINCT FROM ('single', a.amount_fen, a.programme_id || '/treasury', 'advance', a.supplier_org_id)
        UNION ALL
        SELECT format('transfer %s moves advanced money and no advance tells of it', t.id)
        FROM ledger_transfer t JOIN ledger_account c ON c.id = t.credit_id AND c.kind = 'advance'
        LEFT JOIN advance a ON a.transfer_id = t.id WHERE a.id IS NULL
        UNION ALL
        SELECT format('claims of %s under %s made up for %s fen, advanced were %s', n.claimant_org_id, n.programme_id,
            n.fen, coalesce(sum(a.amount_fen), 0))
        FROM (SELECT programme_id, claimant_org_id, sum(netted_fen) AS fen FROM claim WHERE netted_fen > 0
              GROUP BY programme_id, claimant_org_id) n
        LEFT JOIN advance a ON (a.programme_id, a.supplier_org_id) = (n.programme_id, n.claimant_org_id)
        GROUP BY n.programme_id, n.claimant_org_id, n.fen HAVING n.fen > coalesce(sum(a.amount_fen), 0)
        """,
    ),
    Check(
        "claim_guard",
        "the triggers of claims are in place, and nobody of the service may change what is claimed or was paid",
        "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal",
        """
        WITH wanted (relation, name) AS (VALUES
            ('claim', 'guard_update'), ('claim_line', 'guard_update'), ('redemption', 'settlement_due'),
            ('claim', 'never_removed'), ('claim_line', 'never_removed'), ('claim_proof', 'append_only'),
            ('advance', 'append_only'))
        SELECT format('trigger %s on %s is missing or disabled', w.name, w.relation) FROM wanted w
        LEFT JOIN pg_trigger t ON t.tgname = w.name AND t.tgrelid = to_regclass('public.' || w.relation)
        WHERE t.tgenabled IS DISTINCT FROM 'O'
        UNION ALL
        SELECT format('the index of live claims on claim_line is missing')
        WHERE to_regclass('public.claim_line_one_live_claim') IS NULL
        UNION ALL
        SELECT format('role %s may write %s of %s', r.role, p.name, p.relation)
        FROM unnest(ARRAY['cardhour_app', 'cardhour_worker', 'cardhour_auditor']) AS r (role),
            (VALUES ('claim', 'amount_fen'), ('claim', 'claimant_org_id'), ('claim_line', 'amount_fen'),
                ('claim_line', 'transfer_id'), ('advance', 'amount_fen'), ('claim_proof', 'kind')) AS p (relation, name)
        WHERE has_column_privilege(r.role, p.relation, p.name, 'UPDATE')
        """,
    ),
)
