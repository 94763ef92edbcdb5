"""What rules read: dated facts of organisations as of a contract's signing, and the contract itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

ItemKind = Literal["compute", "storage", "network", "security"]
Level = Literal["national", "province", "city", "district"]


@dataclass(frozen=True, slots=True)
class DatedFact:
    """A statement about an organisation that holds from a day on, until a later one of the same key."""

    key: str
    value: str | int | bool
    valid_from: date


@dataclass(frozen=True, slots=True)
class Facts:
    """What rules read of a buyer; `None` is not known, and then no clause that asks for it is met.

    `clean_since` is the day since which the integrity record has been clean without a break.
    """

    kind: str | None = None
    prior_year_revenue_fen: int | None = None
    registered_city: str | None = None
    integrity: str | None = None
    project_lead: str | None = None
    clean_since: date | None = None


@dataclass(frozen=True, slots=True)
class SupplierFacts:
    """What rules read of a supplier, some of it about one buyer; `None` is not known.

    `partner_of` are the programmes whose partner it is, `batches` the batch of each list that names one, and
    `affiliated` whether it is affiliated with the buyer. The sizes are those of its largest centre.
    """

    name: str | None = None
    partner_of: frozenset[str] = frozenset()
    batches: frozenset[tuple[str, str]] = frozenset()
    affiliated: bool | None = None
    centre_pflops: int | None = None
    centre_racks: int | None = None
    supercomputing: bool | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A line of a contract or a settlement, in fen."""

    kind: ItemKind
    amount_fen: int


@dataclass(frozen=True, slots=True)
class OtherSubsidy:
    """Another subsidy on the same contract: a programme of ours by its id, or any by its level, in fen."""

    programme: str | None = None
    level: Level | None = None
    amount_fen: int = 0


@dataclass(frozen=True, slots=True)
class ContractFacts:
    """What rules read of a contract.

    Attributes:
        signed_at: aware; facts count as of this day, and the budgets are those of its year.
        items: what is paid for; only what a programme counts is its base.
        hours: from start to end; `None` is not known.
        domestic: whether its chips are domestic ones.
        workload: what it runs, such as `model_service`.
        blocks: how many contracts such as this one the whole request is.
        year_contracts_fen: the buyer's contracts of the year on record, without those of this request.
        others: other subsidies on it.
        on_application: whether the buyer applied for what a stacking rule gives only on application.
        applied_at: aware; the signing where it is left out.
        applications: how many applications there are for it already, this one not counted.
    """

    signed_at: datetime
    items: tuple[Item, ...]
    hours: int | None = None
    domestic: bool | None = None
    workload: str | None = None
    blocks: int = 1
    year_contracts_fen: int = 0
    others: tuple[OtherSubsidy, ...] = ()
    on_application: bool = False
    applied_at: datetime | None = None
    applications: int = 0

    @property
    def amount_fen(self) -> int:
        """The whole contract's amount."""
        return sum(item.amount_fen for item in self.items)

    @property
    def year_fen(self) -> int:
        """The buyer's contracts of the year, this whole request counted at this contract's price."""
        return self.year_contracts_fen + self.blocks * self.amount_fen


def facts_on(history: Iterable[DatedFact], day: date) -> Facts:
    """Return the facts that hold on a day: of each key the latest that began by then."""
    latest: dict[str, DatedFact] = {}
    clean_since: date | None = None
    # The sort is stable: of two facts of one day the later stands.
    for fact in sorted(history, key=lambda fact: fact.valid_from):
        if fact.valid_from > day:
            break
        latest[fact.key] = fact
        if fact.key == "integrity":
            clean_since = None if fact.value != "clean" else clean_since or fact.valid_from
    values: dict[str, str | int | bool] = {key: fact.value for key, fact in latest.items()}
    revenue = values.get("prior_year_revenue_fen")

    def text(key: str) -> str | None:
        value = values.get(key)
        return value if isinstance(value, str) else None

    return Facts(
        kind=text("kind"),
        prior_year_revenue_fen=revenue if isinstance(revenue, int) and not isinstance(revenue, bool) else None,
        registered_city=text("registered_city"),
        integrity=text("integrity"),
        project_lead=text("project_lead"),
        clean_since=clean_since,
    )
