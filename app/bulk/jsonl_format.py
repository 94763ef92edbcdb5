"""The market format as JSON Lines: one object a line, everything that the database holds of a market.

Money is integer fen, times are RFC 3339 texts, hours and sizes JSON numbers read and written exactly.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final, TypeVar

from app.accounts.models import FactKey
from app.accounts.schemas import FACT_CHOICES
from app.bulk import errors, fields
from app.bulk.csv_format import decode
from app.bulk.fields import BadValue, Fields
from app.bulk.progress import Progress
from app.bulk.rows import (
    AlternativeRow,
    AnyRow,
    ChipRow,
    Finding,
    Format,
    Kind,
    Located,
    OfferRow,
    OrganisationRow,
    RequestRow,
    Table,
)
from app.catalog.models import PriceUnit
from app.kit.money import MAX_FEN, card_hour_fen_from_instance_month
from app.kit.time import EPOCH

Value = TypeVar("Value")
_NOTHING: Final = object()

# Fields of each file: those that must be there, and those that may be left out.
FIELDS: Final[Mapping[Kind, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    Kind.OFFERS: (
        ("offer_ref", "supplier", "region", "chip_model", "cards_per_node", "capacity"),
        (
            "interconnect_gbps",
            "price_unit",
            "price_fen",
            "list_price_fen",
            "posted_fen_per_instance_month",
            "listed_fen_per_instance_month",
            "auto_accept",
        ),
    ),
    Kind.REQUESTS: (
        ("request_ref", "buyer", "submitted_at", "earliest_start", "deadline", "alternatives"),
        (
            "priority",
            "blocks",
            "min_blocks",
            "regions",
            "suppliers_allowed",
            "suppliers_refused",
            "min_interconnect_gbps",
            "min_cards_per_node",
            "domestic",
        ),
    ),
    Kind.BUYERS: (
        ("buyer",),
        ("name", "contact", "kind", "prior_year_revenue_fen", "registered_city", "integrity", "project_lead"),
    ),
    Kind.SUPPLIERS: (("supplier",), ("name", "contact", "city", "partner")),
    Kind.CHIPS: (("chip_model",), ("vendor", "fp16_tflops", "memory_gb", "domestic", "class", "source")),
}
_ALTERNATIVE: Final = (("chips", "cards", "hours", "max_net_price_fen"), ("min_memory_gb", "min_fp16_tflops"))
_STEP: Final = (("starts_at", "cards"), ())
_OWNER: Final = {Kind.OFFERS: "supplier", Kind.REQUESTS: "buyer"}
_UNITS: Final = tuple(unit.value for unit in PriceUnit)
_MAX_STEPS: Final = 10_000
_MAX_ALTERNATIVES: Final = 100
_MAX_LIST: Final = 1_000
_TICK: Final = 1_000


class _UnreadableError(ValueError):
    """A line that is JSON to the parser but not to us."""


def _refuse_constant(name: str) -> Any:
    raise _UnreadableError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _UnreadableError(f"the field {fields.shown(twice)!r} comes twice")
    return found


_DECODER: Final = json.JSONDecoder(
    parse_float=Decimal, parse_constant=_refuse_constant, object_pairs_hook=_unique, strict=True
)


def read_jsonl(kind: Kind, file: str, content: bytes, bad: list[Finding], progress: Progress) -> Table[Any]:
    """Return the rows of one JSON Lines file; everything wrong with it goes into `bad`.

    Args:
        kind: which of the market's files it is.
        file: its name, for the findings.
        content: its bytes.
        bad: where refusals go.
        progress: counts the rows read.
    """
    table = Table[Any](file, Format.JSONL)
    text = decode(file, content, bad)
    if text is None:
        table.readable = False
        return table
    seen: dict[tuple[object, object], int] = {}
    for line, written in enumerate(text.split("\n"), start=1):
        if not written.strip():
            continue
        table.total += 1
        if table.total % _TICK == 0:
            progress.advance(_TICK)
        _read_line(kind, table, line, written, bad, seen)
    progress.advance(table.total % _TICK)
    return table


def _read_line(
    kind: Kind,
    table: Table[Any],
    line: int,
    written: str,
    bad: list[Finding],
    seen: dict[tuple[object, object], int],
) -> None:
    try:
        # A number of thousands of digits and a nesting of thousands of levels end in these two as well.
        raw = _DECODER.decode(written.strip())
    except (ValueError, RecursionError, ArithmeticError) as error:
        bad.append(Finding(table.file, line, None, errors.BAD_JSON.code, {"why": fields.shown(error)}))
        return
    row = Fields(table.file, line, {}, bad)
    if not isinstance(raw, dict):
        row.refuse(None, errors.NOT_AN_OBJECT)
        return
    given: dict[str, Any] = raw  # pyright: ignore[reportUnknownVariableType]  JSON's keys are texts
    required, optional = FIELDS[kind]
    known = (*required, *optional)
    for name in given:
        if name not in known:
            row.refuse(fields.shown(name), errors.UNKNOWN_COLUMN, name=fields.shown(name), known=", ".join(known))
    for name in required:
        if name not in given:
            row.refuse(name, errors.MISSING_COLUMN, name=name)
    ref, owner = given.get(required[0]), given.get(_OWNER.get(kind, ""), "")
    key = (owner, ref) if isinstance(ref, str) and isinstance(owner, str) else None
    if key is not None:
        if key in seen:
            row.refuse(required[0], errors.DUPLICATE_REF, ref=fields.shown(ref), line=seen[key])
        seen.setdefault(key, line)
    complete = Fields(table.file, line, {name: given.get(name, _NOTHING) for name in known}, bad)
    made = _READERS[kind](complete) if row.is_good else None
    if made is not None and row.is_good:
        table.rows.append(Located(line, made))
    elif key is not None:
        table.bad_keys.add((str(owner), str(ref)))


def _optional(parse: Callable[[Any], Value]) -> Callable[[Any], Value | None]:
    """Return a parser that takes null and a field left out for unknown."""

    def parse_value(value: Any) -> Value | None:
        return None if value is None or value is _NOTHING else parse(value)

    return parse_value


def _default(parse: Callable[[Any], Value], default: Value) -> Callable[[Any], Value]:
    def parse_value(value: Any) -> Value:
        return default if value is _NOTHING else parse(value)

    return parse_value


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def parse_value(value: Any) -> int:
        if isinstance(value, Decimal):
            raise BadValue(errors.NOT_WHOLE, value=fields.shown(value))
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadValue(errors.WRONG_TYPE, wanted="a whole number")
        return fields.in_range(value, low, high)

    return parse_value


def _number(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValue(errors.WRONG_TYPE, wanted="a number")
    return Decimal(value)


def _hours(value: Any) -> Decimal:
    return fields.hours(_number(value))


def _quantity(value: Any) -> Decimal:
    return fields.quantity(_number(value))


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadValue(errors.WRONG_TYPE, wanted="true or false")
    return value


def _choice(choices: Iterable[str]) -> Callable[[Any], str]:
    taken = tuple(choices)

    def parse_value(value: Any) -> str:
        if not isinstance(value, str):
            raise BadValue(errors.WRONG_TYPE, wanted="a text")
        return fields.choice(value, taken)

    return parse_value


def _list(parse: Callable[[Any], Value], most: int) -> Callable[[Any], tuple[Value, ...]]:
    def parse_value(value: Any) -> tuple[Value, ...]:
        if not isinstance(value, list):
            raise BadValue(errors.WRONG_TYPE, wanted="a list")
        given: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        if len(given) > most:
            raise BadValue(errors.OUT_OF_RANGE, value=f"{len(given)} entries", low=0, high=most)
        return tuple(parse(one) for one in given)

    return parse_value


def _parts(value: Any, shape: tuple[tuple[str, ...], tuple[str, ...]]) -> dict[str, Any]:
    """Return a nested object's fields, those left out marked.

    Raises:
        BadValue: if it is no object of this shape.
    """
    if not isinstance(value, dict):
        raise BadValue(errors.NOT_AN_OBJECT)
    given: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
    required, optional = shape
    known = (*required, *optional)
    for name in given:
        if name not in known:
            raise BadValue(errors.UNKNOWN_COLUMN, name=fields.shown(name), known=", ".join(known))
    for name in required:
        if name not in given:
            raise BadValue(errors.MISSING_COLUMN, name=name)
    return {name: given.get(name, _NOTHING) for name in known}


_PRICE: Final = _optional(_whole(0, fields.MAX_PRICE_FEN))
_MONTH_PRICE: Final = _optional(_whole(0, MAX_FEN))
_CARDS: Final = _whole(1, fields.MAX_CARDS)
_STEP_CARDS: Final = _whole(0, fields.MAX_CARDS)
_OPTIONAL_TEXT: Final = _optional(fields.plain_text)
_OPTIONAL_QUANTITY: Final = _optional(_quantity)
_OPTIONAL_FLAG: Final = _optional(_flag)


def _alternative(value: Any) -> AlternativeRow:
    given = _parts(value, _ALTERNATIVE)
    return AlternativeRow(
        chips=fields.selector(given["chips"]),
        cards=_CARDS(given["cards"]),
        hours=_hours(given["hours"]),
        max_net_price_fen=_whole(0, fields.MAX_PRICE_FEN)(given["max_net_price_fen"]),
        min_memory_gb=_OPTIONAL_QUANTITY(given["min_memory_gb"]),
        min_fp16_tflops=_OPTIONAL_QUANTITY(given["min_fp16_tflops"]),
    )


def _step(value: Any) -> tuple[Any, int]:
    given = _parts(value, _STEP)
    return fields.hour_moment(given["starts_at"]), _STEP_CARDS(given["cards"])


def _steps(value: Any) -> tuple[tuple[Any, int], ...]:
    steps = _list(_step, _MAX_STEPS)(value)
    if not steps:
        raise BadValue(errors.REQUIRED)
    if any(before >= after for (before, _), (after, _) in pairwise(steps)):
        raise BadValue(errors.STEPS_NOT_ASCENDING)
    if steps[-1][1] != 0:
        raise BadValue(errors.STEPS_NOT_ENDED)
    return steps


def _alternatives(value: Any) -> tuple[AlternativeRow, ...]:
    found = _list(_alternative, _MAX_ALTERNATIVES)(value)
    if not found:
        raise BadValue(errors.REQUIRED)
    return found


def _read_offer(row: Fields) -> OfferRow | None:
    unit = row.take("price_unit", _default(_choice(_UNITS), PriceUnit.CARD_HOUR.value), PriceUnit.CARD_HOUR.value)
    cards_per_node = row.take("cards_per_node", _CARDS, 1)
    price, listed = row.take("price_fen", _PRICE, None), row.take("list_price_fen", _PRICE, None)
    posted_month = row.take("posted_fen_per_instance_month", _MONTH_PRICE, None)
    listed_month = row.take("listed_fen_per_instance_month", _MONTH_PRICE, None)
    by_hour, by_month = (price, listed), (posted_month, listed_month)
    wanted, other = (by_month, by_hour) if unit == PriceUnit.INSTANCE_MONTH.value else (by_hour, by_month)
    if row.is_good and (None in wanted or any(value is not None for value in other)):
        row.refuse("price_unit", errors.PRICE_ONE_WAY)
    if row.is_good and posted_month is not None and listed_month is not None:
        price, listed = (card_hour_fen_from_instance_month(fen, cards_per_node) for fen in by_month if fen is not None)
        for column, fen in (("posted_fen_per_instance_month", price), ("listed_fen_per_instance_month", listed)):
            if fen > fields.MAX_PRICE_FEN:
                row.refuse(column, errors.OUT_OF_RANGE, value=fen, low=0, high=fields.MAX_PRICE_FEN)
    return OfferRow(
        ref=row.take("offer_ref", fields.reference, ""),
        supplier=row.take("supplier", fields.reference, ""),
        region=row.take("region", fields.plain_text, ""),
        chip_model=row.take("chip_model", fields.chip_name, ""),
        cards_per_node=cards_per_node,
        interconnect_gbps=row.take("interconnect_gbps", _optional(_whole(0, fields.MAX_GBPS)), None),
        price_fen=price or 0,
        list_price_fen=listed or 0,
        steps=row.take("capacity", _steps, ()),
        price_unit=unit,
        posted_fen_per_instance_month=posted_month,
        listed_fen_per_instance_month=listed_month,
        auto_accept=row.take("auto_accept", _OPTIONAL_FLAG, None),
    )


def _read_request(row: Fields) -> RequestRow:
    start = row.take("earliest_start", fields.moment, EPOCH)
    deadline = row.take("deadline", fields.moment, EPOCH)
    blocks = row.take("blocks", _default(_whole(1, fields.MAX_BLOCKS), 1), 1)
    min_blocks = row.take("min_blocks", _default(_whole(1, fields.MAX_BLOCKS), 1), 1)
    if row.is_good:
        fields.check_window(row, "deadline", start, deadline)
        fields.check_blocks(row, blocks, min_blocks)
    texts = _default(_list(fields.plain_text, _MAX_LIST), ())
    refs = _default(_list(fields.reference, _MAX_LIST), ())
    return RequestRow(
        ref=row.take("request_ref", fields.reference, ""),
        buyer=row.take("buyer", fields.reference, ""),
        submitted_at=row.take("submitted_at", fields.moment, EPOCH),
        earliest_start=start,
        deadline=deadline,
        alternatives=row.take("alternatives", _alternatives, ()),
        priority=row.take("priority", _default(_whole(1, fields.MAX_PRIORITY), 1), 1),
        blocks=blocks,
        min_blocks=min_blocks,
        regions=row.take("regions", texts, ()),
        suppliers_allowed=row.take("suppliers_allowed", refs, ()),
        suppliers_refused=row.take("suppliers_refused", refs, ()),
        min_interconnect_gbps=row.take("min_interconnect_gbps", _optional(_whole(0, fields.MAX_GBPS)), None),
        min_cards_per_node=row.take("min_cards_per_node", _optional(_CARDS), None),
        domestic=row.take("domestic", _OPTIONAL_FLAG, None),
    )


# The field of a file that states a fact, and how it is read.
_BUYER_FACTS: Final[Mapping[str, tuple[FactKey, Callable[[Any], str | int | bool]]]] = {
    "kind": (FactKey.KIND, _choice(FACT_CHOICES[FactKey.KIND])),
    "prior_year_revenue_fen": (FactKey.REVENUE, _whole(0, MAX_FEN)),
    "registered_city": (FactKey.CITY, fields.city),
    "integrity": (FactKey.INTEGRITY, _choice(FACT_CHOICES[FactKey.INTEGRITY])),
    "project_lead": (FactKey.PROJECT_LEAD, _choice(FACT_CHOICES[FactKey.PROJECT_LEAD])),
}
_SUPPLIER_FACTS: Final[Mapping[str, tuple[FactKey, Callable[[Any], str | int | bool]]]] = {
    "city": (FactKey.CITY, fields.city),
    "partner": (FactKey.PARTNER, _flag),
}


def _organisation(
    row: Fields, ref: str, facts: Mapping[str, tuple[FactKey, Callable[[Any], str | int | bool]]]
) -> OrganisationRow:
    stated = {key.value: row.take(column, _optional(parse), None) for column, (key, parse) in facts.items()}
    return OrganisationRow(
        ref=row.take(ref, fields.reference, ""),
        facts={key: value for key, value in stated.items() if value is not None},
        name=row.take("name", _OPTIONAL_TEXT, None),
        contact=row.take("contact", _OPTIONAL_TEXT, None),
    )


def _read_chip(row: Fields) -> ChipRow:
    short = _optional(lambda value: fields.plain_text(value, most=fields.MAX_CITY))
    return ChipRow(
        name=row.take("chip_model", fields.chip_name, ""),
        vendor=row.take("vendor", _OPTIONAL_TEXT, None),
        fp16_tflops=row.take("fp16_tflops", _OPTIONAL_QUANTITY, None),
        memory_gb=row.take("memory_gb", _OPTIONAL_QUANTITY, None),
        domestic=row.take("domestic", _OPTIONAL_FLAG, None),
        chip_class=row.take("class", short, None),
        source=row.take("source", _OPTIONAL_TEXT, None),
    )


_READERS: Final[Mapping[Kind, Callable[[Fields], AnyRow | None]]] = {
    Kind.OFFERS: _read_offer,
    Kind.REQUESTS: _read_request,
    Kind.BUYERS: lambda row: _organisation(row, "buyer", _BUYER_FACTS),
    Kind.SUPPLIERS: lambda row: _organisation(row, "supplier", _SUPPLIER_FACTS),
    Kind.CHIPS: _read_chip,
}
