"""What a programme gives to whom: pure functions of a programme and dated facts.

Estimate, earmark, issue and redemption all take their amount from `subsidy_fen`; the clearing's columns obey the same
numbers, as `terms_for` states them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import combinations, product

from app.kit.money import floor_rate, parse_cny, ppm
from app.vouchers.programmes import Clause, Programme, Tier


@dataclass(frozen=True, slots=True)
class DatedFact:
    """A statement about an organisation that holds from a day on, until a later one of the same key."""

    key: str
    value: str | int | bool
    valid_from: date


@dataclass(frozen=True, slots=True)
class Facts:
    """What rules read of a buyer; `None` is not known, and then no clause that asks for it is met."""

    kind: str | None = None
    prior_year_revenue_fen: int | None = None
    registered_city: str | None = None
    integrity: str | None = None
    project_lead: str | None = None


@dataclass(frozen=True, slots=True)
class BudgetTerm:
    """A cap that a tier draws on: its name in a clearing and its yearly (or total) limit in fen."""

    name: str
    limit_fen: int


@dataclass(frozen=True, slots=True)
class TierTerms:
    """A tier for one buyer and year, as numbers."""

    programme: str
    tier: str
    rate_ppm: int
    min_fen: int
    cap_fen: int | None
    fixed: bool
    budgets: tuple[BudgetTerm, ...]


@dataclass(frozen=True, slots=True)
class OptionTerms:
    """Tiers taken together, with the ceiling of their sum where programmes stack."""

    ceiling_ppm: int | None
    components: tuple[TierTerms, ...]


def facts_on(history: Iterable[DatedFact], day: date) -> Facts:
    """Return the facts that hold on a day: of each key the latest that began by then."""
    latest: dict[str, DatedFact] = {}
    for fact in history:
        if fact.valid_from <= day and (fact.key not in latest or fact.valid_from >= latest[fact.key].valid_from):
            latest[fact.key] = fact
    values: Mapping[str, str | int | bool] = {key: fact.value for key, fact in latest.items()}
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
    )


def unmet(clause: Clause, facts: Facts) -> tuple[str, ...]:
    """Return the names of a clause's conditions that a buyer doesn't meet."""
    failed: list[str] = []
    if clause.kinds and facts.kind not in clause.kinds:
        failed.append("kind")
    least = clause.min_prior_year_revenue_cny
    if least is not None and (facts.prior_year_revenue_fen is None or facts.prior_year_revenue_fen < parse_cny(least)):
        failed.append("prior_year_revenue")
    if clause.integrity is not None and facts.integrity != clause.integrity:
        failed.append("integrity")
    if clause.project_lead and facts.project_lead not in clause.project_lead:
        failed.append("project_lead")
    if clause.registered_cities and facts.registered_city not in clause.registered_cities:
        failed.append("registered_city")
    return tuple(failed)


def refusal(programme: Programme, tier: Tier, facts: Facts, signed_on: date, *, partner: bool) -> tuple[str, ...]:
    """Return why a tier isn't open to a buyer with a supplier, empty if it is; of clauses, the nearest to being met."""
    failed: list[str] = []
    if programme.valid_from is not None and signed_on < programme.valid_from:
        failed.append("valid_from")
    if programme.valid_to is not None and signed_on > programme.valid_to:
        failed.append("valid_to")
    if programme.partners_only and not partner:
        failed.append("partner")
    failed.extend(min((unmet(clause, facts) for clause in tier.clauses), key=len))
    return tuple(failed)


def contract_year(programme: Programme, moment: datetime) -> int:
    """Return the programme's calendar year of a moment, in its own time zone."""
    return moment.astimezone(programme.zone).year


def signing_day(programme: Programme, moment: datetime) -> date:
    """Return the day of a moment in the programme's time zone."""
    return moment.astimezone(programme.zone).date()


def pool_name(programme: Programme, year: int) -> str:
    """Return the name of a programme's pool of a year."""
    return f"{programme.id}/pool/{year}"


def buyer_name(programme: Programme, buyer: str, year: int) -> str:
    """Return the name of a buyer's cap in a programme and year."""
    return f"{programme.id}/buyer/{buyer}/{year}"


def tier_terms(programme: Programme, tier: Tier, buyer: str, year: int) -> TierTerms:
    """Return a tier's numbers for one buyer and year."""
    budgets: list[BudgetTerm] = []
    if programme.pool_year_cny is not None:
        budgets.append(BudgetTerm(pool_name(programme, year), parse_cny(programme.pool_year_cny)))
    if programme.buyer_year_cny is not None:
        budgets.append(BudgetTerm(buyer_name(programme, buyer, year), parse_cny(programme.buyer_year_cny)))
    if tier.buyer_total_cny is not None:
        budgets.append(BudgetTerm(f"{programme.id}/{tier.id}/buyer/{buyer}", parse_cny(tier.buyer_total_cny)))
    return TierTerms(
        programme=programme.id,
        tier=tier.id,
        rate_ppm=tier.rate_ppm,
        min_fen=parse_cny(tier.minimum_voucher_cny),
        cap_fen=None if tier.contract_cap_cny is None else parse_cny(tier.contract_cap_cny),
        fixed=tier.mode == "fixed",
        budgets=tuple(budgets),
    )


def subsidy_fen(terms: TierTerms, contract_fen: int, left_fen: Iterable[int]) -> int:
    """Return the voucher of a contract under a tier: min(⌊rate × contract⌋, cap, what is left), or 0 below the minimum.

    The one rule for amounts: estimate, earmark and issue all call it; a redemption calls it on the cumulative base.
    """
    amount = floor_rate(terms.rate_ppm, contract_fen)
    if terms.cap_fen is not None:
        amount = min(amount, terms.cap_fen)
    amount = min([amount, *left_fen])
    return amount if amount >= terms.min_fen else 0


def _may_stack(programmes: Iterable[Programme]) -> bool:
    return all(
        other.id in programme.stacks_with
        for programme in programmes
        for other in programmes
        if other.id != programme.id
    )


def terms_for(
    programmes: Iterable[Programme], buyer: str, facts: Facts, moment: datetime, *, partner_of: Iterable[str]
) -> tuple[OptionTerms, ...]:
    """Return every option of a buyer with a supplier: each open tier alone, and those of programmes that stack.

    Args:
        programmes: The programmes that are open.
        buyer: The buyer's ref, as budgets are named by it.
        facts: The buyer's facts as of the signing.
        moment: When the contract is signed, aware.
        partner_of: The ids of the programmes whose partner the supplier is.
    """
    partners = frozenset(partner_of)
    open_tiers: dict[str, tuple[Programme, list[TierTerms]]] = {}
    for programme in sorted(programmes, key=lambda item: item.id):
        day = signing_day(programme, moment)
        year = contract_year(programme, moment)
        found = [
            tier_terms(programme, tier, buyer, year)
            for tier in programme.tiers
            if not refusal(programme, tier, facts, day, partner=programme.id in partners)
        ]
        if found:
            open_tiers[programme.id] = (programme, found)
    options: list[OptionTerms] = []
    for size in range(1, len(open_tiers) + 1):
        for group in combinations(open_tiers.values(), size):
            members = [programme for programme, _ in group]
            if size > 1 and not _may_stack(members):
                continue
            ceilings = [ppm_of(p.stacking_ceiling) for p in members if size > 1 and p.stacking_ceiling is not None]
            options.extend(
                OptionTerms(min(ceilings) if ceilings else None, components)
                for components in product(*(tiers for _, tiers in group))
            )
    return tuple(options)


def ppm_of(rate: str) -> int:
    """Return a rate in a programme as parts per million."""
    return ppm(Decimal(rate))
