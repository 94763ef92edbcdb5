"""The market format as CSV: bytes to rows, with every refusal located.

UTF-8 with or without a BOM, LF or CRLF. A text cell that begins with `=`, `+`, `-`, `@`, tab or CR was written with
an apostrophe before it (`csv_writing`), so that no spreadsheet takes it for a formula; it is taken off here.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

from app.accounts.models import FactKey
from app.accounts.schemas import FACT_CHOICES
from app.bulk import errors, fields
from app.bulk.fields import Fields
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
from app.kit.time import EPOCH
from app.matching.market_columns import COLUMNS as MARKET_COLUMNS

Value = TypeVar("Value")

COLUMNS: Final[Mapping[Kind, tuple[str, ...]]] = {kind: MARKET_COLUMNS[f"{kind.value}.csv"] for kind in Kind}
_OWNER: Final = {Kind.OFFERS: "supplier", Kind.REQUESTS: "buyer"}
_KINDS: Final = FACT_CHOICES[FactKey.KIND]
_INTEGRITY: Final = FACT_CHOICES[FactKey.INTEGRITY]
_PROJECT_LEAD: Final = FACT_CHOICES[FactKey.PROJECT_LEAD]
BOOLEANS: Final = {"true": True, "false": False}
YES_NO: Final = {"yes": True, "no": False}
_ESCAPED: Final = re.compile(r"'+[=+\-@\t\r]")
_TICK: Final = 1_000
_ZERO: Final = Decimal(0)


def read_csv(kind: Kind, file: str, content: bytes, bad: list[Finding], progress: Progress) -> Table[Any]:
    """Return the rows of one CSV file; everything wrong with it goes into `bad`.

    Args:
        kind: which of the market's files it is.
        file: its name, for the findings.
        content: its bytes.
        bad: where refusals go.
        progress: counts the rows read.
    """
    table = Table[Any](file, Format.CSV)
    text = decode(file, content, bad)
    # Lines end with LF only, so that a lone CR inside quotes does not count as one; the reader takes CRLF itself.
    reader = csv.reader(io.StringIO(text or "", newline="\n"), strict=True)
    header = None if text is None else _header(kind, file, reader, bad)
    if header is None:
        table.readable = False
        return table
    seen: dict[str, int] = {}
    counted = 0
    for line, cells in _physical_rows(reader, file, bad):
        table.total += 1
        if table.total % _TICK == 0:
            progress.advance(_TICK)
            counted += _TICK
        if cells is None:
            continue
        _read_row(kind, table, line, dict(zip(header, cells, strict=False)), len(cells) - len(header), bad, seen)
    progress.advance(table.total - counted)
    return table


def decode(file: str, content: bytes, bad: list[Finding]) -> str | None:
    """Return a file's text without its BOM, or None with a finding if it is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # With a BOM the codec counts from behind it.
        byte = error.start + len(content) - len(error.object)
        line = content.count(b"\n", 0, byte) + 1
        bad.append(Finding(file, line, None, errors.NOT_UTF8.code, {"byte": byte}))
        return None


def _physical_rows(reader: Any, file: str, bad: list[Finding]) -> Iterator[tuple[int, list[str] | None]]:
    """Yield each row with the physical line it begins on; None where it is no CSV. Empty lines are passed over."""
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            bad.append(Finding(file, line, None, errors.BAD_CSV.code, {"why": str(error)}))
            yield line, None
            continue
        if cells:
            yield line, cells


def _header(kind: Kind, file: str, reader: Any, bad: list[Finding]) -> list[str] | None:
    first = next(_physical_rows(reader, file, bad), None)
    if first is None:
        bad.append(Finding(file, 1, None, errors.EMPTY_FILE.code))
        return None
    line, cells = first
    if cells is None:
        return None
    known = COLUMNS[kind]
    names = list(dict.fromkeys(cells))
    before = len(bad)
    bad.extend(
        Finding(
            file,
            line,
            fields.shown(name),
            errors.UNKNOWN_COLUMN.code,
            {"name": fields.shown(name), "known": ", ".join(known)},
        )
        for name in names
        if name not in known
    )
    bad.extend(
        Finding(file, line, name, errors.DUPLICATE_COLUMN.code, {"name": name})
        for name in names
        if name in known and cells.count(name) > 1
    )
    bad.extend(
        Finding(file, line, name, errors.MISSING_COLUMN.code, {"name": name}) for name in known if name not in names
    )
    return cells if len(bad) == before else None


def _read_row(
    kind: Kind,
    table: Table[Any],
    line: int,
    raw: dict[str, str],
    surplus: int,
    bad: list[Finding],
    seen: dict[str, int],
) -> None:
    if surplus:
        wanted = len(COLUMNS[kind])
        params = {"found": wanted + surplus, "wanted": wanted}
        bad.append(Finding(table.file, line, None, errors.CELL_COUNT.code, params))
        return
    row = Fields(table.file, line, raw, bad)
    ref_column = COLUMNS[kind][0]
    ref = unescape(raw[ref_column])
    if ref and ref in seen:
        row.refuse(ref_column, errors.DUPLICATE_REF, ref=fields.shown(ref), line=seen[ref])
    seen.setdefault(ref, line)
    made = _READERS[kind](row)
    if row.is_good:
        table.rows.append(Located(line, made))
    else:
        owner = _OWNER.get(kind)
        table.bad_keys.add((unescape(raw[owner]) if owner else "", ref))


def unescape(cell: str) -> str:
    """Return a text cell without the apostrophe that keeps spreadsheets from taking it for a formula."""
    return cell[1:] if cell.startswith("'") and _ESCAPED.match(cell) else cell


def _text(parse: Callable[[Any], Value]) -> Callable[[str], Value]:
    def parse_cell(cell: str) -> Value:
        return parse(unescape(cell))

    return parse_cell


def _optional(parse: Callable[[str], Value]) -> Callable[[str], Value | None]:
    """Return a parser that takes an empty cell for unknown."""

    def parse_cell(cell: str) -> Value | None:
        return parse(cell) if cell.strip() else None

    return parse_cell


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse_cell(cell: str) -> int:
        return fields.whole_of_text(cell, low, high)

    return parse_cell


def _one_of(choices: Iterable[str]) -> Callable[[str], str]:
    taken = tuple(choices)

    def parse_cell(cell: str) -> str:
        return fields.choice(cell, taken)

    return parse_cell


def _flag(words: Mapping[str, bool]) -> Callable[[str], bool]:
    def parse_cell(cell: str) -> bool:
        return words[fields.choice(cell, tuple(words))]

    return parse_cell


def _hours(cell: str) -> Decimal:
    return fields.hours(fields.decimal_of_text(cell))


def _quantity(cell: str) -> Decimal:
    return fields.quantity(fields.decimal_of_text(cell))


_REF: Final = _text(fields.reference)
_NAME: Final = _text(fields.plain_text)
_CHIP: Final = _text(fields.chip_name)
_SELECTOR: Final = _text(fields.selector)
_CITY: Final = _optional(_text(fields.city))
_CARDS: Final = _whole(1, fields.MAX_CARDS)
_GBPS: Final = _optional(_whole(0, fields.MAX_GBPS))
_PRIORITY: Final = _whole(1, fields.MAX_PRIORITY)
_BLOCKS: Final = _whole(1, fields.MAX_BLOCKS)
_KIND: Final = _optional(_one_of(_KINDS))
_REVENUE: Final = _optional(fields.revenue_of_text)
_INTEGRITY_CELL: Final = _optional(_one_of(_INTEGRITY))
_LEAD: Final = _optional(_one_of(_PROJECT_LEAD))
_PARTNER: Final = _optional(_flag(YES_NO))
_DOMESTIC: Final = _optional(_flag(BOOLEANS))
_QUANTITY: Final = _optional(_quantity)
_VENDOR: Final = _optional(_NAME)
_CLASS: Final = _optional(_text(lambda value: fields.plain_text(value, most=fields.MAX_CITY)))


def _read_offer(row: Fields) -> OfferRow:
    cards = row.take("cards", _CARDS, 1)
    start = row.take("available_from", fields.hour_moment, EPOCH)
    end = row.take("available_to", fields.hour_moment, EPOCH)
    if row.is_good:
        fields.check_window(row, "available_to", start, end)
    return OfferRow(
        ref=row.take("offer_ref", _REF, ""),
        supplier=row.take("supplier", _REF, ""),
        region=row.take("region", _NAME, ""),
        chip_model=row.take("chip_model", _CHIP, ""),
        cards_per_node=row.take("cards_per_node", _CARDS, 1),
        list_price_fen=row.take("list_price_cny", fields.fen_of_text, 0),
        price_fen=row.take("price_cny", fields.fen_of_text, 0),
        interconnect_gbps=row.take("interconnect_gbps", _GBPS, None),
        steps=((start, cards), (end, 0)),
    )


def _read_request(row: Fields) -> RequestRow:
    start = row.take("earliest_start", fields.moment, EPOCH)
    deadline = row.take("deadline", fields.moment, EPOCH)
    blocks = row.take("blocks", _BLOCKS, 1)
    min_blocks = row.take("min_blocks", _BLOCKS, 1)
    if row.is_good:
        fields.check_window(row, "deadline", start, deadline)
        fields.check_blocks(row, blocks, min_blocks)
    return RequestRow(
        ref=row.take("request_ref", _REF, ""),
        buyer=row.take("buyer", _REF, ""),
        submitted_at=row.take("submitted_at", fields.moment, EPOCH),
        earliest_start=start,
        deadline=deadline,
        alternatives=(
            AlternativeRow(
                chips=row.take("chips", _SELECTOR, ""),
                cards=row.take("cards", _CARDS, 1),
                hours=row.take("hours", _hours, _ZERO),
                max_net_price_fen=row.take("max_net_price_cny", fields.fen_of_text, 0),
            ),
        ),
        priority=row.take("priority", _PRIORITY, 1),
        blocks=blocks,
        min_blocks=min_blocks,
    )


def _stated(values: Mapping[FactKey, str | int | bool | None]) -> dict[str, str | int | bool]:
    return {key.value: value for key, value in values.items() if value is not None}


def _read_buyer(row: Fields) -> OrganisationRow:
    return OrganisationRow(
        ref=row.take("buyer", _REF, ""),
        facts=_stated(
            {
                FactKey.KIND: row.take("kind", _KIND, None),
                FactKey.REVENUE: row.take("prior_year_revenue_cny", _REVENUE, None),
                FactKey.CITY: row.take("registered_city", _CITY, None),
                FactKey.INTEGRITY: row.take("integrity", _INTEGRITY_CELL, None),
                FactKey.PROJECT_LEAD: row.take("project_lead", _LEAD, None),
            }
        ),
    )


def _read_supplier(row: Fields) -> OrganisationRow:
    return OrganisationRow(
        ref=row.take("supplier", _REF, ""),
        facts=_stated(
            {FactKey.CITY: row.take("city", _CITY, None), FactKey.PARTNER: row.take("partner", _PARTNER, None)}
        ),
    )


def _read_chip(row: Fields) -> ChipRow:
    return ChipRow(
        name=row.take("chip_model", _CHIP, ""),
        vendor=row.take("vendor", _VENDOR, None),
        fp16_tflops=row.take("fp16_tflops", _QUANTITY, None),
        memory_gb=row.take("memory_gb", _QUANTITY, None),
        domestic=row.take("domestic", _DOMESTIC, None),
        chip_class=row.take("class", _CLASS, None),
    )


_READERS: Final[Mapping[Kind, Callable[[Fields], AnyRow]]] = {
    Kind.OFFERS: _read_offer,
    Kind.REQUESTS: _read_request,
    Kind.BUYERS: _read_buyer,
    Kind.SUPPLIERS: _read_supplier,
    Kind.CHIPS: _read_chip,
}
