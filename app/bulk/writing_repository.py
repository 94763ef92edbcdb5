"""SQL that writes a market: one statement per table and some thousand rows, from arrays.

Not COPY, which PostgreSQL refuses on tables with row-level security; and never row by row, since the capacity guard
looks at every statement.
"""

import json
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Numeric,
    SmallInteger,
    String,
    TextClause,
    Uuid,
    bindparam,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

from app.bulk.rows import ChipRow, OfferRow, RequestRow
from app.kit.db import WriteSession
from app.kit.ids import new_id

CHUNK: Final = 5_000
_TEXT, _WHOLE, _TIME, _ID = String(), BigInteger(), DateTime(timezone=True), Uuid()


def _arrays(sql: str, **types: TypeEngine[Any]) -> TextClause:
    return text(sql).bindparams(*(bindparam(name, type_=ARRAY(kind)) for name, kind in types.items()))


_CHIP_COLUMNS: Final[dict[str, TypeEngine[Any]]] = {
    "name": _TEXT,
    "vendor": _TEXT,
    "fp16_tflops": Numeric(),
    "memory_gb": Numeric(),
    "domestic": Boolean(),
    "chip_class": _TEXT,
    "source": _TEXT,
}
_INSERT_CHIPS: Final = _arrays(
    """
    INSERT INTO chip_model (name, vendor, fp16_tflops, memory_gb, domestic, chip_class, source, version)
    SELECT *, 1 FROM unnest(:name, :vendor, :fp16_tflops, :memory_gb, :domestic, :chip_class, :source)
    """,
    **_CHIP_COLUMNS,
)
_UPDATE_CHIPS: Final = _arrays(
    """
    UPDATE chip_model m SET vendor = n.vendor, fp16_tflops = n.fp16_tflops, memory_gb = n.memory_gb,
        domestic = n.domestic, chip_class = n.chip_class, source = n.source, version = m.version + 1
    FROM unnest(:name, :vendor, :fp16_tflops, :memory_gb, :domestic, :chip_class, :source)
        AS n (name, vendor, fp16_tflops, memory_gb, domestic, chip_class, source)
    WHERE m.name = n.name
    """,
    **_CHIP_COLUMNS,
)
_INSERT_ORGANISATIONS: Final = _arrays(
    """
    INSERT INTO organisation (id, name, contact, state, version, decided_at)
    SELECT id, name, contact, 'approved', 1, :now FROM unnest(:id, :name, :contact) AS n (id, name, contact)
    """,
    id=_ID,
    name=_TEXT,
    contact=_TEXT,
).bindparams(bindparam("now", type_=_TIME))
_INSERT_ROLES: Final = _arrays(
    "INSERT INTO organisation_role (org_id, role, ref) SELECT id, :role, ref FROM unnest(:id, :ref) AS n (id, ref)",
    id=_ID,
    ref=_TEXT,
).bindparams(bindparam("role", type_=_TEXT))
_UPDATE_ORGANISATIONS: Final = _arrays(
    """
    UPDATE organisation o SET name = COALESCE(n.name, o.name), contact = COALESCE(n.contact, o.contact),
        version = o.version + 1
    FROM unnest(:id, :name, :contact) AS n (id, name, contact) WHERE o.id = n.id
    """,
    id=_ID,
    name=_TEXT,
    contact=_TEXT,
)
_INSERT_FACTS: Final = _arrays(
    """
    INSERT INTO organisation_fact (id, org_id, key, value, valid_from, evidence, verified_by, verified_at)
    SELECT id, org_id, key, jsonb_build_object('value', CAST(value AS jsonb)), valid_from, 'market import', :desk, :now
    FROM unnest(:id, :org_id, :key, :value, :valid_from) AS n (id, org_id, key, value, valid_from)
    """,
    id=_ID,
    org_id=_ID,
    key=_TEXT,
    value=_TEXT,
    valid_from=Date(),
).bindparams(bindparam("desk", type_=_ID), bindparam("now", type_=_TIME))
_OFFER_COLUMNS: Final[dict[str, TypeEngine[Any]]] = {
    "id": _ID,
    "supplier_org_id": _ID,
    "ref": _TEXT,
    "region": _TEXT,
    "chip_model": _TEXT,
    "cards_per_node": _WHOLE,
    "interconnect_gbps": _WHOLE,
    "price_fen": _WHOLE,
    "list_price_fen": _WHOLE,
    "price_unit": _TEXT,
    "posted": _WHOLE,
    "listed": _WHOLE,
    "auto_accept": Boolean(),
}
_OFFER_ARRAYS: Final = (
    "unnest(:id, :supplier_org_id, :ref, :region, :chip_model, :cards_per_node, :interconnect_gbps, :price_fen,"
    " :list_price_fen, :price_unit, :posted, :listed, :auto_accept)"
)
_INSERT_OFFERS: Final = _arrays(
    f"""
    INSERT INTO offer (id, supplier_org_id, ref, region, chip_model, cards_per_node, interconnect_gbps, price_fen,
        list_price_fen, price_unit, posted_fen_per_instance_month, listed_fen_per_instance_month, auto_accept, state,
        version, observed_at)
    SELECT *, 'open', 1, CAST(:now AS timestamptz) FROM {_OFFER_ARRAYS}
    """,  # noqa: S608  two constants of this module
    **_OFFER_COLUMNS,
).bindparams(bindparam("now", type_=_TIME))
_UPDATE_OFFERS: Final = _arrays(
    f"""
    UPDATE offer o SET region = n.region, chip_model = n.chip_model, cards_per_node = n.cards_per_node,
        interconnect_gbps = n.interconnect_gbps, price_fen = n.price_fen, list_price_fen = n.list_price_fen,
        price_unit = n.price_unit, posted_fen_per_instance_month = n.posted, listed_fen_per_instance_month = n.listed,
        auto_accept = n.auto_accept, version = o.version + 1, observed_at = :now
    FROM {_OFFER_ARRAYS} AS n (id, supplier_org_id, ref, region, chip_model, cards_per_node, interconnect_gbps,
        price_fen, list_price_fen, price_unit, posted, listed, auto_accept)
    WHERE o.id = n.id
    """,  # noqa: S608
    **_OFFER_COLUMNS,
).bindparams(bindparam("now", type_=_TIME))
# One statement, since the guard looks at the state after each and half an edit may be below commitments.
_SET_CAPACITY: Final = _arrays(
    """
    WITH wanted AS (SELECT * FROM unnest(:offer_id, :starts_at, :cards) AS w (offer_id, starts_at, cards)),
    gone AS (
        DELETE FROM capacity_step c WHERE c.offer_id = ANY (:offer_id) AND NOT EXISTS (
            SELECT FROM wanted w WHERE w.offer_id = c.offer_id AND w.starts_at = c.starts_at)
    )
    INSERT INTO capacity_step (offer_id, starts_at, cards) SELECT offer_id, starts_at, cards FROM wanted
    ON CONFLICT (offer_id, starts_at) DO UPDATE SET cards = excluded.cards WHERE capacity_step.cards <> excluded.cards
    """,
    offer_id=_ID,
    starts_at=_TIME,
    cards=_WHOLE,
)
_INSERT_CAPACITY: Final = _arrays(
    "INSERT INTO capacity_step (offer_id, starts_at, cards) SELECT * FROM unnest(:offer_id, :starts_at, :cards)",
    offer_id=_ID,
    starts_at=_TIME,
    cards=_WHOLE,
)
_REQUEST_COLUMNS: Final[dict[str, TypeEngine[Any]]] = {
    "id": _ID,
    "buyer_org_id": _ID,
    "ref": _TEXT,
    "submitted_at": _TIME,
    "earliest_start": _TIME,
    "deadline": _TIME,
    "blocks": _WHOLE,
    "min_blocks": _WHOLE,
    "priority": _WHOLE,
    "regions": _TEXT,
    "allowed": _TEXT,
    "refused": _TEXT,
    "min_interconnect_gbps": _WHOLE,
    "min_cards_per_node": _WHOLE,
    "domestic": Boolean(),
}
_REQUEST_ARRAYS: Final = (
    "unnest(:id, :buyer_org_id, :ref, :submitted_at, :earliest_start, :deadline, :blocks, :min_blocks, :priority,"
    " :regions, :allowed, :refused, :min_interconnect_gbps, :min_cards_per_node, :domestic)"
    " AS n (id, buyer_org_id, ref,"
    " submitted_at, earliest_start, deadline, blocks, min_blocks, priority, regions, allowed, refused,"
    " min_interconnect_gbps, min_cards_per_node, domestic)"
)
_LIST: Final = "ARRAY(SELECT jsonb_array_elements_text(CAST(n.{0} AS jsonb)))"
_LISTS: Final = ", ".join(_LIST.format(name) for name in ("regions", "allowed", "refused"))
_INSERT_REQUESTS: Final = _arrays(
    f"""
    INSERT INTO request (id, buyer_org_id, ref, submitted_at, earliest_start, deadline, blocks, min_blocks, priority,
        regions, suppliers_allowed, suppliers_refused, min_interconnect_gbps, min_cards_per_node, domestic, state,
        version)
    SELECT n.id, n.buyer_org_id, n.ref, n.submitted_at, n.earliest_start, n.deadline, n.blocks, n.min_blocks,
        n.priority, {_LISTS}, n.min_interconnect_gbps, n.min_cards_per_node, n.domestic, 'open', 1
    FROM {_REQUEST_ARRAYS}
    """,  # noqa: S608
    **_REQUEST_COLUMNS,
)
_UPDATE_REQUESTS: Final = _arrays(
    f"""
    UPDATE request q SET submitted_at = n.submitted_at, earliest_start = n.earliest_start, deadline = n.deadline,
        blocks = n.blocks, min_blocks = n.min_blocks, priority = n.priority,
        (regions, suppliers_allowed, suppliers_refused) = ROW ({_LISTS}),
        min_interconnect_gbps = n.min_interconnect_gbps, min_cards_per_node = n.min_cards_per_node,
        domestic = n.domestic, version = q.version + 1
    FROM {_REQUEST_ARRAYS} WHERE q.id = n.id
    """,  # noqa: S608
    **_REQUEST_COLUMNS,
)
_DELETE_ALTERNATIVES: Final = _arrays("DELETE FROM request_alternative WHERE request_id = ANY (:id)", id=_ID)
_INSERT_ALTERNATIVES: Final = _arrays(
    """
    INSERT INTO request_alternative (request_id, position, chips, cards, hours, max_net_price_fen, min_memory_gb,
        min_fp16_tflops)
    SELECT * FROM unnest(:request_id, :position, :chips, :cards, :hours, :price, :memory, :speed)
    """,
    request_id=_ID,
    position=SmallInteger(),
    chips=_TEXT,
    cards=_WHOLE,
    hours=Numeric(),
    price=_WHOLE,
    memory=Numeric(),
    speed=Numeric(),
)


def _chips(rows: Sequence[ChipRow]) -> dict[str, Any]:
    return {name: [getattr(row, name) for row in rows] for name in _CHIP_COLUMNS}


async def insert_chips(session: WriteSession, rows: Sequence[ChipRow]) -> None:
    """Add chip models to the catalogue."""
    await session.execute(_INSERT_CHIPS, _chips(rows))


async def update_chips(session: WriteSession, rows: Sequence[ChipRow]) -> None:
    """Change chip models of the catalogue to what the rows say."""
    await session.execute(_UPDATE_CHIPS, _chips(rows))


async def insert_organisations(
    session: WriteSession, role: str, rows: Sequence[tuple[UUID, str, str, str | None]], now: datetime
) -> None:
    """Add approved organisations under a role: (id, reference, name, contact)."""
    ids = [row[0] for row in rows]
    names = {"name": [row[2] for row in rows], "contact": [row[3] for row in rows]}
    await session.execute(_INSERT_ORGANISATIONS, {"id": ids, "now": now} | names)
    await session.execute(_INSERT_ROLES, {"id": ids, "role": role, "ref": [row[1] for row in rows]})


async def rename_organisations(session: WriteSession, rows: Sequence[tuple[UUID, str | None, str | None]]) -> None:
    """Change names and contacts: (id, name, contact); None leaves one as it is."""
    ids, names, contacts = ([row[position] for row in rows] for position in range(3))
    await session.execute(_UPDATE_ORGANISATIONS, {"id": ids, "name": names, "contact": contacts})


async def insert_facts(
    session: WriteSession, rows: Sequence[tuple[UUID, str, str | int | bool, date]], *, desk: UUID, now: datetime
) -> None:
    """Record facts, verified by the desk: (organisation, key, value, valid from)."""
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        values = {
            "id": [new_id() for _ in chunk],
            "org_id": [row[0] for row in chunk],
            "key": [row[1] for row in chunk],
            "value": [json.dumps(row[2]) for row in chunk],
            "valid_from": [row[3] for row in chunk],
        }
        await session.execute(_INSERT_FACTS, values | {"desk": desk, "now": now})


def _offers(rows: Sequence[tuple[UUID, UUID, OfferRow]]) -> dict[str, Any]:
    offers = [row for _, _, row in rows]
    plain = ("ref", "region", "chip_model", "cards_per_node", "interconnect_gbps", "price_fen", "list_price_fen")
    return {name: [getattr(row, name) for row in offers] for name in (*plain, "price_unit")} | {
        "id": [offer_id for offer_id, _, _ in rows],
        "supplier_org_id": [supplier for _, supplier, _ in rows],
        "posted": [row.posted_fen_per_instance_month for row in offers],
        "listed": [row.listed_fen_per_instance_month for row in offers],
        "auto_accept": [row.auto_accept or False for row in offers],
    }


def _steps(rows: Sequence[tuple[UUID, UUID, OfferRow]]) -> dict[str, Any]:
    steps = [(offer_id, at, cards) for offer_id, _, row in rows for at, cards in row.steps]
    ids, starts, cards = ([step[position] for step in steps] for position in range(3))
    return {"offer_id": ids, "starts_at": starts, "cards": cards}


async def insert_offers(session: WriteSession, rows: Sequence[tuple[UUID, UUID, OfferRow]], now: datetime) -> None:
    """Add offers and their capacity: (id, supplier's id, row)."""
    await session.execute(_INSERT_OFFERS, _offers(rows) | {"now": now})
    await session.execute(_INSERT_CAPACITY, _steps(rows))


async def update_offers(session: WriteSession, rows: Sequence[tuple[UUID, UUID, OfferRow]], now: datetime) -> None:
    """Change offers and their capacity: (id, supplier's id, row); their suppliers and references stay."""
    await session.execute(_UPDATE_OFFERS, _offers(rows) | {"now": now})
    await session.execute(_SET_CAPACITY, _steps(rows))


def _requests(rows: Sequence[tuple[UUID, UUID, RequestRow]]) -> dict[str, Any]:
    requests = [row for _, _, row in rows]
    plain = ("ref", "submitted_at", "earliest_start", "deadline", "blocks", "min_blocks", "priority")
    rules = ("min_interconnect_gbps", "min_cards_per_node", "domestic")
    return {name: [getattr(row, name) for row in requests] for name in (*plain, *rules)} | {
        "id": [request_id for request_id, _, _ in rows],
        "buyer_org_id": [buyer for _, buyer, _ in rows],
        # An array of arrays must be rectangular; lists of different lengths go as JSON.
        "regions": [json.dumps(row.regions) for row in requests],
        "allowed": [json.dumps(row.suppliers_allowed) for row in requests],
        "refused": [json.dumps(row.suppliers_refused) for row in requests],
    }


def _alternatives(rows: Sequence[tuple[UUID, UUID, RequestRow]]) -> dict[str, Any]:
    found = [
        (request_id, position, one) for request_id, _, row in rows for position, one in enumerate(row.alternatives)
    ]
    alternatives = [one for _, _, one in found]
    hours: list[Decimal] = [one.hours for one in alternatives]
    return {
        "request_id": [request_id for request_id, _, _ in found],
        "position": [position for _, position, _ in found],
        "chips": [one.chips for one in alternatives],
        "cards": [one.cards for one in alternatives],
        "hours": hours,
        "price": [one.max_net_price_fen for one in alternatives],
        "memory": [one.min_memory_gb for one in alternatives],
        "speed": [one.min_fp16_tflops for one in alternatives],
    }


async def insert_requests(session: WriteSession, rows: Sequence[tuple[UUID, UUID, RequestRow]]) -> None:
    """Add requests and their alternatives: (id, buyer's id, row)."""
    await session.execute(_INSERT_REQUESTS, _requests(rows))
    await session.execute(_INSERT_ALTERNATIVES, _alternatives(rows))


async def update_requests(session: WriteSession, rows: Sequence[tuple[UUID, UUID, RequestRow]]) -> None:
    """Change requests and replace their alternatives: (id, buyer's id, row)."""
    values = _requests(rows)
    await session.execute(_UPDATE_REQUESTS, values)
    await session.execute(_DELETE_ALTERNATIVES, {"id": values["id"]})
    await session.execute(_INSERT_ALTERNATIVES, _alternatives(rows))
