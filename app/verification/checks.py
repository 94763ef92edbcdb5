"""The checks of `cardhour verify`: each a statement that returns what breaks an invariant, and how much it read.

They use nothing of the code that writes: what must always be true (the domain's list) is recomputed from rows.
"""

from dataclasses import dataclass
from typing import Final

LIVE: Final = "('held', 'confirmed', 'active', 'completed')"


@dataclass(frozen=True, slots=True)
class Check:
    """One invariant: `broken` selects a line of text per violation, `counted` how many rows were looked at."""

    name: str
    promise: str
    counted: str
    broken: str


CHECKS: Final = (
    Check(
        "capacity",
        "at every hour, live reservations of an offer are within its capacity",
        f"SELECT count(*) FROM reservation WHERE state IN {LIVE}",
        f"""
        WITH change AS (
            SELECT offer_id, starts_at AS at, cards FROM reservation WHERE state IN {LIVE}
            UNION ALL SELECT offer_id, ends_at, -cards FROM reservation WHERE state IN {LIVE}
            UNION ALL SELECT offer_id, starts_at,
                -(cards - lag(cards, 1, 0::bigint) OVER (PARTITION BY offer_id ORDER BY starts_at)) FROM capacity_step
        ),
        net AS (SELECT offer_id, at, sum(cards) AS cards FROM change GROUP BY offer_id, at),
        used AS (SELECT offer_id, at, sum(cards) OVER (PARTITION BY offer_id ORDER BY at) AS over_by FROM net)
        SELECT format('offer %s is oversold by %s cards from %s', offer_id, over_by, at) FROM used WHERE over_by > 0
        """,
    ),
    Check(
        "capacity_ends",
        "an offer's capacity ends at 0 cards",
        "SELECT count(*) FROM capacity_step",
        """
        SELECT format('offer %s never ends', offer_id) FROM (
            SELECT DISTINCT ON (offer_id) offer_id, cards FROM capacity_step ORDER BY offer_id, starts_at DESC
        ) AS final WHERE cards <> 0
        """,
    ),
    Check(
        "one_live_per_block",
        "a block of a request has at most one live reservation, and is one of its blocks",
        f"SELECT count(*) FROM reservation WHERE state IN {LIVE}",
        f"""
        SELECT format('block %s of request %s has %s live reservations', block, request_id, count(*))
        FROM reservation WHERE state IN {LIVE} GROUP BY request_id, block HAVING count(*) > 1
        UNION ALL
        SELECT format('reservation %s is for block %s of %s', v.id, v.block, r.blocks)
        FROM reservation v JOIN request r ON r.id = v.request_id WHERE v.block >= r.blocks
        """,
    ),
    Check(
        "min_blocks",
        "of a request at least min_blocks blocks are reserved, or none",
        "SELECT count(*) FROM request",
        f"""
        SELECT format('request %s holds %s of at least %s blocks', r.id, count(*), r.min_blocks)
        FROM request r JOIN reservation v ON v.request_id = r.id AND v.state IN {LIVE}
        GROUP BY r.id, r.min_blocks
        HAVING count(*) < r.min_blocks AND bool_and(v.state IN ('held', 'confirmed'))
        """,
    ),
    Check(
        "request_state",
        "a request's state is what its live reservations make it",
        "SELECT count(*) FROM request",
        f"""
        WITH live AS (
            SELECT request_id, count(*) AS blocks FROM reservation WHERE state IN {LIVE} GROUP BY request_id
        ),
        due AS (
            SELECT r.id, r.state, CASE WHEN coalesce(l.blocks, 0) = 0 THEN 'open' WHEN l.blocks < r.blocks
                THEN 'partly_matched' ELSE 'matched' END AS wanted, coalesce(l.blocks, 0) AS blocks
            FROM request r LEFT JOIN live l ON l.request_id = r.id
        )
        SELECT format('request %s is %s with %s live blocks', id, state, blocks) FROM due
        WHERE (state IN ('open', 'partly_matched', 'matched') AND state <> wanted)
            OR (state = 'withdrawn' AND blocks > 0)
        """,
    ),
    Check(
        "amounts",
        "a reservation costs price × cards × hours, and its net price is that less the subsidy",
        "SELECT count(*) FROM reservation",
        """
        SELECT format('reservation %s costs %s fen, net %s', id, cost_fen, net_fen) FROM reservation
        WHERE cost_fen <> price_fen * cards * (extract(epoch FROM ends_at - starts_at) / 3600)::bigint
            OR net_fen <> cost_fen - subsidy_fen
        """,
    ),
    Check(
        "parties",
        "a reservation's supplier is its offer's, its buyer its request's",
        "SELECT count(*) FROM reservation",
        """
        SELECT format('reservation %s names other parties', v.id)
        FROM reservation v LEFT JOIN offer o ON o.id = v.offer_id LEFT JOIN request r ON r.id = v.request_id
        WHERE o.supplier_org_id IS DISTINCT FROM v.supplier_org_id OR r.buyer_org_id IS DISTINCT FROM v.buyer_org_id
        """,
    ),
    Check(
        "journal",
        "the journal, folded in the order of the offers' books, gives the reservations as they stand",
        "SELECT count(*) FROM reservation_journal",
        """
        WITH last AS (
            SELECT DISTINCT ON (reservation_id) * FROM reservation_journal ORDER BY reservation_id, seq DESC
        )
        SELECT format('reservation %s is not as its journal says', coalesce(v.id, j.reservation_id))
        FROM reservation v FULL JOIN last j ON j.reservation_id = v.id
        WHERE (v.offer_id, v.cards, v.starts_at, v.ends_at, v.state)
            IS DISTINCT FROM (j.offer_id, j.cards, j.starts_at, j.ends_at, j.state)
        UNION ALL
        SELECT format('the book of offer %s is at %s, its journal at %s', b.offer_id, b.seq, max(j.seq))
        FROM offer_book b JOIN reservation_journal j USING (offer_id)
        GROUP BY b.offer_id, b.seq HAVING max(j.seq) > b.seq
        UNION ALL
        SELECT format('offer %s has no book', o.id) FROM offer o LEFT JOIN offer_book b ON b.offer_id = o.id
        WHERE b.offer_id IS NULL
        """,
    ),
    Check(
        "guard",
        "the capacity guard is in place and enabled",
        "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal",
        """
        WITH wanted (relation, name) AS (VALUES
            ('offer', 'open_book'), ('reservation', 'guard_insert'), ('reservation', 'guard_update'),
            ('reservation', 'guard_delete'), ('capacity_step', 'guard_insert'), ('capacity_step', 'guard_update'),
            ('capacity_step', 'guard_delete'), ('capacity_step', 'guard_truncate'),
            ('capacity_step', 'guard_ends'),
            ('reservation_journal', 'append_only'), ('offer_book', 'never_removed'))
        SELECT format('trigger %s on %s is missing or disabled', w.name, w.relation) FROM wanted w
        LEFT JOIN pg_trigger t ON t.tgname = w.name AND t.tgrelid = to_regclass('public.' || w.relation)
        WHERE t.tgenabled IS DISTINCT FROM 'O'
        UNION ALL
        SELECT format('function %s is not the guard''s own', p.proname) FROM pg_proc p
        JOIN pg_roles owner ON owner.oid = p.proowner
        WHERE p.pronamespace = 'public'::regnamespace AND (p.proname LIKE 'guard_%' OR p.proname = 'offer_usage')
            AND (owner.rolname <> 'cardhour_guard' OR NOT p.prosecdef)
        """,
    ),
    Check(
        "row_level_security",
        "row-level security is forced on every table, and no role of the service can get around it",
        "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
        """
        SELECT format('table %s has no forced row-level security', relname) FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
            AND NOT (relrowsecurity AND relforcerowsecurity)
        UNION ALL
        SELECT format('role %s is too mighty', rolname) FROM pg_roles
        WHERE rolname IN ('cardhour_app', 'cardhour_worker', 'cardhour_auditor', 'cardhour_owner')
            AND (rolsuper OR rolbypassrls OR rolcreaterole)
        UNION ALL
        SELECT format('table %s belongs to %s', c.relname, r.rolname)
        FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'alembic_version'
            AND r.rolname <> 'cardhour_owner'
        """,
    ),
    Check(
        "constraints",
        "every constraint of the schema is validated",
        "SELECT count(*) FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
        """
        SELECT format('constraint %s is not validated', conname) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND NOT convalidated
        """,
    ),
)
