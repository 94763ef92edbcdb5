"""Database → what vouchers give to whom: the programmes that are open, the options of buyers, what is left of budgets.

A clearing's snapshot and a quote read them here. Everything runs with the system's eyes, or those of one who reads all.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.kit.db import ReadSession
from app.kit.money import format_cny
from app.matching.clearing_models import ClearingMode
from app.matching.clearing_options import ClearingIn
from app.matching.core.instance import Budget, Option
from app.matching.core.limits import MAX_COMPONENTS
from app.matching.core.subsidy import Purse
from app.matching.terms import Party, Reads, Seller, options_and_budgets
from app.reservations.spending import contracts_of_year
from app.vouchers import budgets as caps
from app.vouchers import rules, standing
from app.vouchers import service as vouchers
from app.vouchers.errors import PROGRAMME_NOT_OPEN
from app.vouchers.facts import Facts, SupplierFacts
from app.vouchers.models import ProgrammeVersion, ProgrammeYear
from app.vouchers.programmes import Programme, parse_programme
from app.vouchers.repository import find_versions, find_years, open_years


@dataclass(frozen=True, slots=True)
class Asked:
    """What rules read of a request: who asks, for how many blocks in all, how long the longest of its ways is.

    `request_id` is `None` for a need that is no request yet.
    """

    buyer: str
    buyer_org_id: UUID
    request_id: UUID | None
    blocks: int
    hours: int


@dataclass(frozen=True, slots=True)
class Listed:
    """What rules read of an offer; `domestic` as its chip is."""

    supplier_org_id: UUID
    domestic: bool | None


@dataclass(frozen=True, slots=True)
class Taken:
    """Subsidies in fen of one block, by (programme, tier), and what it costs."""

    cost_fen: int
    amounts: Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class Eligibility:
    """Which options may be taken, by request and by offer."""

    parties: Mapping[UUID | None, str]
    classes: Mapping[UUID, str]
    options: Mapping[tuple[str, str], Sequence[Option]]

    def allows(self, request_id: UUID | None, offer_id: UUID, taken: Taken) -> bool:
        """Tell whether a block of a request may take these subsidies on an offer; taking none is always allowed."""
        found = self.options.get((self.parties[request_id], self.classes[offer_id]), ())
        return not taken.amounts or any(_gives(option, taken) for option in found)


def _gives(option: Option, taken: Taken) -> bool:
    full = {(part.programme, part.tier): part.full_fen(taken.cost_fen) for part in option.components}
    return (
        full.keys() >= taken.amounts.keys()
        and min(full.values()) >= 0
        and all(amount <= full[tier] for tier, amount in taken.amounts.items())
        and sum(taken.amounts.values()) <= option.ceiling_fen(taken.cost_fen)
    )


@dataclass(frozen=True)
class BuyerTerms:
    """What the programmes that are open give to one buyer on some offers.

    `years` is the year and version of each programme, `purse` what is left of the budgets, and `whole` the same budgets
    before anything was drawn.
    """

    request_id: UUID | None
    eligible: Eligibility
    years: Mapping[str, tuple[int, int]]
    purse: Purse
    whole: Purse

    def allows(self, offer_id: UUID, taken: Taken) -> bool:
        """Tell whether these subsidies may be taken together on an offer."""
        return self.eligible.allows(self.request_id, offer_id, taken)


@dataclass(frozen=True)
class Standings:
    """Requests and offers as the rules tell them apart: the party of each request, the subsidy class of each offer."""

    reads: Reads
    parties: Mapping[str, Party]
    party_of: Mapping[UUID | None, str]
    sellers: Mapping[str, Seller]
    class_of: Mapping[UUID, str]


async def programmes_of(session: ReadSession, wanted: ClearingIn, now: datetime) -> list[Programme]:
    """Return the programmes of a run under the numbers that they are open with this year, or the what-if's.

    Raises:
        Problem: `programme_not_open` for a run that is to be applied.
    """
    newest = {version.programme_id: version for version in await find_versions(session)}
    settings = (
        {name: dict[str, str]() for name in newest}
        if wanted.programmes is None
        else {each.id: dict(each.set) for each in wanted.programmes}
    )
    years = await _open_now(session, [newest[name] for name in settings if name in newest], now)
    chosen: list[Programme] = []
    for name in sorted(settings):
        if name in years:
            chosen.append(_as_opened(*years[name], settings[name]))
        elif wanted.programmes is not None:
            own = _stored(newest[name]) if name in newest else None
            if wanted.mode is ClearingMode.APPLY or own is None:
                year = now.year if own is None else rules.contract_year(own, now)
                raise PROGRAMME_NOT_OPEN.problem(programme=name, year=year)
            # A dry run tells what it would do with the numbers that it would be opened with.
            chosen.append(parse_programme(newest[name].toml, name, settings[name]))
    return chosen


async def open_programmes(session: ReadSession, now: datetime) -> list[Programme]:
    """Return the programmes that are open this year, under the numbers that they are open with, by id."""
    newest = {version.programme_id: version for version in await find_versions(session)}
    years = await _open_now(session, newest.values(), now)
    return [_as_opened(*years[name], {}) for name in sorted(years)]


async def _open_now(
    session: ReadSession, newest: Iterable[ProgrammeVersion], now: datetime
) -> dict[str, tuple[ProgrammeYear, ProgrammeVersion]]:
    """Return those programmes that are open for the present year, each with the version that it is open under."""
    keys = {(version.programme_id, rules.contract_year(_stored(version), now)) for version in newest}
    return {name: found for (name, _), found in (await open_years(session, keys) if keys else {}).items()}


def _stored(version: ProgrammeVersion) -> Programme:
    return caps.programme_of(version.toml, version.sha256)


def _as_opened(year: ProgrammeYear, version: ProgrammeVersion, settings: dict[str, str]) -> Programme:
    opened = parse_programme(version.toml, year.programme_id, settings) if settings else _stored(version)
    numbers = {"pool_year_cny": year.pool_fen, "buyer_year_cny": year.buyer_year_fen}
    return opened.model_copy(
        update={key: None if fen is None else format_cny(fen) for key, fen in numbers.items() if key not in settings}
    )


async def load_buyer_terms(
    session: ReadSession, asked: Asked, offers: Mapping[UUID, Listed], now: datetime
) -> BuyerTerms:
    """Return what a buyer may get on these offers in contracts of now.

    Args:
        session: with the system's eyes, since the facts are others' too.
        asked: whose verified facts count, and for what.
        offers: by id.
        now: when the contracts are signed.
    """
    programmes = await open_programmes(session, now)
    standings = await load_standings(session, programmes, [asked], offers, now)
    every, whole = options_and_budgets(standings.reads, standings.parties, standings.sellers)
    left = await _load_left(session, programmes, {asked.buyer: asked.buyer_org_id}, now)
    # A clearing refuses a market where more stack; a quote is made of what it would accept.
    options = tuple(option for option in every if len(option.components) <= MAX_COMPONENTS)
    return BuyerTerms(
        request_id=asked.request_id,
        eligible=_eligibility(standings, options),
        years=years_of(programmes, now),
        purse=Purse.of(options, [Budget(each.name, left.get(each.name, each.limit_fen)) for each in whole]),
        whole=Purse.of(options, whole),
    )


def _eligibility(standings: Standings, options: Iterable[Option]) -> Eligibility:
    found: dict[tuple[str, str], list[Option]] = defaultdict(list)
    for option in options:
        found[option.buyer, option.subsidy_class].append(option)
    return Eligibility(standings.party_of, standings.class_of, found)


def years_of(programmes: Iterable[Programme], now: datetime) -> dict[str, tuple[int, int]]:
    """Return the year that a contract of now is of, and the version, by programme."""
    return {each.id: (rules.contract_year(each, now), each.version) for each in programmes}


async def load_standings(
    session: ReadSession,
    programmes: Sequence[Programme],
    requests: Sequence[Asked],
    offers: Mapping[UUID, Listed],
    now: datetime,
) -> Standings:
    """Return how the rules of programmes tell requests, and offers (by id), apart in contracts of now."""
    reads = Reads(programmes)
    refs = {each.buyer_org_id: each.buyer for each in requests}
    # Without a programme nothing is read of anybody.
    day = rules.signing_day(programmes[0], now) if programmes else now.date()
    suppliers = {each.supplier_org_id for each in offers.values()} if programmes else set[UUID]()
    facts = await standing.load_buyers(session, refs if programmes else (), day)
    known = await standing.load_suppliers(session, suppliers, {each.id for each in programmes}, day)
    groups = await standing.load_groups(session, day) if reads.affiliation else {}
    spent = await contracts_of_year(session, refs, programmes[0].zone, now) if reads.year else {}
    parties: dict[str, Party] = {}
    party_of: dict[UUID | None, str] = {}
    for each in requests:
        own = spent.get(each.buyer_org_id, {})
        record = sum(fen for request_id, fen in own.items() if request_id != each.request_id)
        contract = reads.contract(now, hours=each.hours, blocks=each.blocks, year_fen=record)
        party = Party(each.buyer, facts.get(each.buyer_org_id, Facts()), contract)
        party_of[each.request_id] = reads.standing(party) or each.buyer
        parties[party_of[each.request_id]] = party
    related = {
        supplier: frozenset(ref for org_id, ref in refs.items() if standing.affiliated(groups, supplier, org_id))
        for supplier in (suppliers if reads.affiliation else ())
    }
    sellers: dict[str, Seller] = {}
    class_of: dict[UUID, str] = {}
    for offer_id, each in offers.items():
        supplier = known.get(each.supplier_org_id, SupplierFacts())
        seller = Seller(supplier, each.domestic, related.get(each.supplier_org_id, frozenset()))
        class_of[offer_id] = reads.subsidy_class(seller)
        sellers.setdefault(class_of[offer_id], seller)
    return Standings(reads, parties, party_of, sellers, class_of)


async def load_eligibility(
    session: ReadSession,
    programmes: Sequence[Programme],
    requests: Sequence[Asked],
    offers: Mapping[UUID, Listed],
    now: datetime,
) -> Eligibility:
    """Return which options of these programmes requests may take on offers in contracts of now."""
    standings = await load_standings(session, programmes, requests, offers, now)
    options, _ = options_and_budgets(standings.reads, standings.parties, standings.sellers)
    return _eligibility(standings, options)


async def load_options(
    session: ReadSession, standings: Standings, buyers: Mapping[str, UUID], now: datetime
) -> tuple[tuple[Option, ...], tuple[Budget, ...]]:
    """Return the options of all parties on all subsidy classes, and what is left of the budgets they draw on."""
    left = await _load_left(session, standings.reads.programmes, buyers, now)
    return options_and_budgets(standings.reads, standings.parties, standings.sellers, left)


async def _load_left(
    session: ReadSession, programmes: Sequence[Programme], buyers: Mapping[str, UUID], now: datetime
) -> dict[str, int]:
    """Return what is left of the programmes' budgets, by name, open earmarks counted."""
    left: dict[str, int] = {}
    opened = {} if not programmes else {(year.programme_id, year.year): year for year in await find_years(session)}
    for programme in programmes:
        year = rules.contract_year(programme, now)
        row = opened.get((programme.id, year))
        if row is None:
            continue
        found = await vouchers.load_budgets(session, programme.id, year, set(buyers.values()))
        pool = caps.cny_fen(programme.pool_year_cny)
        if pool is not None:
            left[rules.pool_name(programme, year)] = _left(pool, row.pool_fen, found.pool_fen)
        quota = caps.cny_fen(programme.buyer_year_cny)
        for name, org_id in buyers.items():
            if quota is not None:
                key = rules.buyer_name(programme, name, year)
                left[key] = _left(quota, row.buyer_year_fen, found.buyer_fen[org_id])
            for tier in programme.tiers:
                if (tier.id, org_id) in found.tier_fen:
                    left[rules.total_name(programme, tier, name)] = found.tier_fen[tier.id, org_id]
    return left


def _left(cap_fen: int, open_fen: int | None, left_fen: int | None) -> int:
    """Return what is left of a cap, which a what-if may have set otherwise than it is open with."""
    used = 0 if open_fen is None or left_fen is None else open_fen - left_fen
    return max(0, cap_fen - used)
