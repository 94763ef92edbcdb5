"""The checks of the ledger: balances folded again from the transfers, and the triggers that keep them."""

from typing import Final

from app.verification.checks import Check

LEDGER_CHECKS: Final = (
    Check(
        "ledger_trial_balance",
        "what was debited on the ledger was credited",
        "SELECT count(*) FROM ledger_account",
        """
        SELECT format('%s fen were debited, %s credited', sum(debits_posted), sum(credits_posted))
        FROM ledger_account HAVING sum(debits_posted) <> sum(credits_posted)
        """,
    ),
    Check(
        "ledger_pending_balance",
        "what is pending in debits is pending in credits",
        "SELECT count(*) FROM ledger_account",
        """
        SELECT format('%s fen are pending in debits, %s in credits', sum(debits_pending), sum(credits_pending))
        FROM ledger_account HAVING sum(debits_pending) <> sum(credits_pending)
        """,
    ),
    Check(
        "ledger_fold",
        "an account's balances are the fold of its transfers, and within its guard",
        "SELECT count(*) FROM ledger_transfer",
        """
        WITH change AS (
            SELECT t.debit_id, t.credit_id,
                CASE WHEN t.kind = 'pending' AND r.id IS NULL THEN t.amount_fen ELSE 0 END AS pending,
                CASE WHEN t.kind IN ('single', 'post') THEN t.amount_fen ELSE 0 END AS posted
            FROM ledger_transfer t LEFT JOIN ledger_transfer r ON r.pending_id = t.id
        ),
        side AS (
            SELECT debit_id AS id, pending AS dp, posted AS d, 0 AS cp, 0 AS c FROM change
            UNION ALL SELECT credit_id, 0, 0, pending, posted FROM change
        ),
        fold AS (SELECT id, sum(dp) AS dp, sum(d) AS d, sum(cp) AS cp, sum(c) AS c FROM side GROUP BY id)
        SELECT format('account %s has other balances than its transfers', coalesce(a.name, f.id::text))
        FROM ledger_account a FULL JOIN fold f USING (id)
        WHERE a.id IS NULL OR (a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted)
            IS DISTINCT FROM (coalesce(f.dp, 0), coalesce(f.d, 0), coalesce(f.cp, 0), coalesce(f.c, 0))
        UNION ALL
        SELECT format('account %s is beyond its guard', a.name) FROM ledger_account a JOIN fold f USING (id)
        WHERE (a.guard = 'debits_le_credits' AND f.dp + f.d > f.c)
            OR (a.guard = 'credits_le_debits' AND f.cp + f.c > f.d)
        """,
    ),
    Check(
        "ledger_resolutions",
        "a pending transfer is resolved at most once, between its accounts, for at most its amount",
        "SELECT count(*) FROM ledger_transfer WHERE kind = 'pending'",
        """
        SELECT format('pending transfer %s is resolved %s times', pending_id, count(*)) FROM ledger_transfer
        WHERE pending_id IS NOT NULL GROUP BY pending_id HAVING count(*) > 1
        UNION ALL
        SELECT format('transfer %s does not match what it resolves', t.id)
        FROM ledger_transfer t LEFT JOIN ledger_transfer p ON p.id = t.pending_id
        WHERE (t.kind IN ('post', 'void', 'expire')) <> (t.pending_id IS NOT NULL) OR (t.pending_id IS NOT NULL AND (
            (p.kind, p.debit_id, p.credit_id) IS DISTINCT FROM ('pending', t.debit_id, t.credit_id)
            OR t.amount_fen > p.amount_fen))
        """,
    ),
    Check(
        "quotas",
        "a buyer's quota of a year was filled once with the cap of that year, and only what it gave came back to it",
        "SELECT count(*) FROM ledger_account WHERE kind = 'buyer_quota'",
        """
        SELECT format('quota %s has %s fen of %s and %s were drawn', a.name, a.credits_posted, y.buyer_year_fen,
            a.debits_posted)
        FROM programme_year y
        JOIN ledger_account a ON a.kind = 'buyer_quota' AND starts_with(a.name, y.programme_id || '/buyer/')
            AND split_part(a.name, '/', 4) = y.year::text
        LEFT JOIN LATERAL (SELECT x.amount_fen FROM ledger_transfer x JOIN ledger_account q ON q.id = x.debit_id
            WHERE x.credit_id = a.id AND q.kind = 'quota_source' ORDER BY x.seq LIMIT 1) AS f ON true
        WHERE (a.guard = 'debits_le_credits') <> (y.buyer_year_fen IS NOT NULL)
            OR coalesce(y.buyer_year_fen, 0) <> 0 AND f.amount_fen IS DISTINCT FROM y.buyer_year_fen
            OR a.credits_posted - coalesce(y.buyer_year_fen, 0) NOT BETWEEN 0 AND a.debits_posted
        UNION ALL
        SELECT format('quota %s is of no programme that was opened for its year', a.name)
        FROM ledger_account a WHERE a.kind = 'buyer_quota' AND split_part(a.name, '/', 2) = 'buyer'
            AND NOT EXISTS (SELECT FROM programme_year y
                WHERE (y.programme_id, y.year::text) = (split_part(a.name, '/', 1), split_part(a.name, '/', 4)))
        """,
    ),
    Check(
        "ledger_corrections",
        "a correction goes the other way than what it corrects, and all of them never exceed it",
        "SELECT count(*) FROM ledger_correction",
        """
        SELECT format('correction %s does not go the other way of %s', c.transfer_id, c.corrects_id)
        FROM ledger_correction c LEFT JOIN ledger_transfer t ON t.id = c.transfer_id
        LEFT JOIN ledger_transfer o ON o.id = c.corrects_id
        WHERE t.kind IS DISTINCT FROM 'single' OR o.kind IS NULL OR o.kind NOT IN ('single', 'post')
            OR (t.debit_id, t.credit_id) IS DISTINCT FROM (o.credit_id, o.debit_id)
        UNION ALL
        SELECT format('corrections of %s take back %s fen of %s', o.id, sum(t.amount_fen), o.amount_fen)
        FROM ledger_correction c JOIN ledger_transfer t ON t.id = c.transfer_id
        JOIN ledger_transfer o ON o.id = c.corrects_id
        GROUP BY o.id, o.amount_fen HAVING sum(t.amount_fen) > o.amount_fen
        """,
    ),
    Check(
        "ledger_guard",
        "the ledger's triggers are in place, and nobody of the service may change transfers or write balances",
        "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal",
        """
        WITH wanted (relation, name) AS (VALUES
            ('ledger_transfer', 'post'), ('ledger_transfer', 'append_only'),
            ('ledger_account', 'only_transfers_write'), ('ledger_correction', 'fits'),
            ('ledger_correction', 'append_only'), ('programme_version', 'published_stays'),
            ('programme_version', 'never_emptied'), ('programme_year', 'append_only'), ('voucher', 'never_removed'))
        SELECT format('trigger %s on %s is missing or disabled', w.name, w.relation) FROM wanted w
        LEFT JOIN pg_trigger t ON t.tgname = w.name AND t.tgrelid = to_regclass('public.' || w.relation)
        WHERE t.tgenabled IS DISTINCT FROM 'O'
        UNION ALL
        SELECT format('function %s is not the guard''s own', p.proname) FROM pg_proc p
        JOIN pg_roles owner ON owner.oid = p.proowner
        WHERE p.pronamespace = 'public'::regnamespace AND (owner.rolname <> 'cardhour_guard' AND p.proname IN (
                'ledger_post', 'ledger_lock', 'ledger_correction_fits', 'ledger_only_transfers_write',
                'programme_published_stays')
            OR NOT p.prosecdef AND p.proname IN ('ledger_post', 'ledger_lock', 'ledger_correction_fits'))
        UNION ALL
        SELECT format('role %s may %s %s', r.role, p.privilege, p.relation)
        FROM unnest(ARRAY['cardhour_app', 'cardhour_worker', 'cardhour_auditor']) AS r (role),
            (VALUES ('ledger_transfer', 'UPDATE'), ('ledger_transfer', 'DELETE'), ('ledger_transfer', 'TRUNCATE'),
                ('ledger_correction', 'UPDATE'), ('ledger_correction', 'DELETE'), ('ledger_correction', 'TRUNCATE'),
                ('ledger_account', 'UPDATE'), ('ledger_account', 'DELETE'), ('ledger_account', 'TRUNCATE'),
                ('voucher', 'DELETE'), ('voucher', 'TRUNCATE')) AS p (relation, privilege)
        WHERE has_table_privilege(r.role, p.relation, p.privilege)
            OR (p.privilege = 'UPDATE' AND has_any_column_privilege(r.role, p.relation, p.privilege))
        UNION ALL
        SELECT format('role %s may write the balances of new accounts', r.role)
        FROM unnest(ARRAY['cardhour_app', 'cardhour_worker']) AS r (role)
        WHERE has_column_privilege(r.role, 'ledger_account', 'credits_posted', 'INSERT')
        """,
    ),
)
