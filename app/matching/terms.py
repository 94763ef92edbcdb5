"""From voucher rules to the core's options and budgets; market files and the database's snapshot share it."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from app.matching.core.instance import Budget, Component, Option
from app.vouchers.programmes import Programme
from app.vouchers.rules import Facts, OptionTerms, terms_for


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
