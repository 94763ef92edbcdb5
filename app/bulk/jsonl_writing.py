"""Rows to JSON Lines: everything that the database holds of them, one object a line."""

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from app.accounts.models import FactKey
from app.bulk.rows import AnyRow, ChipRow, Kind, OfferRow, OrganisationRow, RequestRow
from app.catalog.models import PriceUnit
from app.kit.time import format_rfc3339


def write_jsonl(kind: Kind, rows: Iterable[AnyRow]) -> bytes:
    """Return rows as UTF-8 JSON Lines; what is unknown, or rules nothing out, is left out."""
    return "".join(f"{_json(_fields(kind, row))}\n" for row in rows).encode()


def _json(value: Any) -> str:
    """Return a value as JSON; the standard library's encoder would write a decimal as the nearest binary number."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dict):
        given: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return "{" + ", ".join(f'"{name}": {_json(one)}' for name, one in given.items()) + "}"
    if isinstance(value, list):
        several: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return "[" + ", ".join(_json(one) for one in several) + "]"
    return json.dumps(value, ensure_ascii=False)


def _fields(kind: Kind, row: AnyRow) -> dict[str, Any]:
    if isinstance(row, OfferRow):
        found = _offer(row)
    elif isinstance(row, RequestRow):
        found = _request(row)
    elif isinstance(row, ChipRow):
        found = {
            "chip_model": row.name,
            "vendor": row.vendor,
            "fp16_tflops": row.fp16_tflops,
            "memory_gb": row.memory_gb,
            "domestic": row.domestic,
            "class": row.chip_class,
            "source": row.source,
        }
    else:
        found = _organisation(kind, row)
    return {name: value for name, value in found.items() if value is not None and value != []}


def _offer(row: OfferRow) -> dict[str, Any]:
    by_month = row.price_unit == PriceUnit.INSTANCE_MONTH.value
    return {
        "offer_ref": row.ref,
        "supplier": row.supplier,
        "region": row.region,
        "chip_model": row.chip_model,
        "cards_per_node": row.cards_per_node,
        "interconnect_gbps": row.interconnect_gbps,
        "price_unit": row.price_unit,
        "price_fen": None if by_month else row.price_fen,
        "list_price_fen": None if by_month else row.list_price_fen,
        "posted_fen_per_instance_month": row.posted_fen_per_instance_month,
        "listed_fen_per_instance_month": row.listed_fen_per_instance_month,
        "auto_accept": row.auto_accept,
        "capacity": [{"starts_at": format_rfc3339(at), "cards": cards} for at, cards in row.steps],
    }


def _request(row: RequestRow) -> dict[str, Any]:
    alternatives = [
        {
            "chips": one.chips,
            "cards": one.cards,
            "hours": one.hours,
            "max_net_price_fen": one.max_net_price_fen,
            "min_memory_gb": one.min_memory_gb,
            "min_fp16_tflops": one.min_fp16_tflops,
        }
        for one in row.alternatives
    ]
    return {
        "request_ref": row.ref,
        "buyer": row.buyer,
        "submitted_at": format_rfc3339(row.submitted_at),
        "earliest_start": format_rfc3339(row.earliest_start),
        "deadline": format_rfc3339(row.deadline),
        "alternatives": [{name: value for name, value in one.items() if value is not None} for one in alternatives],
        "priority": row.priority,
        "blocks": row.blocks,
        "min_blocks": row.min_blocks,
        "regions": list(row.regions),
        "suppliers_allowed": list(row.suppliers_allowed),
        "suppliers_refused": list(row.suppliers_refused),
        "min_interconnect_gbps": row.min_interconnect_gbps,
        "min_cards_per_node": row.min_cards_per_node,
        "domestic": row.domestic,
    }


def _organisation(kind: Kind, row: OrganisationRow) -> dict[str, Any]:
    said = {"name": row.name, "contact": row.contact}
    facts = row.facts
    if kind is Kind.SUPPLIERS:
        known = {"city": facts.get(FactKey.CITY.value), "partner": facts.get(FactKey.PARTNER.value)}
        return {"supplier": row.ref} | said | known
    keys = (FactKey.KIND, FactKey.REVENUE, FactKey.CITY, FactKey.INTEGRITY, FactKey.PROJECT_LEAD)
    return {"buyer": row.ref} | said | {key.value: facts.get(key.value) for key in keys}
