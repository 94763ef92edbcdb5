"""What steers insertion: the prices as each gang feels them, and what a block is worth.

A block's *worth* is its score plus (unit − Σμ) per fen of subsidy: a fen left in a budget counts at the budget's price,
as somebody else takes it in the end. Of a budget that few draw on that isn't so: what one leaves, nobody may take, and
it counts for nothing.
"""

# NumPy's stubs type an element read at an untyped index as an array; compiled code reads scalars.
# pyright: reportArgumentType=false, reportReturnType=false

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from app.matching.core.columns import Columns, Pairs, Supply
from app.matching.core.compiled import compiled, lean
from app.matching.core.prices import Prices, cheapest_window, felt_prices
from app.matching.core.rows import Rows
from app.matching.core.sigma import WIDTH, Terms, best_option

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


# So many requests draw on a budget whose price steers insertion.
WIDE: Final = 100


class Guide(NamedTuple):
    """What steers insertion: prices felt by gangs (see `core.rows`), per-request subsidy scores, reduced values.

    Hours [s, e) of a pair cost `paid[at + e] − paid[at + s]` per card with `at = pair_at[pair]`, for all its cards at
    least `least[pair]` wherever in its window. `worth` is that of a block of the pair while the budgets are untouched;
    `ranked` are the pairs of each request by worth − least.
    """

    paid: F64
    pair_at: I64
    least: F64
    worth: F64
    ranked: I32
    budget: F64
    sigma_score: F64
    reduced: F64


def guide_of(columns: Columns, rows: Rows, prices: Prices, reduced: F64) -> Guide:
    """Return the guide of these prices."""
    felt = felt_prices(columns, rows, prices)
    pairs = columns.pairs
    least = np.zeros(pairs.offer.size, dtype=np.float64)
    _least_prices(columns.supply, pairs, rows, felt, least)
    worth = np.zeros(pairs.offer.size, dtype=np.float64)
    _free_worth(pairs, columns.terms, columns.budget_limit, columns.sigma_score, prices.budget, worth)
    return Guide(
        paid=np.concatenate(([0.0], np.cumsum(felt))),
        pair_at=rows.pair_at,
        least=least,
        worth=worth,
        ranked=_ranked(pairs, worth - least),
        budget=prices.budget,
        sigma_score=columns.sigma_score,
        reduced=reduced,
    )


def without_narrow(columns: Columns, guide: Guide) -> Guide:
    """Return the guide without the prices of budgets that fewer than `WIDE` requests draw on."""
    budget = np.where(_draws(columns) < WIDE, 0.0, guide.budget)
    worth = np.zeros_like(guide.worth)
    _free_worth(columns.pairs, columns.terms, columns.budget_limit, columns.sigma_score, budget, worth)
    return guide._replace(budget=budget, worth=worth, ranked=_ranked(columns.pairs, worth - guide.least))


def _ranked(pairs: Pairs, reduced: F64) -> I32:
    return np.lexsort((np.arange(reduced.size), -reduced, pairs.request)).astype(np.int32)


def _draws(columns: Columns) -> I64:
    """Return for each budget how many requests have an option that draws on it."""
    pairs, terms = columns.pairs, columns.terms
    # Pairs are in the order of their requests, and most of a request's have the same options.
    told = np.stack((pairs.request, pairs.option_low, pairs.option_high))
    fresh = np.flatnonzero(np.any(told[:, 1:] != told[:, :-1], axis=0)) + 1
    drawn: set[tuple[int, int]] = set()
    for at in [*range(min(1, told.shape[1])), *map(int, fresh)]:
        first, last = (int(terms.budget_ptr[terms.component_ptr[int(option)]]) for option in told[1:, at])
        drawn.update((int(told[0, at]), int(budget)) for budget in terms.budget[first:last])
    budgets = np.fromiter((budget for _, budget in drawn), dtype=np.int64, count=len(drawn))
    return np.bincount(budgets, minlength=columns.budget_limit.size)


@lean
def _least_prices(supply: Supply, pairs: Pairs, rows: Rows, felt: F64, least: F64) -> None:
    for pair in range(pairs.offer.size):
        _, price = cheapest_window(supply, pairs, felt, rows.pair_at[pair], supply.capacity, pair, False)
        least[pair] = pairs.cards[pair] * price


@compiled
def _free_worth(pairs: Pairs, terms: Terms, limit: I64, sigma_score: F64, mu: F64, worth: F64) -> None:
    """Set the worth of each pair with the best subsidy of untouched budgets."""
    sigma = np.zeros(WIDTH, dtype=np.int64)
    scratch = np.zeros(WIDTH, dtype=np.int64)
    for pair in range(pairs.offer.size):
        cost = pairs.cost[pair]
        _, gain = best_option(
            terms, pairs.option_low[pair], pairs.option_high[pair], cost, cost - pairs.max_net[pair], limit,
            sigma_score[pairs.request[pair]], mu, False, sigma, scratch,
        )  # fmt: skip
        worth[pair] = pairs.score[pair] + gain


@lean
def worth_of(pairs: Pairs, terms: Terms, guide: Guide, pair: int, option: int, sigma: I64) -> float:
    """Return the worth of a block of a pair under an option with these amounts."""
    worth = pairs.score[pair]
    if option >= 0:
        first = terms.component_ptr[option]
        for component in range(first, terms.component_ptr[option + 1]):
            unit = guide.sigma_score[pairs.request[pair]]
            for index in range(terms.budget_ptr[component], terms.budget_ptr[component + 1]):
                unit -= guide.budget[terms.budget[index]]
            worth += unit * sigma[component - first]
    return worth
