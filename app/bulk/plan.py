"""What an import does: rows against what exists → what to insert, to change, what is equal, what is wrong. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from app.accounts.models import FactKey, OrganisationState
from app.bulk import comparing, errors
from app.bulk.rows import (
    ChipRow,
    Finding,
    Format,
    Located,
    Market,
    OfferRow,
    OrganisationRow,
    RequestRow,
    Table,
)
from app.catalog.models import OfferState
from app.catalog.selectors import ChipSelector
from app.demand.models import RequestState
from app.kit.errors import ErrorCode
from app.kit.time import format_rfc3339

# The file's column of each fact, where its name differs from the fact's.
_BUYER_COLUMNS: Final = {FactKey.REVENUE.value: "prior_year_revenue_cny"}
_SUPPLIER_COLUMNS: Final = {FactKey.CITY.value: "city"}


@dataclass(frozen=True, slots=True)
class Importer:
    """Who imports: the desk everything, others only what is theirs (their references)."""

    is_desk: bool
    supplier: str | None = None
    buyer: str | None = None


@dataclass(frozen=True, slots=True)
class KnownOrganisation:
    """An organisation on record. `last` is the latest date of a fact of each kind, verified or not."""

    id: UUID
    row: OrganisationRow
    state: str
    last: Mapping[str, date]


@dataclass(frozen=True, slots=True)
class KnownOffer:
    """An offer on record; `usage` is what live reservations take: from each moment on, so many cards."""

    id: UUID
    row: OfferRow
    state: str
    usage: tuple[tuple[datetime, int], ...] = ()


@dataclass(frozen=True, slots=True)
class KnownRequest:
    """A request on record."""

    id: UUID
    row: RequestRow
    state: str
    has_live_reservations: bool


@dataclass(slots=True)
class Existing:
    """What is on record of what the market names; `largest_gang` is the most cards that an open offer ever has."""

    chips: dict[str, ChipRow] = field(default_factory=dict[str, ChipRow])
    buyers: dict[str, KnownOrganisation] = field(default_factory=dict[str, KnownOrganisation])
    suppliers: dict[str, KnownOrganisation] = field(default_factory=dict[str, KnownOrganisation])
    offers: dict[tuple[str, str], KnownOffer] = field(default_factory=dict[tuple[str, str], KnownOffer])
    requests: dict[tuple[str, str], KnownRequest] = field(default_factory=dict[tuple[str, str], KnownRequest])
    largest_gang: int = 0


@dataclass(slots=True)
class Plan:
    """What to write, how many rows of each file that is, and what to tell."""

    new_chips: list[ChipRow] = field(default_factory=list[ChipRow])
    changed_chips: list[ChipRow] = field(default_factory=list[ChipRow])
    new_suppliers: list[OrganisationRow] = field(default_factory=list[OrganisationRow])
    new_buyers: list[OrganisationRow] = field(default_factory=list[OrganisationRow])
    changed_organisations: list[tuple[KnownOrganisation, OrganisationRow]] = field(
        default_factory=list[tuple[KnownOrganisation, OrganisationRow]]
    )
    new_offers: list[OfferRow] = field(default_factory=list[OfferRow])
    changed_offers: list[tuple[UUID, OfferRow]] = field(default_factory=list[tuple[UUID, OfferRow]])
    new_requests: list[RequestRow] = field(default_factory=list[RequestRow])
    changed_requests: list[tuple[UUID, RequestRow]] = field(default_factory=list[tuple[UUID, RequestRow]])
    counts: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    bad: list[Finding] = field(default_factory=list[Finding])
    notices: list[Finding] = field(default_factory=list[Finding])


def make_plan(market: Market, existing: Existing, importer: Importer, *, update: bool, skip_bad: bool) -> Plan:
    """Compare every row with what exists.

    Args:
        market: the rows, shifted and in their namespace.
        existing: what is on record of what they name.
        importer: who imports.
        update: whether a row that exists with other values is changed; else it is refused.
        skip_bad: whether good rows are kept beside bad ones; then rows that refer to bad ones are bad as well.
    """
    planner = _Planner(market, existing, importer, update=update, skip_bad=skip_bad)
    return planner.run()


class _Planner:
    """One comparison; the tables in the order in which rows refer to one another."""

    def __init__(self, market: Market, existing: Existing, importer: Importer, *, update: bool, skip_bad: bool) -> None:
        self._market = market
        self._existing = existing
        self._importer = importer
        self._update = update
        self._skip_bad = skip_bad
        self._plan = Plan(bad=list(market.bad))
        self._models: set[str] = set()
        self._classes: set[str] = set()
        self._unknown_chips: dict[str, list[str]] = {}
        # Copies, since the same market is compared again where somebody else's write came between.
        self._bad_keys = {table.file: set(table.bad_keys) for table in market.tables}
        self._new_refs: dict[str, set[str]] = {"buyer": set(), "supplier": set()}
        self._largest = existing.largest_gang

    def run(self) -> Plan:
        """Return the plan."""
        market, plan = self._market, self._plan
        self._chips()
        if market.suppliers:
            self._organisations(
                market.suppliers, self._existing.suppliers, "supplier", _SUPPLIER_COLUMNS, plan.new_suppliers
            )
        if market.buyers:
            self._organisations(market.buyers, self._existing.buyers, "buyer", _BUYER_COLUMNS, plan.new_buyers)
        if market.offers:
            self._offers(market.offers)
        if market.requests:
            self._requests(market.requests)
        for table in market.tables:
            counts = self._count(table)
            counts["skipped"] = table.total - counts["inserted"] - counts["changed"] - counts["unchanged"]
        return plan

    def _count(self, table: Table[Any]) -> Counter[str]:
        return self._plan.counts.setdefault(table.file, Counter(inserted=0, changed=0, unchanged=0, skipped=0))

    def _refuse(self, table: Table[Any], at: Located[Any], column: str | None, code: ErrorCode, **params: Any) -> None:
        self._plan.bad.append(Finding(table.file, at.line, column, code.code, params))
        self._bad_keys[table.file].add(at.row.key)

    def _notice(self, table: Table[Any], at: Located[Any], column: str | None, code: ErrorCode, **params: Any) -> None:
        self._plan.notices.append(Finding(table.file, at.line, column, code.code, params))

    def _chips(self) -> None:
        catalogue = dict(self._existing.chips)
        table = self._market.chips
        for at in table.rows if table else ():
            assert table is not None  # noqa: S101  else there are no rows
            known = catalogue.get(at.row.name)
            if known is None:
                self._plan.new_chips.append(at.row)
                self._count(table)["inserted"] += 1
                catalogue[at.row.name] = at.row
                continue
            differing = comparing.chip_differences(at.row, known)
            if differing and self._update:
                catalogue[at.row.name] = comparing.settled_chip(at.row, known)
                self._plan.changed_chips.append(catalogue[at.row.name])
                self._count(table)["changed"] += 1
                continue
            self._count(table)["unchanged"] += 1
            for column, on_record, stated in differing:
                said = "nothing" if on_record is None else str(on_record)
                self._notice(
                    table, at, column, errors.CATALOGUE_DIFFERS, name=at.row.name, known=said, stated=str(stated)
                )
        self._models = set(catalogue)
        self._classes = {chip.chip_class for chip in catalogue.values() if chip.chip_class is not None}

    def _organisations(
        self,
        table: Table[OrganisationRow],
        known_by_ref: dict[str, KnownOrganisation],
        column: str,
        columns: Mapping[str, str],
        new: list[OrganisationRow],
    ) -> None:
        for at in table.rows:
            row, known = at.row, known_by_ref.get(at.row.ref)
            if known is None:
                new.append(row)
                self._new_refs[column].add(row.ref)
                self._count(table)["inserted"] += 1
                continue
            if known.state != OrganisationState.APPROVED.value:
                self._refuse(table, at, column, errors.NOT_APPROVED, ref=row.ref, state=known.state)
                continue
            differing = comparing.organisation_differences(row, known.row, columns)
            if not differing:
                self._count(table)["unchanged"] += 1
            elif self._update:
                self._plan.changed_organisations.append((known, row))
                self._count(table)["changed"] += 1
            else:
                self._differs(table, at, differing)

    def _differs(self, table: Table[Any], at: Located[Any], differing: list[str]) -> None:
        self._refuse(table, at, differing[0], errors.EXISTS_DIFFERENTLY, ref=at.row.ref, columns=", ".join(differing))

    def _owner_is_fine(self, table: Table[Any], at: Located[Any], column: str) -> bool:
        """Tell whether the row's owner may have it; refuse the row if not."""
        ref: str = at.row.owner
        mine = self._importer.supplier if column == "supplier" else self._importer.buyer
        if not self._importer.is_desk and ref != mine:
            self._refuse(table, at, column, errors.NOT_YOURS, ref=ref)
            return False
        return self._exists(table, at, column, column, ref)

    def _exists(self, table: Table[Any], at: Located[Any], column: str, role: str, ref: str) -> bool:
        """Tell whether an organisation is on record or comes with this market; refuse the row if not."""
        is_buyer = role == "buyer"
        organisation = (self._existing.buyers if is_buyer else self._existing.suppliers).get(ref)
        if organisation is not None and organisation.state != OrganisationState.APPROVED.value:
            self._refuse(table, at, column, errors.NOT_APPROVED, ref=ref, state=organisation.state)
            return False
        if organisation is not None or ref in self._new_refs[role]:
            return True
        owners = self._market.buyers if is_buyer else self._market.suppliers
        if self._comes_from_bad_row(table, at, column, owners, ref):
            return False
        self._refuse(table, at, column, errors.UNKNOWN_BUYER if is_buyer else errors.UNKNOWN_SUPPLIER, ref=ref)
        return False

    def _comes_from_bad_row(
        self, table: Table[Any], at: Located[Any], column: str, source: Table[Any] | None, ref: str
    ) -> bool:
        """Tell whether what is missing is in a refused row; that is told only where other rows may be kept."""
        if source is None or (source.readable and ("", ref) not in self._bad_keys[source.file]):
            return False
        if self._skip_bad:
            self._refuse(table, at, column, errors.DEPENDS, ref=ref, file=source.file)
        return True

    def _chip_is_known(self, table: Table[Any], at: Located[Any], column: str, names: list[str]) -> bool:
        for name in names:
            if not self._comes_from_bad_row(table, at, column, self._market.chips, name):
                self._refuse(table, at, column, errors.UNKNOWN_CHIP, name=name)
        return not names

    def _offers(self, table: Table[OfferRow]) -> None:
        for at in table.rows:
            row = at.row
            unknown = [] if row.chip_model in self._models else [row.chip_model]
            fine = self._owner_is_fine(table, at, "supplier")
            if not self._chip_is_known(table, at, "chip_model", unknown) or not fine:
                continue
            known = self._existing.offers.get(row.key)
            if known is None:
                self._plan.new_offers.append(row)
                self._count(table)["inserted"] += 1
            elif not self._known_offer(table, at, known):
                continue
            self._largest = max(self._largest, *(cards for _, cards in row.steps))

    def _known_offer(self, table: Table[OfferRow], at: Located[OfferRow], known: KnownOffer) -> bool:
        row = comparing.settled_offer(at.row, known.row, table.format)
        differing = comparing.offer_differences(row, known.row, table.format)
        if not differing:
            self._unchanged(table, at, is_withdrawn=known.state == OfferState.WITHDRAWN.value)
            return True
        if not self._update:
            self._differs(table, at, differing)
            return False
        if known.state != OfferState.OPEN.value:
            self._refuse(table, at, differing[0], errors.NOT_OPEN, state=known.state)
            return False
        relied_on = comparing.committed_differences(row, known.row) if known.usage else []
        if relied_on:
            self._refuse(table, at, relied_on[0], errors.OFFER_COMMITTED, columns=", ".join(relied_on))
            return False
        shortage = comparing.first_shortage(row.steps, known.usage)
        if shortage is not None:
            moment, reserved, cards = shortage
            column = "cards" if table.format is Format.CSV else "capacity"
            when = format_rfc3339(moment)
            self._refuse(table, at, column, errors.BELOW_COMMITMENTS, since=when, reserved=reserved, cards=cards)
            return False
        self._plan.changed_offers.append((known.id, row))
        self._count(table)["changed"] += 1
        return True

    def _unchanged(self, table: Table[Any], at: Located[Any], *, is_withdrawn: bool) -> None:
        self._count(table)["unchanged"] += 1
        if is_withdrawn:
            self._notice(table, at, None, errors.IS_WITHDRAWN, ref=at.row.ref)

    def _requests(self, table: Table[RequestRow]) -> None:
        for at in table.rows:
            fine = self._owner_is_fine(table, at, "buyer")
            fine = self._selectors_are_known(table, at) and fine
            fine = self._site_is_known(table, at) and fine
            known = self._existing.requests.get(at.row.key)
            row = self._with_priority(table, at, known.row if known else None) if fine else None
            if row is None:
                continue
            if known is not None:
                self._known_request(table, at, row, known)
                continue
            self._plan.new_requests.append(row)
            self._count(table)["inserted"] += 1
            smallest = min(alternative.cards for alternative in row.alternatives)
            if smallest > self._largest > 0:
                self._notice(table, at, "cards", errors.LARGER_THAN_ANY, cards=smallest, largest=self._largest)

    def _selectors_are_known(self, table: Table[RequestRow], at: Located[RequestRow]) -> bool:
        column = "chips" if table.format is Format.CSV else "alternatives"
        unknown: list[str] = []
        for alternative in at.row.alternatives:
            chips = alternative.chips
            if chips not in self._unknown_chips:
                self._unknown_chips[chips] = ChipSelector.parse(chips).unknown(self._models, self._classes)
            unknown += self._unknown_chips[chips]
        return self._chip_is_known(table, at, column, list(dict.fromkeys(unknown)))

    def _site_is_known(self, table: Table[RequestRow], at: Located[RequestRow]) -> bool:
        fine = True
        for column in ("suppliers_allowed", "suppliers_refused"):
            refs: tuple[str, ...] = getattr(at.row, column)
            for ref in refs:
                fine = self._exists(table, at, column, "supplier", ref) and fine
        return fine

    def _with_priority(
        self, table: Table[RequestRow], at: Located[RequestRow], known: RequestRow | None
    ) -> RequestRow | None:
        """Return the row with the priority that its importer may give it; 1 from a buyer leaves it to the desk."""
        row, on_record = at.row, known.priority if known else 1
        if self._importer.is_desk or row.priority == on_record:
            return row
        if row.priority == 1:
            return replace(row, priority=on_record)
        self._refuse(table, at, "priority", errors.PRIORITY_BY_DESK)
        return None

    def _known_request(
        self, table: Table[RequestRow], at: Located[RequestRow], stated: RequestRow, known: KnownRequest
    ) -> None:
        row = comparing.settled_request(stated, known.row, table.format)
        differing = comparing.request_differences(row, known.row, table.format)
        if not differing:
            self._unchanged(table, at, is_withdrawn=known.state == RequestState.WITHDRAWN.value)
        elif not self._update:
            self._differs(table, at, differing)
        elif known.has_live_reservations:
            self._refuse(table, at, differing[0], errors.REQUEST_COMMITTED)
        elif known.state != RequestState.OPEN.value:
            self._refuse(table, at, differing[0], errors.NOT_OPEN, state=known.state)
        else:
            self._plan.changed_requests.append((known.id, row))
            self._count(table)["changed"] += 1
