"""Tiers taken alone or together: every choice of a buyer with a supplier, and the best one for a contract.

A clearing can't ask `rules.decide` for each of its columns. Between the amounts that some rule names nothing changes
with a contract's amount, so that asking once for each such range says it for all.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise, product

from app.vouchers.facts import ContractFacts, Facts, Item, OtherSubsidy, SupplierFacts
from app.vouchers.policy import Programme, Tier
from app.vouchers.rules import (
    Decision,
    Left,
    TierTerms,
    clauses_of,
    contract_year,
    decide,
    rate_of,
    size_bounds,
    tier_terms,
)


@dataclass(frozen=True, slots=True)
class Part:
    """A programme's tier in a choice, at the rate that holds there."""

    programme: str
    tier: str
    rate_ppm: int


@dataclass(frozen=True, slots=True)
class Choice:
    """Tiers that may be taken together on contracts of `from_fen` to `to_fen` (None: without end)."""

    parts: tuple[Part, ...]
    ceiling_ppm: int | None
    from_fen: int
    to_fen: int | None


@dataclass(frozen=True, slots=True)
class OptionTerms:
    """Tiers taken together as numbers for one buyer, with the ceiling of their sum where programmes stack."""

    ceiling_ppm: int | None
    components: tuple[TierTerms, ...]


@dataclass(frozen=True, slots=True)
class Together:
    """What programmes give for a contract when taken together, in the order given."""

    decisions: tuple[Decision, ...]

    @property
    def programmes(self) -> tuple[str, ...]:
        """Which they are."""
        return tuple(decision.programme for decision in self.decisions)

    @property
    def amount_fen(self) -> int:
        """What they give in all; nothing where one of them gives nothing."""
        amounts = [decision.amount_fen for decision in self.decisions]
        return sum(amounts) if all(amounts) else 0


def groups(programmes: Iterable[Programme]) -> Iterator[tuple[Programme, ...]]:
    """Yield each programme alone, then every set of programmes that name each other or each other's level."""
    ordered = tuple(programmes)
    for size in range(1, len(ordered) + 1):
        for group in combinations(ordered, size):
            if all(_names(one, two) and _names(two, one) for one, two in combinations(group, 2)):
                yield group


def _names(one: Programme, other: Programme) -> bool:
    return any(
        other.id == stack.with_programme if stack.with_programme is not None else other.level == stack.with_level
        for stack in one.all_stacks
    )


def choices_for(
    programmes: Iterable[Programme], facts: Facts, contract: ContractFacts, supplier: SupplierFacts
) -> tuple[Choice, ...]:
    """Return every choice of a buyer with a supplier, for contracts of every amount.

    Args:
        programmes: those that are open, by id.
        facts: the buyer's as of the signing.
        contract: all but its amount: `items` and `others` are not read.
        supplier: its facts as of the signing.
    """
    open_tiers = {
        programme.id: [tier for tier in programme.tiers if _ever_open(programme, tier, facts, contract, supplier)]
        for programme in programmes
    }
    found: list[Choice] = []
    for group in groups(programme for programme in programmes if open_tiers[programme.id]):
        for tiers in product(*(open_tiers[programme.id] for programme in group)):
            members = tuple(zip(group, tiers, strict=True))
            found.extend(_choices(members, facts, contract, supplier))
    return tuple(found)


def _ever_open(
    programme: Programme, tier: Tier, facts: Facts, contract: ContractFacts, supplier: SupplierFacts
) -> bool:
    """Whether a tier is open for a contract of some amount, nothing else being on it."""
    return any(
        _all_met(programme, tier, facts, _of(contract, low), supplier)
        for low, _ in _ranges(size_bounds(tier, contract))
    )


def _all_met(programme: Programme, tier: Tier, facts: Facts, contract: ContractFacts, supplier: SupplierFacts) -> bool:
    return all(finding.met for finding in clauses_of(programme, tier, contract, facts, supplier))


def _choices(
    members: Sequence[tuple[Programme, Tier]], facts: Facts, contract: ContractFacts, supplier: SupplierFacts
) -> Iterator[Choice]:
    """Yield the choice of these tiers for each range of amounts that it holds for, like neighbours as one."""
    bounds = frozenset[int]().union(*(size_bounds(tier, contract) for _, tier in members))
    last: Choice | None = None
    for low, high in _ranges(bounds):
        found = _choice(members, facts, _of(contract, low), supplier)
        if found is not None and last is not None and found == (last.parts, last.ceiling_ppm):
            last = replace(last, to_fen=high)
            continue
        if last is not None:
            yield last
        last = None if found is None else Choice(*found, low, high)
    if last is not None:
        yield last


def _choice(
    members: Sequence[tuple[Programme, Tier]], facts: Facts, contract: ContractFacts, supplier: SupplierFacts
) -> tuple[tuple[Part, ...], int | None] | None:
    parts: list[Part] = []
    ceilings: list[int] = []
    for programme, tier in members:
        others = tuple(OtherSubsidy(other.id, other.level) for other, _ in members if other.id != programme.id)
        own = replace(contract, others=others)
        if not _all_met(programme, tier, facts, own, supplier):
            return None
        rate, ceiling = rate_of(programme, tier, own, facts)
        parts.append(Part(programme.id, tier.id, rate))
        ceilings += [] if ceiling is None else [ceiling]
    return tuple(parts), min(ceilings, default=None)


def _of(contract: ContractFacts, amount_fen: int) -> ContractFacts:
    return replace(contract, items=(Item("compute", amount_fen),), others=())


def _ranges(bounds: Iterable[int]) -> list[tuple[int, int | None]]:
    """Return the ranges of amounts that these largest amounts end, the last without end."""
    edges = [-1, *sorted(bounds)]
    return [*((low + 1, high) for low, high in pairwise(edges)), (edges[-1] + 1, None)]


def options_of(
    choices: Iterable[Choice], programmes: Mapping[str, Programme], buyer: str, contract: ContractFacts
) -> tuple[OptionTerms, ...]:
    """Return choices as numbers for one buyer, by whose ref its budgets are named."""
    return tuple(
        OptionTerms(
            choice.ceiling_ppm,
            tuple(_terms(part, choice, programmes[part.programme], buyer, contract) for part in choice.parts),
        )
        for choice in choices
    )


def _terms(part: Part, choice: Choice, programme: Programme, buyer: str, contract: ContractFacts) -> TierTerms:
    tier = next(tier for tier in programme.tiers if tier.id == part.tier)
    terms = tier_terms(programme, tier, buyer, contract_year(programme, contract.signed_at), rate_ppm=part.rate_ppm)
    return replace(terms, from_fen=choice.from_fen, to_fen=choice.to_fen)


def decide_together(
    programmes: Sequence[Programme],
    contract: ContractFacts,
    buyer: Facts,
    supplier: SupplierFacts,
    left: Mapping[str, Left] | None = None,
) -> tuple[Together, ...]:
    """Return what programmes give alone and, where they stack, together; the best first, of equals the fewest.

    Of those taken together each is decided in the order given, with what those before it gave.

    Args:
        programmes: which, such as a city's first and then what comes on top.
        contract: the facts of it; its `others` are subsidies besides these.
        buyer: its facts on the day of the signing.
        supplier: likewise.
        left: of the budgets, by programme; untouched where one is left out.
    """
    found: list[Together] = []
    for group in groups(programmes):
        decisions: list[Decision] = []
        for position, programme in enumerate(group):
            before = [OtherSubsidy(each.id, each.level) for each in group[position + 1 :]]
            before += [
                OtherSubsidy(each.id, each.level, decision.amount_fen)
                for each, decision in zip(group[:position], decisions, strict=True)
            ]
            own = replace(contract, others=(*contract.others, *before))
            decisions.append(decide(programme, own, buyer, supplier, (left or {}).get(programme.id)))
        found.append(Together(tuple(decisions)))
    return tuple(sorted(found, key=lambda each: (-each.amount_fen, len(each.decisions))))
