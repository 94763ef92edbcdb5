"""The rows of a market, the same from either format: frozen values, aware UTC times, money in integer fen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

from app.catalog.models import PriceUnit

MAX_FINDINGS: Final = 1_000
MAX_ROWS: Final = 1_000_000


class Kind(StrEnum):
    """The files of a market, by their names without suffix."""

    CHIPS = "chips"
    SUPPLIERS = "suppliers"
    BUYERS = "buyers"
    OFFERS = "offers"
    REQUESTS = "requests"


class Format(StrEnum):
    """How a market is written."""

    CSV = "csv"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to tell about a row: where, a stable code, and what fills the code's sentence.

    `line` is the physical line, the header's being 1; 0 stands for the file as a whole.
    """

    file: str
    line: int
    column: str | None
    code: str
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class ChipRow:
    """A chip model; None is unknown."""

    name: str
    vendor: str | None = None
    fp16_tflops: Decimal | None = None
    memory_gb: Decimal | None = None
    domestic: bool | None = None
    chip_class: str | None = None
    source: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What makes it one row and not another."""
        return ("", self.name)


@dataclass(frozen=True, slots=True)
class OrganisationRow:
    """A buyer or a supplier; `facts` holds what is stated, by fact key. None was not stated."""

    ref: str
    facts: Mapping[str, str | int | bool]
    name: str | None = None
    contact: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What makes it one row and not another."""
        return ("", self.ref)


@dataclass(frozen=True, slots=True)
class OfferRow:
    """An offer. `steps` ascend and end with 0 cards; `auto_accept` None was not stated."""

    ref: str
    supplier: str
    region: str
    chip_model: str
    cards_per_node: int
    interconnect_gbps: int | None
    price_fen: int
    list_price_fen: int
    steps: tuple[tuple[datetime, int], ...]
    price_unit: str = PriceUnit.CARD_HOUR.value
    posted_fen_per_instance_month: int | None = None
    listed_fen_per_instance_month: int | None = None
    auto_accept: bool | None = None

    @property
    def owner(self) -> str:
        """The reference of the organisation it belongs to."""
        return self.supplier

    @property
    def key(self) -> tuple[str, str]:
        """What makes it one row and not another."""
        return (self.supplier, self.ref)


@dataclass(frozen=True, slots=True)
class AlternativeRow:
    """One way to meet a block; `hours` as asked, the price per card-hour after subsidy."""

    chips: str
    cards: int
    hours: Decimal
    max_net_price_fen: int
    min_memory_gb: Decimal | None = None
    min_fp16_tflops: Decimal | None = None

    @property
    def shape(self) -> tuple[object, ...]:
        """All but the chips: alternatives of one shape can be written as one."""
        return (self.cards, self.hours, self.max_net_price_fen, self.min_memory_gb, self.min_fp16_tflops)


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A request. The site rules hold references of suppliers; empty and None rule nothing out."""

    ref: str
    buyer: str
    submitted_at: datetime
    earliest_start: datetime
    deadline: datetime
    alternatives: tuple[AlternativeRow, ...]
    priority: int = 1
    blocks: int = 1
    min_blocks: int = 1
    regions: tuple[str, ...] = ()
    suppliers_allowed: tuple[str, ...] = ()
    suppliers_refused: tuple[str, ...] = ()
    min_interconnect_gbps: int | None = None
    min_cards_per_node: int | None = None
    domestic: bool | None = None

    @property
    def owner(self) -> str:
        """The reference of the organisation it belongs to."""
        return self.buyer

    @property
    def key(self) -> tuple[str, str]:
        """What makes it one row and not another."""
        return (self.buyer, self.ref)


def joined_alternatives(alternatives: tuple[AlternativeRow, ...]) -> tuple[AlternativeRow, ...]:
    """Return the alternatives with those that differ only in chips written as one, joined by `|`."""
    if len(alternatives) == 1:
        return alternatives
    by_shape: dict[tuple[object, ...], list[AlternativeRow]] = {}
    for alternative in alternatives:
        by_shape.setdefault(alternative.shape, []).append(alternative)
    return tuple(
        AlternativeRow(
            chips="|".join(one.chips for one in same),
            cards=same[0].cards,
            hours=same[0].hours,
            max_net_price_fen=same[0].max_net_price_fen,
            min_memory_gb=same[0].min_memory_gb,
            min_fp16_tflops=same[0].min_fp16_tflops,
        )
        for same in by_shape.values()
    )


AnyRow = ChipRow | OrganisationRow | OfferRow | RequestRow
Row = TypeVar("Row", bound=AnyRow)


@dataclass(frozen=True, slots=True)
class Located(Generic[Row]):
    """A row and the physical line that it begins on."""

    line: int
    row: Row


@dataclass(slots=True)
class Table(Generic[Row]):
    """One file as read: its good rows, how many it has in all, and which keys its bad rows have."""

    file: str
    format: Format
    rows: list[Located[Row]] = field(default_factory=list[Located[Row]])
    total: int = 0
    bad_keys: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    readable: bool = True


@dataclass(slots=True)
class Market:
    """The files of one upload as read, and everything wrong with them."""

    chips: Table[ChipRow] | None = None
    suppliers: Table[OrganisationRow] | None = None
    buyers: Table[OrganisationRow] | None = None
    offers: Table[OfferRow] | None = None
    requests: Table[RequestRow] | None = None
    bad: list[Finding] = field(default_factory=list[Finding])

    @property
    def tables(self) -> "list[Table[Any]]":
        """The files that there are, in the order in which rows refer to one another."""
        every: tuple[Table[Any] | None, ...] = (self.chips, self.suppliers, self.buyers, self.offers, self.requests)
        return [table for table in every if table is not None]
