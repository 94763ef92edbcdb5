"""A row against what is on record: which columns differ, and what the row becomes. Pure.

A format that has no column for something says nothing about it: then what is on record is kept, and not compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from app.bulk.rows import ChipRow, Format, OfferRow, OrganisationRow, RequestRow, joined_alternatives
from app.catalog.models import PriceUnit

_OFFER_CSV: Final = {
    "region": "region",
    "chip_model": "chip_model",
    "cards_per_node": "cards_per_node",
    "list_price_fen": "list_price_cny",
    "price_fen": "price_cny",
    "interconnect_gbps": "interconnect_gbps",
}
_OFFER_JSONL: Final = {name: name for name in _OFFER_CSV} | {
    "price_unit": "price_unit",
    "posted_fen_per_instance_month": "posted_fen_per_instance_month",
    "listed_fen_per_instance_month": "listed_fen_per_instance_month",
    "steps": "capacity",
}
_REQUEST_CSV: Final = {
    name: name for name in ("submitted_at", "earliest_start", "deadline", "priority", "blocks", "min_blocks")
}
_SITE: Final = (
    "regions",
    "suppliers_allowed",
    "suppliers_refused",
    "min_interconnect_gbps",
    "min_cards_per_node",
    "domestic",
)
_ALTERNATIVE: Final = {
    "chips": "chips",
    "cards": "cards",
    "hours": "hours",
    "max_net_price_fen": "max_net_price_cny",
}
_CHIP: Final = {
    "vendor": "vendor",
    "fp16_tflops": "fp16_tflops",
    "memory_gb": "memory_gb",
    "domestic": "domestic",
    "chip_class": "class",
    "source": "source",
}
# What a reservation on an offer relied on.
_COMMITTED: Final = ("chip_model", "region", "cards_per_node", "interconnect_gbps")


def _differing(row: Any, known: Any, columns: Mapping[str, str]) -> list[str]:
    return [column for name, column in columns.items() if getattr(row, name) != getattr(known, name)]


def settled_offer(row: OfferRow, known: OfferRow, written: Format) -> OfferRow:
    """Return the offer that a row means beside the one on record: what it does not state is kept."""
    if row.auto_accept is None:
        row = replace(row, auto_accept=known.auto_accept)
    same_price = (row.price_fen, row.list_price_fen, row.cards_per_node) == (
        known.price_fen,
        known.list_price_fen,
        known.cards_per_node,
    )
    if written is Format.CSV and known.price_unit != PriceUnit.CARD_HOUR.value and same_price:
        row = replace(
            row,
            price_unit=known.price_unit,
            posted_fen_per_instance_month=known.posted_fen_per_instance_month,
            listed_fen_per_instance_month=known.listed_fen_per_instance_month,
        )
    return row


def offer_differences(row: OfferRow, known: OfferRow, written: Format) -> list[str]:
    """Return the columns in which a settled offer differs from the one on record."""
    found = _differing(row, known, _OFFER_CSV if written is Format.CSV else _OFFER_JSONL)
    if written is Format.CSV and row.steps != known.steps:
        if len(known.steps) != len(row.steps):
            return [*found, "cards", "available_from", "available_to"]
        (start, cards), (end, _) = row.steps
        (known_start, known_cards), (known_end, _) = known.steps
        pairs = (
            ("cards", cards, known_cards),
            ("available_from", start, known_start),
            ("available_to", end, known_end),
        )
        found += [column for column, stated, on_record in pairs if stated != on_record]
    if row.auto_accept != known.auto_accept:
        found.append("auto_accept")
    return found


def committed_differences(row: OfferRow, known: OfferRow) -> list[str]:
    """Return the columns that differ and that reservations on the offer relied on."""
    return _differing(row, known, {name: name for name in _COMMITTED})


def first_shortage(
    steps: Sequence[tuple[datetime, int]], usage: Sequence[tuple[datetime, int]]
) -> tuple[datetime, int, int] | None:
    """Return the first moment at which more cards are reserved than a capacity has.

    Args:
        steps: the capacity: from each moment on, so many cards.
        usage: what is reserved: from each moment on, so many cards.

    Returns:
        The moment, the cards reserved, the cards there would be; or None.
    """
    changes = sorted([(at, 0, cards) for at, cards in steps] + [(at, 1, cards) for at, cards in usage])
    level = [0, 0]
    for position, (at, which, cards) in enumerate(changes):
        level[which] = cards
        is_last_of_moment = position + 1 == len(changes) or changes[position + 1][0] != at
        if is_last_of_moment and level[1] > level[0]:
            return at, level[1], level[0]
    return None


def settled_request(row: RequestRow, known: RequestRow, written: Format) -> RequestRow:
    """Return the request that a row means beside the one on record: what it does not state is kept."""
    if written is not Format.CSV:
        return row
    return replace(
        row,
        regions=known.regions,
        suppliers_allowed=known.suppliers_allowed,
        suppliers_refused=known.suppliers_refused,
        min_interconnect_gbps=known.min_interconnect_gbps,
        min_cards_per_node=known.min_cards_per_node,
        domestic=known.domestic,
    )


def request_differences(row: RequestRow, known: RequestRow, written: Format) -> list[str]:
    """Return the columns in which a settled request differs; alternatives that differ only in chips count as one."""
    found = _differing(row, known, _REQUEST_CSV)
    if row.alternatives != known.alternatives:
        stated, on_record = joined_alternatives(row.alternatives), joined_alternatives(known.alternatives)
        if stated != on_record:
            plain = written is Format.CSV and len(on_record) == 1
            found += (_differing(stated[0], on_record[0], _ALTERNATIVE) or ["chips"]) if plain else ["alternatives"]
    found += [name for name in _SITE if getattr(row, name) != getattr(known, name)]
    return found


def organisation_differences(row: OrganisationRow, known: OrganisationRow, columns: Mapping[str, str]) -> list[str]:
    """Return the columns that are stated and differ; `columns` names those of facts."""
    found = [columns.get(key, key) for key, value in row.facts.items() if known.facts.get(key) != value]
    if row.name is not None and row.name != known.name:
        found.append("name")
    if row.contact is not None and row.contact != known.contact:
        found.append("contact")
    return found


def chip_differences(row: ChipRow, known: ChipRow) -> list[tuple[str, Any, Any]]:
    """Return (column, what the catalogue says, what the file states) where a stated value differs."""
    pairs = [(column, getattr(known, name), getattr(row, name)) for name, column in _CHIP.items()]
    return [
        (column, on_record, stated) for column, on_record, stated in pairs if stated is not None and stated != on_record
    ]


def settled_chip(row: ChipRow, known: ChipRow) -> ChipRow:
    """Return the chip with what the row states, and the rest as it is in the catalogue."""
    stated = {name: getattr(row, name) for name in _CHIP}
    return replace(known, **{name: value for name, value in stated.items() if value is not None})
