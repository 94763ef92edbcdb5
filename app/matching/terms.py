"""From voucher rules to the core's options and budgets; market files and the database's snapshot share it."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from app.matching.core.instance import Budget, Component, Option
from app.vouchers.programmes import Programme
from app.vouchers.rules import Facts, OptionTerms, TierTerms, contract_year, ppm_of, terms_for, tier_terms


def subsidy_class(partner_of: Iterable[str]) -> str:
    """Return the subsidy class of offers whose supplier is a partner of these programmes."""
    return "+".join(sorted(partner_of)) or "none"


def options_and_budgets(
    programmes: Iterable[Programme],
    buyers: Mapping[str, Facts],
    classes: Mapping[str, frozenset[str]],
    moment: datetime,
    left_fen: Mapping[str, int] | None = None,
) -> tuple[tuple[Option, ...], tuple[Budget, ...]]:
    """Return the options of every buyer on every subsidy class, and the budgets that they draw on.

    Args:
        programmes: The programmes that are open.
        buyers: Each buyer's facts as of the signing, by ref.
        classes: The programmes whose partner the suppliers of a subsidy class are, by class.
        moment: When the contracts are signed, aware.
        left_fen: What is left of each budget, by name; one that isn't there is untouched.
    """
    programmes = tuple(programmes)
    left = left_fen or {}
    budgets: dict[str, int] = {}
    options: list[Option] = []
    for buyer in sorted(buyers):
        for name in sorted(classes):
            for terms in terms_for(programmes, buyer, buyers[buyer], moment, partner_of=classes[name]):
                options.append(_option(buyer, name, terms))
                for component in terms.components:
                    budgets.update({budget.name: budget.limit_fen for budget in component.budgets})
    return tuple(options), tuple(Budget(name, left.get(name, limit)) for name, limit in sorted(budgets.items()))


def with_numbers(
    options: Iterable[Option],
    budgets: Iterable[Budget],
    before: Iterable[Programme],
    after: Iterable[Programme],
    moment: datetime,
) -> tuple[tuple[Option, ...], tuple[Budget, ...]]:
    """Return options and budgets under other numbers of their programmes; who is eligible stays as it was.

    Args:
        options: As they were made under `before`.
        budgets: What was left of them.
        before: The programmes as they were.
        after: Those that go on, with their new numbers; options of any other end.
        moment: When the contracts are signed, aware.

    What was used of a cap stays used: a budget's new limit is the new cap less that.
    """
    old, new = {each.id: each for each in before}, {each.id: each for each in after}
    left = {budget.name: budget.limit_fen for budget in budgets}
    limits: dict[str, int] = {}
    kept: list[Option] = []
    for option in options:
        names = [component.programme for component in option.components]
        if any(name not in new for name in names):
            continue
        terms = [_tier_terms(new, part, option.buyer, moment) for part in option.components]
        for part, tier in zip(option.components, terms, strict=True):
            caps = {term.name: term.limit_fen for term in _tier_terms(old, part, option.buyer, moment).budgets}
            for budget in tier.budgets:
                used = caps[budget.name] - left[budget.name] if budget.name in caps else 0
                limits[budget.name] = max(0, budget.limit_fen - used)
        ceilings = [ppm_of(rate) for name in names if (rate := new[name].stacking_ceiling) is not None]
        ceiling = min(ceilings) if len(names) > 1 and ceilings else None
        kept.append(_option(option.buyer, option.subsidy_class, OptionTerms(ceiling, tuple(terms))))
    return tuple(kept), tuple(Budget(name, limit) for name, limit in sorted(limits.items()))


def _tier_terms(programmes: Mapping[str, Programme], part: Component, buyer: str, moment: datetime) -> TierTerms:
    programme = programmes[part.programme]
    tier = next(tier for tier in programme.tiers if tier.id == part.tier)
    return tier_terms(programme, tier, buyer, contract_year(programme, moment))


def _option(buyer: str, name: str, terms: OptionTerms) -> Option:
    return Option(
        buyer=buyer,
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
            )
            for component in terms.components
        ),
    )
