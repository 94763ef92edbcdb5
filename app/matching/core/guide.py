"""What steers insertion: the prices as each gang feels them, and what a block is worth.

A block's *worth* is its score plus (unit − Σμ) per fen of subsidy: a fen left in a budget counts at the budget's price,
as somebody else takes it in the end.
"""

# NumPy's stubs type an element read at an untyped index as an array; compiled code reads scalars.
# pyright: reportArgumentType=false, reportReturnType=false

from typing import NamedTuple

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
        ranked=np.lexsort((np.arange(pairs.offer.size), least - worth, pairs.request)).astype(np.int32),
        budget=prices.budget,
        sigma_score=columns.sigma_score,
        reduced=reduced,
    )


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
