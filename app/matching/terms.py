"""From voucher rules to the core's options and budgets; market files and the database's snapshot share it.

What the rules read is more than the core knows. Of an offer it is its supplier's facts and the origin of its chips:
offers of which the rules say the same share a subsidy class. Of a request it is its buyer's facts, its term and, where
the year's contracts count, its size: requests of a buyer of which they don't say the same have a standing each.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from app.matching.core.instance import Budget, Component, Option
from app.vouchers.facts import ContractFacts, Facts, SupplierFacts
from app.vouchers.policy import Programme
from app.vouchers.rules import TierTerms, admits, contract_year, ppm_of, tier_terms
from app.vouchers.stacking import Choice, OptionTerms, choices_for, options_of


@dataclass(frozen=True, slots=True)
class Seller:
    """What rules read of an offer: its supplier, its chip's origin, which buyers (by ref) are affiliated with it."""

    supplier: SupplierFacts
    domestic: bool | None
    affiliated_with: frozenset[str] = frozenset()


NOBODY: Final = Seller(SupplierFacts(), None)


@dataclass(frozen=True, slots=True)
class Party:
    """A buyer, by ref, with the contracts that it would sign: all of them but their amount and origin."""

    buyer: str
    facts: Facts
    contract: ContractFacts


class Reads:
    """What programmes read of offers and requests, so that only what makes a difference tells them apart."""

    def __init__(self, programmes: Iterable[Programme]) -> None:
        self.programmes = tuple(sorted(programmes, key=lambda programme: programme.id))
        tiers = [tier for programme in self.programmes for tier in programme.tiers]
        sized = [*tiers, *(row for tier in tiers for row in tier.rates)]
        stacks = [stack for programme in self.programmes for stack in programme.all_stacks]
        self.origins = {each.domestic for each in (*sized, *stacks)} - {None}
        self.year = any(each.max_year_contracts_cny is not None for each in sized)
        self.affiliation = any(programme.suppliers.not_affiliated for programme in self.programmes)
        terms = {24 * programme.max_term_days for programme in self.programmes if programme.max_term_days is not None}
        self._terms = sorted(terms)

    def subsidy_class(self, seller: Seller) -> str:
        """Return the subsidy class of an offer: who admits its supplier, its origin, who is affiliated with it."""
        admitted = (programme.id for programme in self.programmes if admits(programme, seller.supplier))
        name = "+".join(admitted) or "none"
        if seller.domestic in self.origins:
            name += "|domestic" if seller.domestic else "|not domestic"
        if self.affiliation and seller.affiliated_with:
            name += f"|not for {','.join(sorted(seller.affiliated_with))}"
        return name

    def contract(self, signed_at: datetime, *, hours: int, blocks: int = 1, year_fen: int = 0) -> ContractFacts:
        """Return what rules read of a request's contracts, alike wherever they say the same.

        Args:
            signed_at: when they would be signed, aware.
            hours: of the longest of its alternatives: one that is too long bars them all, the stricter reading.
            blocks: how many there would be.
            year_fen: the buyer's contracts of the year on record, without those of this request.
        """
        passed = [most for most in self._terms if hours > most]
        return ContractFacts(
            signed_at=signed_at,
            items=(),
            hours=passed[-1] + 1 if passed else 0,
            blocks=blocks if self.year else 1,
            year_contracts_fen=year_fen if self.year else 0,
        )

    def standing(self, party: Party) -> str:
        """Return a party's standing; empty where the rules tell its buyer's requests not apart."""
        if not self.year and not self._terms:
            return ""
        contract = party.contract
        return f"{party.buyer}|{contract.hours} h|{contract.blocks} blocks|{contract.year_contracts_fen} fen"


def options_and_budgets(
    reads: Reads,
    parties: Mapping[str, Party],
    classes: Mapping[str, Seller],
    left_fen: Mapping[str, int] | None = None,
) -> tuple[tuple[Option, ...], tuple[Budget, ...]]:
    """Return the options of every party on every subsidy class, and the budgets that they draw on.

    Args:
        reads: The programmes that are open.
        parties: Buyers, by ref, or those of their standings.
        classes: An offer of each subsidy class, by its name.
        left_fen: What is left of each budget, by name; one that isn't there is untouched.
    """
    by_id = {programme.id: programme for programme in reads.programmes}
    left = left_fen or {}
    budgets: dict[str, int] = {}
    options: list[Option] = []
    found: dict[tuple[Facts, ContractFacts, str, bool], tuple[Choice, ...]] = {}
    for name in sorted(parties):
        party = parties[name]
        for class_name in sorted(classes):
            seller = classes[class_name]
            # Without a record of it there is no affiliation.
            affiliated = party.buyer in seller.affiliated_with
            key = (party.facts, party.contract, class_name, affiliated)
            if key not in found:
                contract = replace(party.contract, domestic=seller.domestic)
                supplier = replace(seller.supplier, affiliated=affiliated)
                found[key] = choices_for(reads.programmes, party.facts, contract, supplier)
            for terms in options_of(found[key], by_id, party.buyer, party.contract):
                options.append(_option(name, class_name, terms))
                for component in terms.components:
                    budgets.update({budget.name: budget.limit_fen for budget in component.budgets})
    return tuple(options), tuple(Budget(name, left.get(name, limit)) for name, limit in sorted(budgets.items()))


def with_numbers(
    options: Iterable[Option],
    budgets: Iterable[Budget],
    before: Iterable[Programme],
    after: Iterable[Programme],
    buyers: Mapping[str, str],
    moment: datetime,
) -> tuple[tuple[Option, ...], tuple[Budget, ...]]:
    """Return options and budgets under other numbers of their programmes; who is eligible stays as it was.

    Args:
        options: As they were made under `before`.
        budgets: What was left of them.
        before: The programmes as they were.
        after: Those that go on, with their new numbers; options of any other end.
        buyers: The buyer of each party that has options.
        moment: When the contracts are signed, aware.

    What was used of a cap stays used: a budget's new limit is the new cap less that. A rate that was not the tier's own
    (for a chip's origin, say) stays.
    """
    old, new = {each.id: each for each in before}, {each.id: each for each in after}
    left = {budget.name: budget.limit_fen for budget in budgets}
    limits: dict[str, int] = {}
    kept: list[Option] = []
    for option in options:
        names = [component.programme for component in option.components]
        if any(name not in new for name in names):
            continue
        buyer = buyers.get(option.buyer, option.buyer)
        terms = [_renewed(old, new, part, buyer, moment) for part in option.components]
        for part, tier in zip(option.components, terms, strict=True):
            caps = {term.name: term.limit_fen for term in _tier_terms(old, part, buyer, moment, None).budgets}
            for budget in tier.budgets:
                used = caps[budget.name] - left[budget.name] if budget.name in caps else 0
                limits[budget.name] = max(0, budget.limit_fen - used)
        ceiling = _ceiling(option, [old[name] for name in names], [new[name] for name in names])
        kept.append(_option(option.buyer, option.subsidy_class, OptionTerms(ceiling, tuple(terms))))
    return tuple(kept), tuple(Budget(name, limit) for name, limit in sorted(limits.items()))


def _ceiling(option: Option, old: Sequence[Programme], new: Sequence[Programme]) -> int | None:
    """Return an option's ceiling; that of a rule for two programmes stays, `stacking_ceiling` may have changed."""
    if len(option.components) == 1:
        return None
    before, after = ([ppm_of(each.stacking_ceiling) for each in some if each.stacking_ceiling] for some in (old, new))
    ruled = [] if option.ceiling_ppm is None or option.ceiling_ppm in before else [option.ceiling_ppm]
    return min([*ruled, *after], default=None)


def _renewed(
    old: Mapping[str, Programme], new: Mapping[str, Programme], part: Component, buyer: str, moment: datetime
) -> TierTerms:
    own = _tier_terms(old, part, buyer, moment, None).rate_ppm
    terms = _tier_terms(new, part, buyer, moment, None if part.rate_ppm == own else part.rate_ppm)
    return replace(terms, from_fen=part.from_fen, to_fen=part.to_fen)


def _tier_terms(
    programmes: Mapping[str, Programme], part: Component, buyer: str, moment: datetime, rate_ppm: int | None
) -> TierTerms:
    programme = programmes[part.programme]
    tier = next(tier for tier in programme.tiers if tier.id == part.tier)
    return tier_terms(programme, tier, buyer, contract_year(programme, moment), rate_ppm=rate_ppm)


def _option(party: str, name: str, terms: OptionTerms) -> Option:
    return Option(
        buyer=party,
        subsidy_class=name,
        ceiling_ppm=terms.ceiling_ppm,
        components=tuple(
            Component(
                programme=component.programme,
                tier=component.tier,
                rate_ppm=component.rate_ppm,
                min_fen=component.min_fen,
                cap_fen=component.cap_fen,
                fixed=component.fixed,
                budgets=tuple(budget.name for budget in component.budgets),
                from_fen=component.from_fen,
                to_fen=component.to_fen,
            )
            for component in terms.components
        ),
    )
