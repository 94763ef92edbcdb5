"""Rows to CSV: UTF-8, LF, the columns of the market format; what CSV has no column for is named, never dropped.

A text cell that begins with `=`, `+`, `-`, `@`, tab or CR gets an apostrophe before it, so that no spreadsheet takes
it for a formula. One that begins with apostrophes and then such a character gets one more, so that all of them read
back as they were.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from app.accounts.models import FactKey
from app.bulk import errors
from app.bulk.csv_format import BOOLEANS, COLUMNS, YES_NO
from app.bulk.rows import (
    AlternativeRow,
    AnyRow,
    ChipRow,
    Finding,
    Kind,
    OfferRow,
    OrganisationRow,
    RequestRow,
    joined_alternatives,
)
from app.catalog.models import PriceUnit
from app.kit.money import format_cny
from app.kit.time import format_rfc3339

_DANGEROUS: Final = re.compile(r"'*[=+\-@\t\r]")
_NEEDS_QUOTES: Final = re.compile(r'[",\r\n]|^\s|\s$')


def escape(text: str) -> str:
    """Return a text with an apostrophe before it if a spreadsheet might take it for a formula."""
    return f"'{text}" if _DANGEROUS.match(text) else text


def cannot_carry(kind: Kind, rows: Iterable[AnyRow]) -> list[Finding]:
    """Return what CSV has no column for, a finding for each row; line 0, since there is no file yet."""
    file = f"{kind.value}.csv"
    found: list[Finding] = []
    owners: dict[str, str] = {}
    for row in rows:
        if isinstance(row, OfferRow):
            lacking = _lacking_of_offer(row)
        elif isinstance(row, RequestRow):
            lacking = _lacking_of_request(row)
        else:
            continue
        if owners.setdefault(row.ref, row.owner) != row.owner:
            lacking.append(f"a reference that {owners[row.ref]!r} uses too")
        if lacking:
            params = {"ref": row.ref, "what": ", ".join(lacking)}
            found.append(Finding(file, 0, None, errors.CANNOT_CARRY.code, params))
    return found


def _lacking_of_offer(row: OfferRow) -> list[str]:
    lacking = list[str]()
    if len(row.steps) != 2 or row.steps[0][1] == 0:  # noqa: PLR2004  from and to
        lacking.append("stepped capacity")
    if row.price_unit != PriceUnit.CARD_HOUR.value:
        lacking.append("a price per instance-month")
    if row.auto_accept:
        lacking.append("automatic acceptance")
    return lacking


def _lacking_of_request(row: RequestRow) -> list[str]:
    lacking = list[str]()
    if len(joined_alternatives(row.alternatives)) > 1:
        lacking.append("alternatives that differ in more than chips")
    if any(one.min_memory_gb is not None or one.min_fp16_tflops is not None for one in row.alternatives):
        lacking.append("least memory or speed")
    lists = (row.regions, row.suppliers_allowed, row.suppliers_refused)
    single = (row.min_interconnect_gbps, row.min_cards_per_node, row.domestic)
    if any(lists) or any(value is not None for value in single):
        lacking.append("site rules")
    return lacking


def write_csv(kind: Kind, rows: Iterable[AnyRow]) -> bytes:
    """Return rows that CSV can carry as a UTF-8 file with LF."""
    written = [",".join(COLUMNS[kind])]
    written += [",".join(_quote(cell) for cell in _cells(kind, row)) for row in rows]
    return ("\n".join(written) + "\n").encode()


def _quote(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if _NEEDS_QUOTES.search(cell) else cell


def _cells(kind: Kind, row: AnyRow) -> tuple[str, ...]:
    if isinstance(row, OfferRow):
        return _offer_cells(row)
    if isinstance(row, RequestRow):
        return _request_cells(row)
    if isinstance(row, ChipRow):
        return _chip_cells(row)
    return _buyer_cells(row) if kind is Kind.BUYERS else _supplier_cells(row)


def plain_number(value: Decimal | None) -> str:
    """Return a decimal without an exponent; unknown is empty."""
    return "" if value is None else f"{value:f}"


def _word(value: Any, words: Mapping[str, bool]) -> str:
    return next((word for word, meaning in words.items() if meaning is value), "")


def _offer_cells(row: OfferRow) -> tuple[str, ...]:
    (start, cards), (end, _) = row.steps
    return (
        escape(row.ref),
        escape(row.supplier),
        escape(row.region),
        escape(row.chip_model),
        str(cards),
        str(row.cards_per_node),
        format_cny(row.list_price_fen),
        format_cny(row.price_fen),
        "" if row.interconnect_gbps is None else str(row.interconnect_gbps),
        format_rfc3339(start),
        format_rfc3339(end),
    )


def _request_cells(row: RequestRow) -> tuple[str, ...]:
    (only,) = joined_alternatives(row.alternatives)
    return (
        escape(row.ref),
        escape(row.buyer),
        format_rfc3339(row.submitted_at),
        escape(only.chips),
        str(only.cards),
        plain_number(only.hours),
        format_rfc3339(row.earliest_start),
        format_rfc3339(row.deadline),
        format_cny(only.max_net_price_fen),
        str(row.priority),
        str(row.blocks),
        str(row.min_blocks),
    )


def _buyer_cells(row: OrganisationRow) -> tuple[str, ...]:
    revenue = row.facts.get(FactKey.REVENUE.value)
    return (
        escape(row.ref),
        str(row.facts.get(FactKey.KIND.value, "")),
        "" if revenue is None else format_cny(int(revenue)),
        escape(str(row.facts.get(FactKey.CITY.value, ""))),
        str(row.facts.get(FactKey.INTEGRITY.value, "")),
        str(row.facts.get(FactKey.PROJECT_LEAD.value, "")),
    )


def _supplier_cells(row: OrganisationRow) -> tuple[str, ...]:
    return (
        escape(row.ref),
        escape(str(row.facts.get(FactKey.CITY.value, ""))),
        _word(row.facts.get(FactKey.PARTNER.value), YES_NO),
    )


def _chip_cells(row: ChipRow) -> tuple[str, ...]:
    return (
        escape(row.name),
        escape(row.vendor or ""),
        plain_number(row.fp16_tflops),
        plain_number(row.memory_gb),
        _word(row.domestic, BOOLEANS),
        escape(row.chip_class or ""),
    )


_FROM: Final = datetime(2026, 12, 1, tzinfo=UTC)
_TO: Final = datetime(2027, 3, 1, tzinfo=UTC)
_EXAMPLES: Final[Mapping[Kind, AnyRow]] = {
    Kind.OFFERS: OfferRow(
        "offer-001", "示例智算中心一", "北京", "A100 80G", 8, 400, 850, 1600, ((_FROM, 64), (_TO, 0))
    ),
    Kind.REQUESTS: RequestRow(
        "request-001",
        "示例初创公司一",
        _FROM,
        _FROM,
        datetime(2026, 12, 15, tzinfo=UTC),
        (AlternativeRow("class:A100-class|Ascend 910B", 8, Decimal("36.5"), 900),),
    ),
    Kind.BUYERS: OrganisationRow(
        "示例初创公司一",
        {
            FactKey.KIND.value: "startup",
            FactKey.REVENUE.value: 120_000_000,
            FactKey.CITY.value: "北京",
            FactKey.INTEGRITY.value: "clean",
            FactKey.PROJECT_LEAD.value: "none",
        },
    ),
    Kind.SUPPLIERS: OrganisationRow("示例智算中心一", {FactKey.CITY.value: "北京", FactKey.PARTNER.value: True}),
    Kind.CHIPS: ChipRow("A100 80G", "NVIDIA", Decimal(312), Decimal(80), False, "A100-class"),
}


def template(kind: Kind) -> bytes:
    """Return a file with the header and one example row."""
    return write_csv(kind, [_EXAMPLES[kind]])
