"""The one rule function: what a programme gives for a contract, with each clause and the arithmetic. No database.

Estimate, earmark and issue take their amount from `decide`, a redemption its own from `redemption_fen`; the options of
a clearing are what `decide` says of contracts of every amount (`vouchers.stacking`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from app.kit.money import floor_rate, format_cny, parse_cny, ppm
from app.vouchers.clauses import (
    admits,
    at_least,
    clauses_of,
    contract_year,
    in_cny,
    row_holds,
    signing_day,
    stack_with,
)
from app.vouchers.facts import ContractFacts, DatedFact, Facts, Item, OtherSubsidy, SupplierFacts, facts_on
from app.vouchers.findings import Finding, Step, percent
from app.vouchers.policy import Programme, Tier, Title

__all__ = [
    "ContractFacts",
    "DatedFact",
    "Decision",
    "Facts",
    "Item",
    "Left",
    "OtherSubsidy",
    "SupplierFacts",
    "TierDecision",
    "admits",
    "base_fen",
    "clauses_of",
    "contract_year",
    "decide",
    "decide_tier",
    "facts_on",
    "rate_of",
    "redemption_fen",
    "signing_day",
    "size_bounds",
    "subsidy_fen",
    "tier_terms",
    "voucher_ends_at",
]
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class BudgetTerm:
    """A cap that a tier draws on: its name in a clearing and its yearly (or total) limit in fen."""

    name: str
    limit_fen: int


@dataclass(frozen=True, slots=True)
class TierTerms:
    """A tier for one buyer and year, as numbers; it holds for contracts of `from_fen` to `to_fen` (None: any)."""

    programme: str
    tier: str
    rate_ppm: int
    min_fen: int
    cap_fen: int | None
    fixed: bool
    budgets: tuple[BudgetTerm, ...]
    from_fen: int = 0
    to_fen: int | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a programme's budgets for a buyer, in fen; `None` is no cap. `tier_fen`: totals, by tier."""

    pool_fen: int | None = None
    buyer_year_fen: int | None = None
    tier_fen: Mapping[str, int | None] = field(default_factory=dict[str, int | None])


@dataclass(frozen=True, slots=True)
class TierDecision:
    """What one tier gives: each clause, and how the amount came about. 0 unless all clauses are met.

    `rate_ppm` is the rate that holds for this contract, also where some clause is missed.
    """

    tier: str
    rate_ppm: int
    amount_fen: int
    findings: tuple[Finding, ...]
    steps: tuple[Step, ...]

    @property
    def unmet(self) -> tuple[str, ...]:
        """The names of the clauses that are missed; empty where the tier is open."""
        return tuple(finding.name for finding in self.findings if not finding.met)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a programme gives for a contract: the best tier, and what each of the others would.

    `desk_checks` are what the facts can't tell: with any, the desk decides where the rules would issue. `year` is the
    calendar year of the signing, whose budgets it draws on.
    """

    programme: str
    version: int
    year: int
    best: TierDecision
    tiers: tuple[TierDecision, ...]
    desk_checks: tuple[Title, ...]

    @property
    def amount_fen(self) -> int:
        """The voucher, in fen."""
        return self.best.amount_fen

    @property
    def eligible(self) -> bool:
        """Whether every clause of the best tier is met; its budgets may still leave nothing."""
        return not self.best.unmet


def ppm_of(rate: str) -> int:
    """Return a rate in a programme as parts per million."""
    return ppm(Decimal(rate))


def pool_name(programme: Programme, year: int) -> str:
    """Return the name of a programme's pool of a year."""
    return f"{programme.id}/pool/{year}"


def buyer_name(programme: Programme, buyer: str, year: int) -> str:
    """Return the name of a buyer's cap in a programme and year."""
    return f"{programme.id}/buyer/{buyer}/{year}"


def total_name(programme: Programme, tier: Tier, buyer: str) -> str:
    """Return the name of a buyer's total under a tier."""
    return f"{programme.id}/{tier.id}/buyer/{buyer}"


def base_fen(programme: Programme, items: Iterable[Item]) -> int:
    """Return what of a contract's or a settlement's lines a programme counts, in fen."""
    return sum(item.amount_fen for item in items if item.kind not in programme.excluded_items)


def tier_terms(programme: Programme, tier: Tier, buyer: str, year: int, *, rate_ppm: int | None = None) -> TierTerms:
    """Return a tier's numbers for one buyer and year, at the tier's own rate unless another holds."""
    caps = (
        (pool_name(programme, year), programme.pool_year_cny),
        (buyer_name(programme, buyer, year), programme.buyer_year_cny),
        (total_name(programme, tier, buyer), tier.total_cny),
    )
    return TierTerms(
        programme=programme.id,
        tier=tier.id,
        rate_ppm=tier.rate_ppm if rate_ppm is None else rate_ppm,
        min_fen=parse_cny(tier.minimum_voucher_cny),
        cap_fen=None if tier.contract_cap_cny is None else parse_cny(tier.contract_cap_cny),
        fixed=tier.mode == "fixed",
        budgets=tuple(BudgetTerm(name, parse_cny(cap)) for name, cap in caps if cap is not None),
    )


def subsidy_fen(terms: TierTerms, contract_fen: int, left_fen: Iterable[int]) -> int:
    """Return the voucher of a contract under a tier: min(⌊rate × contract⌋, cap, what is left), or 0 below the minimum.

    Args:
        terms: the tier's numbers.
        contract_fen: what of the contract the programme counts.
        left_fen: of each budget, and under a ceiling where programmes stack.
    """
    amount = floor_rate(terms.rate_ppm, contract_fen)
    if terms.cap_fen is not None:
        amount = min(amount, terms.cap_fen)
    amount = max(0, min([amount, *left_fen]))
    return amount if amount >= terms.min_fen else 0


def redemption_fen(rate_ppm: int, cumulative_base_fen: int, redeemed_fen: int, voucher_fen: int) -> int:
    """Return what a settlement redeems of a voucher: ⌊rate × cumulative base⌋ − redeemed, bounded by the voucher.

    Args:
        rate_ppm: of the tier for this contract (`TierDecision.rate_ppm`).
        cumulative_base_fen: what the programme counts of all settlements so far, this one included.
        redeemed_fen: what was redeemed before, give-backs taken off.
        voucher_fen: what was issued.

    Returns:
        Fen; below 0 where a smaller cumulative base (a refund) means that some is to be given back.
    """
    return min(floor_rate(rate_ppm, cumulative_base_fen), voucher_fen) - redeemed_fen


def voucher_ends_at(programme: Programme, issued_at: datetime) -> datetime | None:
    """Return when a voucher of a programme ends: a day's end in its time zone; None where the programme sets no term.

    One that is valid for `n` days may be used on the day of issue and `n` days after it.
    """
    if programme.voucher_valid_days is None:
        return None
    day = signing_day(programme, issued_at) + (programme.voucher_valid_days + 1) * _DAY
    return datetime(day.year, day.month, day.day, tzinfo=programme.zone)


def decide(
    programme: Programme,
    contract: ContractFacts,
    buyer: Facts,
    supplier: SupplierFacts,
    left: Left | None = None,
    *,
    tier: str | None = None,
) -> Decision:
    """Return what a programme gives for a contract: estimate, earmark and issue all ask here.

    The best tier is the one with the largest amount; of equals the one with the fewest clauses missed, then the first.

    Args:
        programme: under whose rules.
        contract: facts as of the signing.
        buyer: its facts on the day of the signing.
        supplier: likewise.
        left: of the budgets of the signing's year; untouched ones where it is left out.
        tier: only this one, as that of a voucher which was earmarked under it.

    Raises:
        KeyError: if the programme has no such tier.
    """
    wanted = [each for each in programme.tiers if tier in (None, each.id)]
    if not wanted:
        raise KeyError(tier)
    found = tuple(decide_tier(programme, each, contract, buyer, supplier, left) for each in wanted)
    best = max(found, key=lambda each: (each.amount_fen, -len(each.unmet)))
    checks = next(each.desk_checks for each in wanted if each.id == best.tier)
    return Decision(
        programme=programme.id,
        version=programme.version,
        year=contract_year(programme, contract.signed_at),
        best=best,
        tiers=found,
        desk_checks=(*programme.desk_checks, *checks),
    )


def decide_tier(
    programme: Programme,
    tier: Tier,
    contract: ContractFacts,
    buyer: Facts,
    supplier: SupplierFacts,
    left: Left | None = None,
) -> TierDecision:
    """Return what one tier gives for a contract; see `decide`."""
    findings = clauses_of(programme, tier, contract, buyer, supplier)
    rate, ceiling = rate_of(programme, tier, contract, buyer)
    terms = tier_terms(programme, tier, "", contract_year(programme, contract.signed_at), rate_ppm=rate)
    steps, amount = _amount(programme, tier, terms, ceiling, contract, left)
    if amount == 0 and terms.min_fen and steps[-1].name == "minimum":
        findings += (Finding("minimum_voucher", False, at_least(terms.min_fen), in_cny(steps[-1].amount_fen)),)
    if not all(finding.met for finding in findings):
        amount = 0
    return TierDecision(tier.id, rate, amount, findings, (*steps, Step("amount", amount)))


def rate_of(programme: Programme, tier: Tier, contract: ContractFacts, buyer: Facts) -> tuple[int, int | None]:
    """Return the rate that a tier has for a contract, and the ceiling of all its subsidies, in parts per million."""
    row = next((row for row in tier.rates if row_holds(row, contract, buyer)), None)
    rate = ppm_of(tier.rate if row is None else row.rate)
    stacks = [stack for other in contract.others if (stack := stack_with(programme, other, contract)) is not None]
    rate = min([rate, *(ppm_of(stack.rate) for stack in stacks if stack.rate is not None)])
    ceiling = min((ppm_of(stack.ceiling) for stack in stacks if stack.ceiling is not None), default=None)
    return rate, ceiling


def _amount(
    programme: Programme, tier: Tier, terms: TierTerms, ceiling: int | None, contract: ContractFacts, left: Left | None
) -> tuple[tuple[Step, ...], int]:
    """Return the arithmetic of a voucher: base, rate, caps, what is left, and the least of them."""
    base = base_fen(programme, contract.items)
    steps = [Step("contract", contract.amount_fen)]
    if base != contract.amount_fen:
        steps.append(Step("excluded", contract.amount_fen - base, ", ".join(programme.excluded_items)))
        steps.append(Step("base", base))
    steps.append(Step("rate", floor_rate(terms.rate_ppm, base), percent(terms.rate_ppm)))
    if terms.cap_fen is not None:
        steps.append(Step("contract_cap", terms.cap_fen))
    year = contract_year(programme, contract.signed_at)
    pool, quota, total = (None if cap is None else parse_cny(cap) for cap in _caps(programme, tier))
    if left is not None:
        pool, quota, total = left.pool_fen, left.buyer_year_fen, left.tier_fen.get(tier.id)
    kinds = ((f"pool {year}", pool), (f"buyer's cap {year}", quota), (f"buyer's total, {tier.id}", total))
    bounds = [(name, fen) for name, fen in kinds if fen is not None]
    steps.extend(Step("left", fen, name) for name, fen in bounds)
    most = [fen for _, fen in bounds]
    if ceiling is not None:
        room = floor_rate(ceiling, base) - sum(other.amount_fen for other in contract.others)
        steps.append(Step("ceiling", max(0, room), percent(ceiling)))
        most.append(room)
    amount = subsidy_fen(terms, base, most)
    if amount == 0 and terms.min_fen:
        anyway = max(0, min([floor_rate(terms.rate_ppm, base), *most]))
        steps.append(Step("minimum", anyway, format_cny(terms.min_fen)))
    return tuple(steps), amount


def _caps(programme: Programme, tier: Tier) -> tuple[str | None, str | None, str | None]:
    return programme.pool_year_cny, programme.buyer_year_cny, tier.total_cny


def size_bounds(tier: Tier, contract: ContractFacts) -> frozenset[int]:
    """Return the largest amounts of a contract, in fen, before its amount changes a tier's rate or eligibility.

    Where the year's contracts decide, what the record and the other blocks of the request leave is what counts.
    """
    bounds: set[int] = set()
    for terms in (tier, *tier.rates):
        if terms.min_contract_cny is not None:
            bounds.add(parse_cny(terms.min_contract_cny) - 1)
        if terms.max_contract_cny is not None:
            bounds.add(parse_cny(terms.max_contract_cny))
        if terms.max_year_contracts_cny is not None:
            bounds.add((parse_cny(terms.max_year_contracts_cny) - contract.year_contracts_fen) // contract.blocks)
    return frozenset(bound for bound in bounds if bound >= 0)
