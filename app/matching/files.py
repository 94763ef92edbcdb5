"""Market files (CSV, as described beside the real input data) → Instance, every malformed row reported.

A malformed row is left out and told by file, line and column; a row that is well formed but can't be met ends as an
unmatched request with a reason. A file that is missing, isn't UTF-8 or has other columns is refused as a whole.
"""

import csv
import re
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Final, TypeVar

from app.catalog.shipped import shipped_chips
from app.kit.money import parse_cny
from app.kit.time import ceil_hour, floor_hour, hour_index, parse_rfc3339
from app.matching.core import limits
from app.matching.core.instance import Alternative, Chip, Instance, Offer, Request
from app.matching.core.what_if import OfferChange, change_offers
from app.matching.market_columns import COLUMNS
from app.matching.terms import Party, Reads, Seller, options_and_budgets
from app.vouchers.facts import Facts, SupplierFacts
from app.vouchers.programmes import Programme

_WHOLE = re.compile(r"[0-9]{1,15}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
_DETAIL_LENGTH: Final = 200
T = TypeVar("T")
V = TypeVar("V")


class MarketError(Exception):
    """A market that can't be read at all: a missing file, other columns, not UTF-8."""


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A malformed row; `line` counts from 1, the header being line 1."""

    file: str
    line: int
    column: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Market:
    """The rows of a market that are well formed, and those that aren't. `partners` are the partner suppliers."""

    chips: tuple[Chip, ...]
    offers: tuple[Offer, ...]
    requests: tuple[Request, ...]
    buyers: dict[str, Facts]
    partners: frozenset[str]
    rejected: tuple[RejectedRow, ...]


class _RowError(Exception):
    def __init__(self, column: str, code: str, detail: str) -> None:
        super().__init__(detail)
        self.column = column
        self.code = code
        self.detail = detail[:_DETAIL_LENGTH]


class _Row:
    """A row's cells by column, read with a parser that names the column when it fails."""

    def __init__(self, cells: dict[str, str]) -> None:
        self._cells = cells

    def read(self, column: str, parse: Callable[[str], V]) -> V:
        try:
            return parse(self._cells[column].strip())
        except ValueError as error:
            raise _RowError(column, "not_valid", str(error)) from None

    def text(self, column: str) -> str:
        value = self._cells[column].strip()
        if not value:
            raise _RowError(column, "empty", f"{column} is empty")
        if len(value) > limits.MAX_REF_LENGTH:
            raise _RowError(column, "limit_length", f"{column} has more than {limits.MAX_REF_LENGTH} letters")
        return value

    def whole(self, column: str, low: int, high: int) -> int:
        text = self._cells[column].strip()
        if _WHOLE.fullmatch(text) is None:
            raise _RowError(column, "not_a_whole_number", f"{text!r} is not a whole number")
        value = int(text)
        if not low <= value <= high:
            raise _RowError(column, f"limit_{column}", f"{column} is {value}, outside {low} to {high}")
        return value

    def choice(self, column: str, *choices: str) -> str:
        value = self._cells[column].strip()
        if value not in choices:
            raise _RowError(column, "unknown_choice", f"{value!r} is not one of {', '.join(choices)}")
        return value

    def optional(self, column: str, parse: Callable[[str], V]) -> V | None:
        return None if not self._cells[column].strip() else self.read(column, parse)


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells) of a CSV after checking its header."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, list[str]())]
            unknown = [name for name in header if name not in columns]
            missing = [name for name in columns if name not in header]
            if unknown or missing or len(set(header)) != len(header):
                told = f"unknown column {unknown[0]!r}" if unknown else f"column {missing[0]!r} is missing"
                told = told if unknown or missing else "a column stands twice"
                raise MarketError(f"{path.name} line 1: {told}; the columns are {', '.join(columns)}")
            order = [header.index(name) for name in columns]
            line = reader.line_num + 1
            for cells in reader:
                if cells:
                    yield line, [cells[i] for i in order] if len(cells) == len(header) else cells
                line = reader.line_num + 1
    except FileNotFoundError:
        raise MarketError(f"{path.name} is not in {path.parent.name or path.parent}") from None
    except UnicodeDecodeError:
        raise MarketError(f"{path.name} is not UTF-8 text") from None
    except csv.Error as error:
        raise MarketError(f"{path.name}: not CSV: {error}") from None


def _split(cells: list[str], columns: tuple[str, ...]) -> _Row:
    if len(cells) != len(columns):
        raise _RowError("", "wrong_cell_count", f"{len(cells)} cells, expected {len(columns)}")
    return _Row(dict(zip(columns, cells, strict=True)))


def _require_new(column: str, ref: str, found: Container[str]) -> None:
    if ref in found:
        raise _RowError(column, "duplicate_ref", f"{ref!r} stands above already")


def _read_table(
    path: Path, key: Callable[[T], str], parse: Callable[[_Row], T], rejected: list[RejectedRow]
) -> dict[str, T]:
    """Return the well-formed rows of a file by ref; report the others."""
    columns = COLUMNS[path.name] if path.name in COLUMNS else COLUMNS["chips.csv"]
    found: dict[str, T] = {}
    for line, cells in _rows(path, columns):
        try:
            row = parse(_split(cells, columns))
            _require_new(columns[0], key(row), found)
            found[key(row)] = row
        except _RowError as error:
            rejected.append(RejectedRow(path.name, line, error.column, error.code, error.detail))
    return found


def _milli(text: str) -> int:
    if _DECIMAL.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a number")
    return int(Decimal(text) * 1000)


def _chip(row: _Row) -> Chip:
    return Chip(
        name=row.text("chip_model"),
        chip_class=row.optional("class", str),
        domestic={"true": True, "false": False, "": None}[row.choice("domestic", "true", "false", "")],
        memory_milli_gb=row.optional("memory_gb", _milli),
        fp16_milli_tflops=row.optional("fp16_tflops", _milli),
    )


def _buyer(row: _Row) -> tuple[str, Facts]:
    integrity = row.choice("integrity", "clean", "flagged")
    return row.text("buyer"), Facts(
        kind=row.choice("kind", "startup", "sme", "enterprise", "institute", "university"),
        prior_year_revenue_fen=row.optional("prior_year_revenue_cny", parse_cny),
        registered_city=row.optional("registered_city", str),
        integrity=integrity,
        project_lead=row.choice("project_lead", "none", "provincial", "national"),
        # A market's facts have no dates: what is clean always was.
        clean_since=date.min if integrity == "clean" else None,
    )


def _supplier(row: _Row) -> tuple[str, bool]:
    return row.text("supplier"), row.choice("partner", "yes", "no") == "yes"


def _price(row: _Row, column: str) -> int:
    price = row.read(column, parse_cny)
    if price > limits.MAX_PRICE_FEN:
        raise _RowError(column, f"limit_{column}", f"{column} is above {limits.MAX_PRICE_FEN // 100} CNY")
    return price


def _offer(row: _Row, suppliers: dict[str, tuple[str, bool]], chips: dict[str, Chip]) -> Offer:
    ref, supplier, chip = row.text("offer_ref"), row.text("supplier"), row.text("chip_model")
    if supplier not in suppliers:
        raise _RowError("supplier", "unknown_supplier", f"{supplier!r} is not in suppliers.csv")
    if chip not in chips:
        raise _RowError("chip_model", "unknown_chip", f"{chip!r} is not among the chips")
    cards = row.whole("cards", 1, limits.MAX_CARDS)
    start, end = row.read("available_from", parse_rfc3339), row.read("available_to", parse_rfc3339)
    if start >= end:
        raise _RowError("available_to", "window_reversed", "available_to is not after available_from")
    first, last = hour_index(ceil_hour(start)), hour_index(floor_hour(end))
    return Offer(
        ref=ref,
        supplier=supplier,
        region=row.text("region"),
        chip=chip,
        cards_per_node=row.whole("cards_per_node", 1, limits.MAX_CARDS),
        interconnect_gbps=row.optional("interconnect_gbps", _whole_text),
        price_fen=_price(row, "price_cny"),
        list_price_fen=_price(row, "list_price_cny"),
        subsidy_class="",
        steps=((first, cards), (last, 0)) if first < last else ((first, 0),),
    )


def _whole_text(text: str) -> int:
    if _WHOLE.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def _hours(row: _Row) -> int:
    """Return hours rounded up to whole ones."""
    text = row.text("hours")
    if _DECIMAL.fullmatch(text) is None or Decimal(text) <= 0:
        raise _RowError("hours", "not_positive", f"{text!r} is not a number of hours above 0")
    hours = int(Decimal(text).to_integral_value(ROUND_CEILING))
    if hours > limits.MAX_BLOCK_HOURS:
        raise _RowError("hours", "limit_hours", f"{text} hours are above {limits.MAX_BLOCK_HOURS}")
    return hours


def _chips(row: _Row) -> str:
    text = row.text("chips")
    if any(not term.strip() or term.strip() == "class:" for term in text.split("|")):
        raise _RowError("chips", "not_a_selector", f"{text!r} is not any, domestic, class:NAME or models joined by |")
    return text


def _request(row: _Row, buyers: dict[str, tuple[str, Facts]]) -> Request:
    ref, buyer = row.text("request_ref"), row.text("buyer")
    if buyer not in buyers:
        raise _RowError("buyer", "unknown_buyer", f"{buyer!r} is not in buyers.csv")
    chips, hours = _chips(row), _hours(row)
    cards = row.whole("cards", 1, limits.MAX_CARDS)
    submitted, earliest, deadline = (
        row.read(column, parse_rfc3339) for column in ("submitted_at", "earliest_start", "deadline")
    )
    if earliest >= deadline:
        raise _RowError("deadline", "window_reversed", "deadline is not after earliest_start")
    weight = row.whole("priority", 1, limits.MAX_WEIGHT)
    blocks = row.whole("blocks", 1, limits.MAX_BLOCKS)
    least = row.whole("min_blocks", 1, limits.MAX_BLOCKS)
    if least > blocks:
        raise _RowError("min_blocks", "above_blocks", f"min_blocks {least} is above blocks {blocks}")
    most = _price(row, "max_net_price_cny") * cards * hours
    if most > limits.MAX_BLOCK_FEN or most * weight > limits.MAX_WEIGHTED_FEN:
        raise _RowError("max_net_price_cny", "limit_max_net_fen", "price x cards x hours (x priority) is too large")
    return Request(
        ref=ref,
        buyer=buyer,
        submitted_at=submitted,
        weight=weight,
        blocks=blocks,
        min_blocks=least,
        earliest_hour=hour_index(ceil_hour(earliest)),
        deadline_hour=hour_index(floor_hour(deadline)),
        alternatives=(Alternative(chips, cards, hours, most, most),),
    )


def find_chips(folder: Path, chips: Path | None) -> Path | None:
    """Return the chips file of a market: the one given, else beside it or up to two folders above, else none.

    Raises:
        MarketError: if the one given is not there.
    """
    tried = [chips] if chips is not None else [folder / up / "chips.csv" for up in (".", "..", "../..")]
    found = next((path for path in tried if path.is_file()), None)
    if found is None and chips is not None:
        raise MarketError(f"{chips} is not a file")
    return found


def _read_chips(folder: Path, chips: Path | None, rejected: list[RejectedRow]) -> dict[str, Chip]:
    """Return the chips by name, those of the shipped catalogue where the market brings no file of its own."""
    path = find_chips(folder, chips)
    if path is not None:
        return _read_table(path, lambda chip: chip.name, _chip, rejected)
    return {
        row.name: Chip(
            name=row.name,
            chip_class=row.chip_class,
            domestic=row.domestic,
            memory_milli_gb=None if row.memory_gb is None else int(row.memory_gb * 1000),
            fp16_milli_tflops=None if row.fp16_tflops is None else int(row.fp16_tflops * 1000),
        )
        for row in shipped_chips()
    }


def read_market(folder: Path, chips_path: Path | None = None) -> Market:
    """Read a market folder.

    Raises:
        MarketError: if a file is missing, has other columns or isn't text.
    """
    if not folder.is_dir():
        raise MarketError(f"{folder} is not a folder")
    rejected: list[RejectedRow] = []
    chips = _read_chips(folder, chips_path, rejected)
    suppliers = _read_table(folder / "suppliers.csv", lambda row: row[0], _supplier, rejected)
    buyers = _read_table(folder / "buyers.csv", lambda row: row[0], _buyer, rejected)
    offers = _read_table(
        folder / "offers.csv", lambda offer: offer.ref, lambda row: _offer(row, suppliers, chips), rejected
    )
    requests = _read_table(
        folder / "requests.csv", lambda request: request.ref, lambda row: _request(row, buyers), rejected
    )
    return Market(
        chips=tuple(chips.values()),
        offers=tuple(offers.values()),
        requests=tuple(requests.values()),
        buyers=dict(buyers.values()),
        partners=frozenset(supplier for supplier, is_partner in suppliers.values() if is_partner),
        rejected=tuple(sorted(rejected, key=lambda row: (row.file, row.line))),
    )


def first_requests(market: Market, limit: int | None) -> tuple[Request, ...]:
    """Return the first requests by submission, then ref."""
    ordered = sorted(market.requests, key=lambda request: (request.submitted_at, request.ref))
    return tuple(ordered if limit is None else ordered[:limit])


def default_as_of(market: Market) -> datetime | None:
    """Return the earliest submission."""
    return min((request.submitted_at for request in market.requests), default=None)


def instance_of(
    market: Market,
    programmes: tuple[Programme, ...],
    as_of: datetime | None,
    limit_requests: int | None,
    offer_changes: tuple[OfferChange, ...] = (),
) -> Instance:
    """Return the market, its offers changed for a what-if, as an instance; a partner is one of every programme.

    Raises:
        InstanceError: if the market is over a limit, or a change does not fit it.
    """
    requests = first_requests(market, limit_requests)
    reads = Reads(programmes if as_of is not None else ())
    domestic = {chip.name: chip.domestic for chip in market.chips}
    ids = frozenset(programme.id for programme in programmes)
    standings = (ids, frozenset[str]())
    # Both kinds of supplier have a class, whether or not the market has such offers.
    sellers = {
        reads.subsidy_class(each): each for of in standings if (each := Seller(SupplierFacts(partner_of=of), None))
    }
    offers: list[Offer] = []
    for offer in market.offers:
        partner_of = standings[offer.supplier not in market.partners]
        seller = Seller(SupplierFacts(partner_of=partner_of), domestic[offer.chip])
        offers.append(replace(offer, subsidy_class=reads.subsidy_class(seller)))
        sellers.setdefault(offers[-1].subsidy_class, seller)
    parties: dict[str, Party] = {}
    asked: list[Request] = []
    for request in requests:
        if as_of is None:
            asked.append(request)
            continue
        hours = max(each.hours for each in request.alternatives)
        contract = reads.contract(as_of, hours=hours, blocks=request.blocks)
        party = Party(request.buyer, market.buyers[request.buyer], contract)
        asked.append(replace(request, standing=reads.standing(party)))
        parties[asked[-1].party] = party
    options, budgets = options_and_budgets(reads, parties, sellers)
    instance = Instance(
        chips=market.chips, offers=tuple(offers), requests=tuple(asked), budgets=budgets, options=options
    )
    return change_offers(instance, offer_changes)
