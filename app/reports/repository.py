"""SQL of reports: figures from the ledger's transfers and the rows they are about. Run as one who reads all.

A report takes several statements; its transaction is REPEATABLE READ, so all of them see one instant.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import ARRAY, Integer, String, TextClause, bindparam, text

from app.kit.db import ReadSession

# A row of `programme` for each version that vouchers are under, with the zone whose days count.
_VOUCHERS: Final = """
    programme AS (
        SELECT * FROM unnest(:programmes, :versions, :zones) AS p (programme_id, programme_version, zone)
    ),
    v AS (
        SELECT v.id, v.account_id, v.subject_id, v.programme_id, v.year, v.state,
            CASE WHEN :by_programme THEN v.programme_id END AS programme,
            CASE WHEN :by_year THEN v.year END AS budget_year,
            CASE WHEN :by_buyer_kind THEN coalesce((
                SELECT f.value ->> 'value' FROM organisation_fact f
                WHERE f.org_id = v.buyer_org_id AND f.key = 'kind' AND f.verified_at IS NOT NULL
                    AND f.valid_from <= (coalesce(c.signed_at, v.created_at) AT TIME ZONE p.zone)::date
                ORDER BY f.valid_from DESC LIMIT 1
            ), 'unknown') END AS buyer_kind,
            CASE WHEN :by_chip_origin THEN CASE coalesce(c.domestic, m.domestic)
                WHEN true THEN 'domestic' WHEN false THEN 'foreign' ELSE 'unknown' END END AS chip_origin,
            c.id AS contract_id
        FROM voucher v JOIN programme p USING (programme_id, programme_version)
        LEFT JOIN contract c ON c.reservation_id = v.subject_id
        LEFT JOIN reservation r ON r.id = v.subject_id
        LEFT JOIN offer o ON o.id = r.offer_id
        LEFT JOIN chip_model m ON m.name = o.chip_model
        WHERE (:any_year OR v.year = :year) AND (:all_programmes OR v.programme_id = ANY (:wanted))
    ),
    leg AS (
        SELECT v.id, t.kind, t.amount_fen AS fen, other.kind AS account FROM v
        JOIN ledger_transfer t ON t.credit_id = v.account_id JOIN ledger_account other ON other.id = t.debit_id
        UNION ALL
        SELECT v.id, t.kind, -t.amount_fen, other.kind FROM v
        JOIN ledger_transfer t ON t.debit_id = v.account_id JOIN ledger_account other ON other.id = t.credit_id
    ),
    moved AS (
        SELECT id,
            coalesce(sum(fen) FILTER (WHERE kind = 'post' AND account = 'pool'), 0)::bigint AS issued,
            coalesce(-sum(fen) FILTER (WHERE kind = 'single' AND account = 'pool'), 0)::bigint AS returned,
            coalesce(-sum(fen) FILTER (WHERE kind = 'single' AND account = 'claimable'), 0)::bigint AS redeemed
        FROM leg GROUP BY id
    ),
    clawed AS (
        SELECT t.subject AS id, sum(t.amount_fen)::bigint AS fen
        FROM ledger_account d JOIN ledger_transfer t ON t.debit_id = d.id
        JOIN ledger_account c ON c.id = t.credit_id AND c.kind = 'pool'
        WHERE d.kind = 'clawback' GROUP BY t.subject
    )
"""
# What claims hold and were paid: a pending transfer to a programme's paid account for each line, posted at payment.
_CLAIMS: Final = """
    claim_leg AS (
        SELECT l.voucher_id, CASE WHEN done.id IS NULL THEN p.amount_fen ELSE 0 END AS claimed,
            coalesce(done.amount_fen, 0) AS paid
        FROM claim_line l JOIN ledger_transfer p ON p.id = l.transfer_id
        LEFT JOIN ledger_transfer done ON done.pending_id = p.id
    )
"""
_BURN_DOWN: Final = text(
    """
    SELECT (t.created_at AT TIME ZONE :zone)::date AS day,
        sum(CASE WHEN t.credit_id = pool.id AND source.kind = 'treasury' THEN t.amount_fen ELSE 0 END)::bigint
            AS filled,
        sum(CASE WHEN t.debit_id = pool.id AND t.kind IN ('post', 'single') THEN t.amount_fen
            WHEN t.credit_id = pool.id AND source.kind <> 'treasury' THEN -t.amount_fen ELSE 0 END)::bigint AS issued,
        sum(CASE WHEN t.debit_id <> pool.id THEN 0 WHEN t.kind = 'pending' THEN t.amount_fen
            ELSE -coalesce(p.amount_fen, 0) END)::bigint AS earmarked
    FROM ledger_account pool
    JOIN ledger_transfer t ON pool.id IN (t.debit_id, t.credit_id)
    JOIN ledger_account source ON source.id = t.debit_id
    LEFT JOIN ledger_transfer p ON p.id = t.pending_id
    WHERE pool.name = :pool AND t.created_at > :after
    GROUP BY 1 ORDER BY 1
    """
)
_REDEEMED: Final = text(
    """
    WITH flow AS (
        SELECT t.created_at, t.debit_id AS account_id, t.amount_fen AS fen
        FROM ledger_transfer t JOIN ledger_account other ON other.id = t.credit_id AND other.kind = 'claimable'
        WHERE t.kind = 'single'
        UNION ALL
        SELECT t.created_at, t.credit_id, -t.amount_fen
        FROM ledger_transfer t JOIN ledger_account other ON other.id = t.debit_id AND other.kind = 'claimable'
        WHERE t.kind = 'single'
    )
    SELECT (flow.created_at AT TIME ZONE :zone)::date AS day, sum(flow.fen)::bigint AS redeemed
    FROM voucher v JOIN flow USING (account_id)
    WHERE v.programme_id = :programme AND v.year = :year
    GROUP BY 1 ORDER BY 1
    """
)
_TOTALS: Final = f"""
    WITH {_VOUCHERS}, {_CLAIMS},
    part AS (
        SELECT v.programme, v.budget_year, v.buyer_kind, v.chip_origin, 1 AS vouchers,
            CASE WHEN v.state = 'earmarked' THEN a.credits_pending ELSE 0 END AS earmarked,
            coalesce(m.issued, 0) AS issued, coalesce(m.returned, 0) AS returned, coalesce(m.redeemed, 0) AS redeemed,
            coalesce(clawed.fen, 0) AS clawed_back,
            a.credits_posted - a.debits_posted - a.debits_pending AS left_fen, 0 AS claimed, 0 AS paid
        FROM v JOIN ledger_account a ON a.id = v.account_id LEFT JOIN moved m ON m.id = v.id
        LEFT JOIN clawed ON clawed.id = v.id
        UNION ALL
        SELECT v.programme, v.budget_year, v.buyer_kind, v.chip_origin, 0, 0, 0, 0, 0, 0, 0, l.claimed, l.paid
        FROM claim_leg l JOIN v ON v.id = l.voucher_id
    )
    SELECT programme, budget_year AS year, buyer_kind, chip_origin, sum(vouchers) AS vouchers,
        sum(earmarked)::bigint AS earmarked_fen, sum(issued)::bigint AS issued_fen,
        sum(returned)::bigint AS returned_fen, sum(redeemed)::bigint AS redeemed_fen,
        sum(clawed_back)::bigint AS clawed_back_fen, sum(left_fen)::bigint AS left_fen,
        sum(claimed)::bigint AS claimed_fen, sum(paid)::bigint AS paid_fen
    FROM part GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    """  # noqa: S608  only parameters come from outside
# A contract of several vouchers of one group counts once in it, and once in the group of each.
_EFFECT: Final = f"""
    WITH {_VOUCHERS},
    contracts AS (
        SELECT v.programme, v.budget_year, v.buyer_kind, v.chip_origin, v.contract_id,
            sum(m.redeemed)::bigint AS redeemed
        FROM v JOIN moved m ON m.id = v.id WHERE v.contract_id IS NOT NULL AND m.redeemed > 0
        GROUP BY 1, 2, 3, 4, 5
    ),
    billed AS (
        SELECT contract_id, sum(amount_fen)::bigint AS fen,
            (array_agg(card_seconds_total ORDER BY number DESC))[1] AS card_seconds
        FROM settlement WHERE payment_state <> 'void' GROUP BY contract_id
    )
    SELECT programme, budget_year AS year, buyer_kind, chip_origin, count(*) AS contracts,
        sum(billed.card_seconds)::bigint AS card_seconds, sum(billed.fen)::bigint AS settled_fen,
        sum(redeemed)::bigint AS redeemed_fen
    FROM contracts JOIN billed USING (contract_id) GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    """  # noqa: S608  only parameters come from outside


def _grouped(sql: str) -> TextClause:
    return text(sql).bindparams(
        bindparam("programmes", type_=ARRAY(String())),
        bindparam("versions", type_=ARRAY(Integer())),
        bindparam("zones", type_=ARRAY(String())),
        bindparam("wanted", type_=ARRAY(String())),
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a report is of: programmes (all where none is named), a year (all where None), and how it is grouped."""

    programmes: frozenset[str]
    year: int | None
    by: frozenset[str]

    @property
    def parameters(self) -> dict[str, Any]:
        """The statement's."""
        groups = {f"by_{name}": name in self.by for name in ("programme", "year", "buyer_kind", "chip_origin")}
        return groups | {
            "any_year": self.year is None,
            "year": self.year or 0,
            "all_programmes": not self.programmes,
            "wanted": sorted(self.programmes),
        }


async def instant(session: ReadSession) -> datetime:
    """Return the ledger's present: its transfers carry the database's time."""
    return (await session.scalars(text("SELECT clock_timestamp()"))).one()


async def opened_at(session: ReadSession, pool: str) -> datetime:
    """Return when a pool's account was opened."""
    return (
        await session.scalars(text("SELECT created_at FROM ledger_account WHERE name = :pool"), {"pool": pool})
    ).one()


async def pool_days(session: ReadSession, pool: str, zone: str, after: datetime) -> list[dict[str, Any]]:
    """Return what changed of a pool after a moment, by day of a zone: `filled`, `issued`, `earmarked`, in fen."""
    return [
        dict(row)
        for row in (await session.execute(_BURN_DOWN, {"pool": pool, "zone": zone, "after": after})).mappings()
    ]


async def redeemed_days(session: ReadSession, programme: str, year: int, zone: str) -> dict[date, int]:
    """Return what vouchers of a year's budgets redeemed, less what was given back, by day of a zone, in fen."""
    rows = await session.execute(_REDEEMED, {"programme": programme, "year": year, "zone": zone})
    return {row.day: row.redeemed for row in rows}


async def totals(session: ReadSession, wanted: Wanted, zones: Collection[tuple[str, int, str]]) -> list[dict[str, Any]]:
    """Return sums in fen by group; a field that is not grouped by is None.

    Args:
        session: REPEATABLE READ, as one who reads all.
        wanted: what of, and by what.
        zones: every stored programme version as (id, version, time zone).
    """
    return [
        dict(row) for row in (await session.execute(_grouped(_TOTALS), wanted.parameters | _zones(zones))).mappings()
    ]


async def effect(session: ReadSession, wanted: Wanted, zones: Collection[tuple[str, int, str]]) -> list[dict[str, Any]]:
    """Return what redeemed vouchers enabled by group: contracts, settled card-seconds, fen settled and redeemed."""
    return [
        dict(row) for row in (await session.execute(_grouped(_EFFECT), wanted.parameters | _zones(zones))).mappings()
    ]


def _zones(zones: Collection[tuple[str, int, str]]) -> dict[str, Any]:
    return {
        "programmes": [programme for programme, _, _ in zones],
        "versions": [version for _, version, _ in zones],
        "zones": [zone for _, _, zone in zones],
    }
