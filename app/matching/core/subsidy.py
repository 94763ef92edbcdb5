"""What vouchers take off one buyer's blocks, by the amounts that a clearing's columns take (`core.sigma`).

For a block that costs C and may cost the buyer `max_net` at most: of the options on the offer's subsidy class, and none
of them, the one with the largest Σσ that is allowed with what is left of the budgets; of equals the first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

import numpy as np
import numpy.typing as npt

from app.matching.core.instance import Budget, Component, Option
from app.matching.core.sigma import NOTHING_ALLOWED, WIDTH, Terms, best_option, compile_terms

NO_LIMIT: Final = 2**62


@dataclass(frozen=True, slots=True)
class Subsidy:
    """What one programme's tier takes off a block, in fen, > 0."""

    component: Component
    amount_fen: int


def warm_up() -> None:
    """Price a toy block, so that no quote's time goes into compiling; after the first time it is read from disk."""
    component = Component("p", "t", 500_000, 0, None, False, ("pool",))
    Purse.of([Option("b", "partner", None, (component,))], [Budget("pool", 10)]).best("partner", 10, 5)


@dataclass(frozen=True, slots=True)
class Purse:
    """What is left of the budgets while blocks of one buyer are priced side by side."""

    options: tuple[Option, ...]
    ranges: Mapping[str, tuple[int, int]]
    terms: Terms
    index: Mapping[str, int]
    left: npt.NDArray[np.int64]

    @classmethod
    def of(cls, options: Iterable[Option], budgets: Sequence[Budget]) -> "Purse":
        """Return one with a buyer's options and what is left of the budgets that they name."""
        ordered = tuple(sorted(options, key=lambda option: option.subsidy_class))
        index = {budget.name: position for position, budget in enumerate(budgets)}
        ranges: dict[str, tuple[int, int]] = {}
        for name, group in groupby(enumerate(ordered), key=lambda each: each[1].subsidy_class):
            positions = [position for position, _ in group]
            ranges[name] = (positions[0], positions[-1] + 1)
        left = np.array([budget.limit_fen for budget in budgets], dtype=np.int64)
        return cls(ordered, ranges, compile_terms(ordered, index), index, left)

    def copy(self) -> "Purse":
        """Return another with the same left, to draw from without this one's changing."""
        return replace(self, left=self.left.copy())

    def best(self, subsidy_class: str, cost_fen: int, max_net_fen: int | None) -> tuple[Subsidy, ...] | None:
        """Return the largest subsidy of a block on an offer of a class, or None where it costs more than it may."""
        need = -NO_LIMIT if max_net_fen is None else cost_fen - max_net_fen
        low, high = self.ranges.get(subsidy_class, (0, 0))
        if low == high:
            return () if need <= 0 else None
        sigma, scratch = np.zeros(WIDTH, dtype=np.int64), np.zeros(WIDTH, dtype=np.int64)
        no_mu = np.zeros(self.left.size, dtype=np.float64)
        option, _ = best_option(self.terms, low, high, cost_fen, need, self.left, 1.0, no_mu, True, sigma, scratch)
        if option == NOTHING_ALLOWED:
            return None
        if option < 0:
            return ()
        return tuple(
            Subsidy(component, int(amount))
            for component, amount in zip(self.options[option].components, sigma, strict=False)
            if amount > 0
        )

    def draw(self, subsidies: Sequence[Subsidy]) -> None:
        """Take the subsidies of a block out of the budgets."""
        for subsidy in subsidies:
            for name in subsidy.component.budgets:
                self.left[self.index[name]] -= subsidy.amount_fen
