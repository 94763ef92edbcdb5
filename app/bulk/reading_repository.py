"""SQL that reads a market out of the database, as the same rows that files are read into."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Final
from uuid import UUID

from sqlalchemy import String, TextClause, Uuid, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.accounts.models import Organisation, OrganisationFact, OrganisationRole, Role
from app.bulk.plan import KnownOffer, KnownOrganisation, KnownRequest
from app.bulk.rows import AlternativeRow, ChipRow, OfferRow, OrganisationRow, RequestRow
from app.catalog.models import ChipModel
from app.catalog.repository import load_usage
from app.kit.db import ReadSession, WriteSession
from app.kit.time import EARLIEST, LATEST

Keys = Collection[tuple[str, str]]


def _keyed(sql: str) -> TextClause:
    return text(sql).bindparams(bindparam("owners", type_=ARRAY(String())), bindparam("refs", type_=ARRAY(String())))


def _scoped(sql: str) -> TextClause:
    return text(sql).bindparams(bindparam("owner", type_=Uuid()))


_OFFER: Final = """
    SELECT o.id, o.state, o.ref, r.ref AS supplier, o.region, o.chip_model, o.cards_per_node, o.interconnect_gbps,
        o.price_fen, o.list_price_fen, o.price_unit, o.posted_fen_per_instance_month, o.listed_fen_per_instance_month,
        o.auto_accept, s.starts, s.cards
    FROM offer o JOIN organisation_role r ON r.org_id = o.supplier_org_id AND r.role = 'supplier'
    CROSS JOIN LATERAL (SELECT array_agg(c.starts_at ORDER BY c.starts_at) AS starts,
        array_agg(c.cards ORDER BY c.starts_at) AS cards FROM capacity_step c WHERE c.offer_id = o.id) s
"""
_REQUEST: Final = """
    SELECT q.id, q.state,
        EXISTS (SELECT FROM reservation v WHERE v.request_id = q.id
            AND v.state IN ('held', 'confirmed', 'active', 'completed')) AS is_live,
        q.ref, r.ref AS buyer, q.submitted_at, q.earliest_start, q.deadline, q.priority, q.blocks, q.min_blocks,
        q.regions, q.suppliers_allowed, q.suppliers_refused, q.min_interconnect_gbps, q.min_cards_per_node, q.domestic,
        a.chips, a.cards, a.hours, a.prices, a.memories, a.speeds
    FROM request q JOIN organisation_role r ON r.org_id = q.buyer_org_id AND r.role = 'buyer'
    CROSS JOIN LATERAL (SELECT array_agg(a.chips ORDER BY a.position) AS chips,
        array_agg(a.cards ORDER BY a.position) AS cards, array_agg(a.hours ORDER BY a.position) AS hours,
        array_agg(a.max_net_price_fen ORDER BY a.position) AS prices,
        array_agg(a.min_memory_gb ORDER BY a.position) AS memories,
        array_agg(a.min_fp16_tflops ORDER BY a.position) AS speeds
        FROM request_alternative a WHERE a.request_id = q.id) a
"""
_NAMED: Final = "JOIN unnest(:owners, :refs) AS k (owner, ref) ON k.owner = r.ref AND k.ref = {0}.ref ORDER BY {0}.id"
_OWNED: Final = "WHERE (CAST(:owner AS uuid) IS NULL OR {0}.{1} = :owner) AND {0}.state <> 'withdrawn' ORDER BY {0}.id"
_OFFERS_NAMED: Final = _keyed(_OFFER + _NAMED.format("o"))
_OFFERS_OWNED: Final = _scoped(_OFFER + _OWNED.format("o", "supplier_org_id"))
_REQUESTS_NAMED: Final = _keyed(_REQUEST + _NAMED.format("q"))
_REQUESTS_OWNED: Final = _scoped(_REQUEST + _OWNED.format("q", "buyer_org_id"))
_LOCK: Final = """
    SELECT {0}.id FROM {1} {0} JOIN organisation_role r ON r.org_id = {0}.{2} AND r.role = '{3}'
    JOIN unnest(:owners, :refs) AS k (owner, ref) ON k.owner = r.ref AND k.ref = {0}.ref
    ORDER BY {0}.id FOR UPDATE OF {0}
"""
_LOCK_OFFERS: Final = _keyed(_LOCK.format("o", "offer", "supplier_org_id", "supplier"))
_LOCK_REQUESTS: Final = _keyed(_LOCK.format("q", "request", "buyer_org_id", "buyer"))
_LARGEST: Final = text(
    "SELECT COALESCE(max(c.cards), 0) FROM capacity_step c JOIN offer o ON o.id = c.offer_id WHERE o.state = 'open'"
)


def _split(keys: Keys) -> dict[str, list[str]]:
    return {"owners": [owner for owner, _ in keys], "refs": [ref for _, ref in keys]}


async def find_chips(session: ReadSession) -> list[ChipRow]:
    """Return the catalogue, by name."""
    columns = (
        ChipModel.name,
        ChipModel.vendor,
        ChipModel.fp16_tflops,
        ChipModel.memory_gb,
        ChipModel.domestic,
        ChipModel.chip_class,
        ChipModel.source,
    )
    rows = await session.execute(select(*columns).order_by(ChipModel.name))
    return [
        ChipRow(
            name=row.name,
            vendor=row.vendor,
            fp16_tflops=_trimmed(row.fp16_tflops),
            memory_gb=_trimmed(row.memory_gb),
            domestic=row.domestic,
            chip_class=row.chip_class,
            source=row.source,
        )
        for row in rows
    ]


def _trimmed(value: Any) -> Any:
    """PostgreSQL pads numeric(12, 3) with zeros; nobody wrote them."""
    if value is None:
        return None
    return value.quantize(1) if value == value.to_integral_value() else value.normalize()


async def find_organisations(
    session: ReadSession, role: Role, *, refs: Collection[str] | None = None, org_id: UUID | None = None
) -> list[KnownOrganisation]:
    """Return organisations under a role with their latest verified facts, in the order of registration.

    Args:
        session: an open transaction.
        role: buyers or suppliers.
        refs: only these references.
        org_id: only this one.
    """
    statement = (
        select(Organisation.id, Organisation.name, Organisation.contact, Organisation.state, OrganisationRole.ref)
        .join(OrganisationRole, OrganisationRole.org_id == Organisation.id)
        .where(OrganisationRole.role == role.value)
        .order_by(Organisation.id)
    )
    if refs is not None:
        # One array instead of as many parameters as there are references.
        named = bindparam("named", list(refs), type_=ARRAY(String()))
        statement = statement.where(OrganisationRole.ref == named.any_())
    if org_id is not None:
        statement = statement.where(Organisation.id == org_id)
    rows = (await session.execute(statement)).all()
    facts, last = await _facts(session, [row.id for row in rows])
    return [
        KnownOrganisation(
            id=row.id,
            row=OrganisationRow(row.ref, facts[row.id], name=row.name, contact=row.contact),
            state=row.state,
            last=last[row.id],
        )
        for row in rows
    ]


async def _facts(
    session: ReadSession, org_ids: list[UUID]
) -> tuple[dict[UUID, dict[str, str | int | bool]], dict[UUID, dict[str, date]]]:
    ids = bindparam("ids", org_ids, type_=ARRAY(Uuid()))
    rows = await session.execute(
        select(
            OrganisationFact.org_id,
            OrganisationFact.key,
            OrganisationFact.value,
            OrganisationFact.valid_from,
            OrganisationFact.verified_at,
        )
        .where(OrganisationFact.org_id == ids.any_())
        .order_by(OrganisationFact.valid_from)
    )
    facts: dict[UUID, dict[str, str | int | bool]] = defaultdict(dict)
    last: dict[UUID, dict[str, date]] = defaultdict(dict)
    for org_id, key, value, valid_from, verified_at in rows:
        last[org_id][key] = valid_from
        if verified_at is not None:
            facts[org_id][key] = value["value"]
    return facts, last


def _offer(row: Any) -> KnownOffer:
    return KnownOffer(
        id=row.id,
        state=row.state,
        row=OfferRow(
            ref=row.ref,
            supplier=row.supplier,
            region=row.region,
            chip_model=row.chip_model,
            cards_per_node=row.cards_per_node,
            interconnect_gbps=row.interconnect_gbps,
            price_fen=row.price_fen,
            list_price_fen=row.list_price_fen,
            steps=tuple(zip(row.starts or (), row.cards or (), strict=True)),
            price_unit=row.price_unit,
            posted_fen_per_instance_month=row.posted_fen_per_instance_month,
            listed_fen_per_instance_month=row.listed_fen_per_instance_month,
            auto_accept=row.auto_accept,
        ),
    )


def _request(row: Any) -> KnownRequest:
    alternatives = zip(row.chips, row.cards, row.hours, row.prices, row.memories, row.speeds, strict=True)
    return KnownRequest(
        id=row.id,
        state=row.state,
        has_live_reservations=row.is_live,
        row=RequestRow(
            ref=row.ref,
            buyer=row.buyer,
            submitted_at=row.submitted_at,
            earliest_start=row.earliest_start,
            deadline=row.deadline,
            alternatives=tuple(
                AlternativeRow(chips, cards, hours, price, _trimmed(memory), _trimmed(speed))
                for chips, cards, hours, price, memory, speed in alternatives
            ),
            priority=row.priority,
            blocks=row.blocks,
            min_blocks=row.min_blocks,
            regions=tuple(row.regions),
            suppliers_allowed=tuple(row.suppliers_allowed),
            suppliers_refused=tuple(row.suppliers_refused),
            min_interconnect_gbps=row.min_interconnect_gbps,
            min_cards_per_node=row.min_cards_per_node,
            domestic=row.domestic,
        ),
    )


# Many thousands of rows are made in a thread, so that the event loop serves others meanwhile.
def _offers_of(rows: Sequence[Any]) -> list[KnownOffer]:
    return [_offer(row) for row in rows]


def _requests_of(rows: Sequence[Any]) -> list[KnownRequest]:
    return [_request(row) for row in rows]


async def lock_market(session: WriteSession, offers: Keys, requests: Keys) -> None:
    """Keep others from reserving on, or changing, the requests and offers named, in the order of the lock rules."""
    await session.execute(_LOCK_REQUESTS, _split(requests))
    await session.execute(_LOCK_OFFERS, _split(offers))


async def find_named_offers(session: ReadSession, keys: Keys, *, with_usage: bool) -> list[KnownOffer]:
    """Return the offers of these (supplier, reference), with what is reserved on them if asked."""
    rows = (await session.execute(_OFFERS_NAMED, _split(keys))).all()
    found = await asyncio.to_thread(_offers_of, rows)
    if not with_usage:
        return found
    usage = await load_usage(session, [offer.id for offer in found], EARLIEST, LATEST)
    return [replace(offer, usage=tuple(usage[offer.id])) for offer in found]


async def find_offers(session: ReadSession, supplier_id: UUID | None) -> list[OfferRow]:
    """Return the offers that are not withdrawn, of one supplier or of all, in the order in which they came."""
    rows = (await session.execute(_OFFERS_OWNED, {"owner": supplier_id})).all()
    return [offer.row for offer in await asyncio.to_thread(_offers_of, rows)]


async def find_named_requests(session: ReadSession, keys: Keys) -> list[KnownRequest]:
    """Return the requests of these (buyer, reference)."""
    rows = (await session.execute(_REQUESTS_NAMED, _split(keys))).all()
    return await asyncio.to_thread(_requests_of, rows)


async def find_requests(session: ReadSession, buyer_id: UUID | None) -> list[RequestRow]:
    """Return the requests that are not withdrawn, of one buyer or of all, in the order in which they came."""
    rows = (await session.execute(_REQUESTS_OWNED, {"owner": buyer_id})).all()
    return [request.row for request in await asyncio.to_thread(_requests_of, rows)]


async def largest_gang(session: ReadSession) -> int:
    """Return the most cards that an open offer ever has."""
    return int(await session.scalar(_LARGEST) or 0)
