"""Database → what vouchers give to whom: the programmes that are open, the options of buyers, what is left of budgets.

A clearing's snapshot and a quote read them here. Everything runs with the system's eyes, or those of one who reads all.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.accounts.models import FactKey
from app.accounts.repository import listed_partners, verified_facts
from app.kit.db import ReadSession
from app.kit.ids import encode_id
from app.kit.money import format_cny
from app.matching.clearing_models import ClearingMode
from app.matching.clearing_options import ClearingIn
from app.matching.core.instance import Budget, Option
from app.matching.core.limits import MAX_COMPONENTS
from app.matching.core.subsidy import Purse
from app.matching.terms import options_and_budgets, subsidy_class
from app.vouchers import budgets as caps
from app.vouchers import rules
from app.vouchers import service as vouchers
from app.vouchers.errors import PROGRAMME_NOT_OPEN
from app.vouchers.models import ProgrammeVersion, ProgrammeYear
from app.vouchers.programmes import Programme, parse_programme
from app.vouchers.repository import find_versions, find_years, open_years
from app.vouchers.rules import DatedFact, Facts


@dataclass(frozen=True)
class Eligibility:
    """Which tiers, as (programme, tier), may be taken together, by buyer's ref and subsidy class.

    `classes` is the subsidy class of an offer or a supplier, by id.
    """

    classes: Mapping[UUID, str]
    tiers: Mapping[tuple[str, str], Sequence[frozenset[tuple[str, str]]]]

    def allows(self, buyer: str, seller: UUID, tiers: Collection[tuple[str, str]]) -> bool:
        """Tell whether a buyer may take these tiers together with a seller; taking none is always allowed."""
        found = self.tiers.get((buyer, self.classes[seller]), ())
        return not tiers or any(each.issuperset(tiers) for each in found)


@dataclass(frozen=True)
class BuyerTerms:
    """What the programmes that are open give to one buyer on some offers.

    `years` is the year and version of each programme, `purse` what is left of the budgets, and `whole` the same budgets
    before anything was drawn.
    """

    buyer: str
    eligible: Eligibility
    years: Mapping[str, tuple[int, int]]
    purse: Purse
    whole: Purse

    def allows(self, offer_id: UUID, tiers: Collection[tuple[str, str]]) -> bool:
        """Tell whether these tiers may be taken together on an offer."""
        return self.eligible.allows(self.buyer, offer_id, tiers)


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
    session: ReadSession, buyer_org_id: UUID, suppliers: Mapping[UUID, UUID], now: datetime
) -> BuyerTerms:
    """Return what a buyer may get on these offers in a contract of now.

    Args:
        session: with the system's eyes, since the facts are others' too.
        buyer_org_id: whose verified facts count.
        suppliers: of each offer.
        now: when the contract is signed.
    """
    programmes = await open_programmes(session, now)
    partner_of = await load_partners(session, set(suppliers.values()), programmes, now)
    classes = {subsidy_class(found): found for found in partner_of.values()}
    buyer = encode_id("org", buyer_org_id)
    buyers = {buyer: buyer_org_id}
    facts = await _load_facts(session, programmes, buyers, now)
    every, whole = options_and_budgets(programmes, facts, classes, now)
    _, left = options_and_budgets(programmes, facts, classes, now, await _load_left(session, programmes, buyers, now))
    # A clearing refuses a market where more stack; a quote is made of what it would accept.
    options = tuple(option for option in every if len(option.components) <= MAX_COMPONENTS)
    return BuyerTerms(
        buyer=buyer,
        eligible=_eligibility(
            {offer: subsidy_class(partner_of[supplier]) for offer, supplier in suppliers.items()}, options
        ),
        years=years_of(programmes, now),
        purse=Purse.of(options, left),
        whole=Purse.of(options, whole),
    )


def _eligibility(classes: Mapping[UUID, str], options: Iterable[Option]) -> Eligibility:
    tiers: dict[tuple[str, str], list[frozenset[tuple[str, str]]]] = defaultdict(list)
    for option in options:
        taken = frozenset((component.programme, component.tier) for component in option.components)
        tiers[option.buyer, option.subsidy_class].append(taken)
    return Eligibility(classes, tiers)


def years_of(programmes: Iterable[Programme], now: datetime) -> dict[str, tuple[int, int]]:
    """Return the year that a contract of now is of, and the version, by programme."""
    return {each.id: (rules.contract_year(each, now), each.version) for each in programmes}


async def load_eligibility(
    session: ReadSession,
    programmes: Sequence[Programme],
    buyers: Mapping[str, UUID],
    suppliers: Collection[UUID],
    now: datetime,
) -> Eligibility:
    """Return which tiers of these programmes buyers (by ref) may take with these suppliers in a contract of now."""
    partner_of = await load_partners(session, suppliers, programmes, now)
    classes = {subsidy_class(found): found for found in partner_of.values()}
    facts = await _load_facts(session, programmes, buyers, now)
    options, _ = options_and_budgets(programmes, facts, classes, now)
    return _eligibility({supplier: subsidy_class(found) for supplier, found in partner_of.items()}, options)


async def load_options(
    session: ReadSession,
    programmes: Sequence[Programme],
    buyers: Mapping[str, UUID],
    classes: Mapping[str, frozenset[str]],
    now: datetime,
) -> tuple[tuple[Option, ...], tuple[Budget, ...]]:
    """Return the options of buyers (by ref) on subsidy classes, and what is left of the budgets they draw on."""
    facts = await _load_facts(session, programmes, buyers, now)
    return options_and_budgets(programmes, facts, classes, now, await _load_left(session, programmes, buyers, now))


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
                    left[f"{programme.id}/{tier.id}/buyer/{name}"] = found.tier_fen[tier.id, org_id]
    return left


def _left(cap_fen: int, open_fen: int | None, left_fen: int | None) -> int:
    """Return what is left of a cap, which a what-if may have set otherwise than it is open with."""
    used = 0 if open_fen is None or left_fen is None else open_fen - left_fen
    return max(0, cap_fen - used)


async def _load_facts(
    session: ReadSession, programmes: Sequence[Programme], buyers: Mapping[str, UUID], now: datetime
) -> dict[str, Facts]:
    """Return what rules read of buyers, by ref, on the day of the signing: verified facts alone count."""
    if not programmes:
        return {}
    day = rules.signing_day(programmes[0], now)
    history: dict[UUID, list[DatedFact]] = {org_id: [] for org_id in buyers.values()}
    for org_id, key, value, valid_from in await verified_facts(session, history):
        history[org_id].append(DatedFact(key, value, valid_from))
    return {ref: rules.facts_on(history[org_id], day) for ref, org_id in buyers.items()}


async def load_partners(
    session: ReadSession, suppliers: Collection[UUID], programmes: Sequence[Programme], now: datetime
) -> dict[UUID, frozenset[str]]:
    """Return of which programmes each supplier is a partner: by the programme's list, or of all by a verified fact."""
    names = frozenset(programme.id for programme in programmes)
    found: dict[UUID, frozenset[str]] = {org_id: frozenset() for org_id in suppliers}
    if not programmes:
        return found
    day = rules.signing_day(programmes[0], now)
    for org_id, name in await listed_partners(session, names, day):
        if org_id in found:
            found[org_id] |= {name}
    stated = {
        org_id: value
        for org_id, key, value, valid_from in await verified_facts(session, suppliers)
        if key == FactKey.PARTNER.value and valid_from <= day
    }
    return {org_id: names if stated.get(org_id) is True else lists for org_id, lists in found.items()}
