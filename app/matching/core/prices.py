"""Prices of capacity, budgets and shares by Lagrangian relaxation, with compiled pricing over every start.

One pass lets every request choose its best column k at present prices (as in `core.certificate`, in floating point).
Prices move after each chunk of requests along the aggregated subgradient (the latest choice of every request), which
settles far sooner than one step per pass; averages over the passes give the smooth prices that bound well.
"""

# NumPy's stubs type an element read at an untyped index as an array; compiled code reads scalars.
# pyright: reportArgumentType=false, reportReturnType=false

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from app.matching.core.certificate import MICRO
from app.matching.core.columns import Columns, Demand, Pairs, Supply
from app.matching.core.compiled import lean
from app.matching.core.outcome import CapacityDual, Duals
from app.matching.core.rows import Rows, build_rows, feel
from app.matching.core.sigma import WIDTH, Terms, best_option, set_amounts

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

CHUNKS: Final = 6
# Relative to the typical score of a card-hour.
FIRST_STEP: Final = 0.1
LAST_STEP_RATIO: Final = 5e-4
# The steps of a refinement, relative to those before.
FINER: Final = 0.1


class Prices(NamedTuple):
    """λ by row hour of `core.rows`, μ by budget, ν by share row; in units of the search's score."""

    capacity: F64
    budget: F64
    share: F64


class Choices(NamedTuple):
    """What each request chose last, and what all choices together use."""

    pair: I32
    start: I32
    sigma: I64
    option: I32
    reduced: F64
    usage: F64
    budget_use: F64
    share_use: F64


def no_prices(columns: Columns, rows: Rows) -> Prices:
    """Return prices of zero."""
    return Prices(
        capacity=np.zeros(rows.limit.size, dtype=np.float64),
        budget=np.zeros(columns.budget_limit.size, dtype=np.float64),
        share=np.zeros(columns.share_limit.size, dtype=np.float64),
    )


def no_choices(columns: Columns, rows: Rows) -> Choices:
    """Return choices of nothing."""
    requests = columns.demand.weight.size
    return Choices(
        pair=np.full(requests, -1, dtype=np.int32),
        start=np.zeros(requests, dtype=np.int32),
        sigma=np.zeros((requests, WIDTH), dtype=np.int64),
        option=np.full(requests, -1, dtype=np.int32),
        reduced=np.zeros(requests, dtype=np.float64),
        usage=np.zeros(rows.limit.size, dtype=np.float64),
        budget_use=np.zeros(columns.budget_limit.size, dtype=np.float64),
        share_use=np.zeros(columns.share_limit.size, dtype=np.float64),
    )


@lean
def cheapest_window(
    supply: Supply, pairs: Pairs, felt: F64, at: int, profile: I32, pair: int, check: bool
) -> tuple[int, float]:
    """Return (start, price) of the pair's feasible start with the least Σ felt over its hours; start −1 if none.

    `felt[at]` is the price of hour 0. `profile` says how many cards are free, and is looked at where `check` is set.
    """
    offer = pairs.offer[pair]
    cards = pairs.cards[pair]
    hours = pairs.hours[pair]
    row = supply.row_ptr[offer] - supply.first_hour[offer]
    first = pairs.first[pair]
    last = pairs.last[pair]
    best = -1
    least = 0.0
    total = 0.0
    blocked = first - 1
    for hour in range(first, first + hours - 1):
        total += felt[at + hour]
        if check and profile[row + hour] < cards:
            blocked = hour
    for start in range(first, last + 1):
        end = start + hours - 1
        total += felt[at + end]
        if check and profile[row + end] < cards:
            blocked = end
        if (best < 0 or total < least) and blocked < start:
            best = start
            least = total
        total -= felt[at + start]
    return best, least


@lean
def _use(
    supply: Supply, demand: Demand, pairs: Pairs, terms: Terms, rows: Rows, choices: Choices, request: int, sign: float
) -> None:
    """Add the usage of a request's choice, or take it away."""
    pair = choices.pair[request]
    if pair < 0:
        return
    copies = sign * demand.blocks[request]
    offer = pairs.offer[pair]
    cards = copies * pairs.cards[pair]
    row = supply.row_ptr[offer] - supply.first_hour[offer] + choices.start[request]
    for hour in range(row, row + pairs.hours[pair]):
        choices.usage[hour] += cards
    for index in range(rows.ptr[offer], rows.ptr[offer + 1]):
        units = copies * (pairs.cards[pair] // rows.divisor[index])
        if units != 0.0:
            row = rows.begin[index] - supply.first_hour[offer] + choices.start[request]
            for hour in range(row, row + pairs.hours[pair]):
                choices.usage[hour] += units
    option = choices.option[request]
    if option >= 0:
        first = terms.component_ptr[option]
        for component in range(first, terms.component_ptr[option + 1]):
            amount = copies * choices.sigma[request, component - first]
            for index in range(terms.budget_ptr[component], terms.budget_ptr[component + 1]):
                choices.budget_use[terms.budget[index]] += amount
    if demand.share[request] >= 0:
        choices.share_use[demand.share[request]] += cards * pairs.hours[pair]
    if supply.share[offer] >= 0:
        choices.share_use[supply.share[offer]] += cards * pairs.hours[pair]


@lean
def choose(
    supply: Supply,
    demand: Demand,
    pairs: Pairs,
    terms: Terms,
    sigma_score: F64,
    limit: I64,
    rows: Rows,
    prices: Prices,
    felt: F64,
    choices: Choices,
    order: I64,
    low: int,
    high: int,
    floor: float,
    scratch: I64,
) -> int:
    """Let requests order[low:high] choose anew at these prices, what is worth more than `floor`.

    Returns the hours looked at.
    """
    sigma, best_sigma = scratch[0], scratch[1]
    work = 0
    for position in range(low, high):
        request = order[position]
        best_pair, best_start, best_option_id, best = -1, 0, -1, floor
        for pair in range(demand.pair_ptr[request], demand.pair_ptr[request + 1]):
            if pairs.top[pair] <= best:
                break
            value = pairs.score[pair]
            option = -1
            if pairs.option_high[pair] > pairs.option_low[pair]:
                cost = pairs.cost[pair]
                option, gain = best_option(
                    terms, pairs.option_low[pair], pairs.option_high[pair], cost, cost - pairs.max_net[pair], limit,
                    sigma_score[request], prices.budget, False, sigma, scratch[2],
                )  # fmt: skip
                value += gain
            use = 1.0 * pairs.cards[pair] * pairs.hours[pair]
            if demand.share[request] >= 0:
                value -= prices.share[demand.share[request]] * use
            if supply.share[pairs.offer[pair]] >= 0:
                value -= prices.share[supply.share[pairs.offer[pair]]] * use
            if value <= best:
                continue
            start, price = cheapest_window(
                supply, pairs, felt, rows.pair_at[pair], supply.capacity, pair, pairs.ragged[pair]
            )
            work += pairs.last[pair] - pairs.first[pair] + pairs.hours[pair]
            if value - pairs.cards[pair] * price > best:
                best = value - pairs.cards[pair] * price
                best_pair, best_start, best_option_id = pair, start, option
                set_amounts(best_sigma, sigma, WIDTH)
        choices.reduced[request] = best
        same = best_pair == choices.pair[request] and best_start == choices.start[request]
        if same and best_option_id < 0 and choices.option[request] < 0:
            continue
        _use(supply, demand, pairs, terms, rows, choices, request, -1.0)
        choices.pair[request] = best_pair
        choices.start[request] = best_start
        choices.option[request] = best_option_id
        set_amounts(choices.sigma[request], best_sigma, WIDTH)
        _use(supply, demand, pairs, terms, rows, choices, request, 1.0)
    return work


@lean
def _step(rows: Rows, limit: I64, share_limit: I64, prices: Prices, choices: Choices, scale: F64, step: float) -> None:
    """Move the prices along the subgradient, relative to each row's right-hand side and clipped."""
    for row in range(rows.limit.size):
        room = rows.limit[row]
        if room == 0 or (choices.usage[row] == 0.0 and prices.capacity[row] == 0.0):
            continue
        excess = min(2.0, choices.usage[row] / room - 1.0)
        prices.capacity[row] = max(0.0, prices.capacity[row] + step * scale[0] * rows.unit[row] * excess)
    for budget in range(limit.size):
        excess = min(2.0, choices.budget_use[budget] / max(1, limit[budget]) - 1.0)
        prices.budget[budget] = max(0.0, prices.budget[budget] + step * scale[1] * excess)
    for share in range(share_limit.size):
        excess = min(2.0, choices.share_use[share] / max(1, share_limit[share]) - 1.0)
        prices.share[share] = max(0.0, prices.share[share] + step * scale[0] * excess)


@lean
def _blend(average: F64, present: F64, rate: float) -> None:
    for index in range(average.size):
        average[index] += rate * (present[index] - average[index])


def dual_value(columns: Columns, rows: Rows, prices: Prices, reduced: F64) -> float:
    """Return the bound, in units of the score, that prices and the requests' best reduced values give."""
    # Not by np.dot: its threads would go on spinning beside the search.
    return float(
        (columns.demand.blocks * reduced).sum()
        + (prices.capacity * rows.limit).sum()
        + (prices.budget * columns.budget_limit).sum()
        + (prices.share * columns.share_limit).sum()
    )


def felt_prices(columns: Columns, rows: Rows, prices: Prices) -> F64:
    """Return the profiles of all gangs at these prices."""
    felt = np.zeros(rows.felt_size, dtype=np.float64)
    feel(columns.supply, rows, prices.capacity, felt)
    return felt


def reduced_values(columns: Columns, rows: Rows, prices: Prices, floor: float = 0.0) -> tuple[F64, int]:
    """Return max(floor, max_k r_k) of every request at these prices, in units of the score, and the hours looked at."""
    choices = no_choices(columns, rows)
    order = np.arange(columns.demand.weight.size)
    felt = felt_prices(columns, rows, prices)
    work = _choose(columns, rows, prices, felt, choices, order, 0, order.size, floor)
    return choices.reduced, work


def _choose(
    columns: Columns,
    rows: Rows,
    prices: Prices,
    felt: F64,
    choices: Choices,
    order: I64,
    low: int,
    high: int,
    floor: float = 0.0,
) -> int:
    return choose(
        columns.supply,
        columns.demand,
        columns.pairs,
        columns.terms,
        columns.sigma_score,
        columns.budget_limit,
        rows,
        prices,
        felt,
        choices,
        order,
        low,
        high,
        floor,
        np.zeros((3, WIDTH), dtype=np.int64),
    )


@dataclass
class PriceSearch:
    """The search for prices, resumable: each `advance` is one pass."""

    columns: Columns
    seed: int
    passes: int = 0
    work: int = 0

    def __post_init__(self) -> None:
        self.rows = build_rows(self.columns.supply, self.columns.pairs)
        self.prices = no_prices(self.columns, self.rows)
        self.average = no_prices(self.columns, self.rows)
        self.best = no_prices(self.columns, self.rows)
        self.choices = no_choices(self.columns, self.rows)
        self.felt = felt_prices(self.columns, self.rows, self.prices)
        self.random = np.random.default_rng(self.seed)
        self.order = np.arange(self.columns.demand.weight.size)
        self.scale = self._scales()
        self.best_value, self.best_reduced = self._evaluate(self.best)

    def _scales(self) -> F64:
        """Return the typical score of a card-hour and of a fen of subsidy: the size of a step."""
        columns = self.columns
        leading = columns.demand.pair_ptr[:-1][np.diff(columns.demand.pair_ptr) > 0]
        if not leading.size:
            return np.ones(2, dtype=np.float64)
        use = columns.pairs.cards[leading].astype(np.float64) * columns.pairs.hours[leading]
        per_hour = columns.pairs.top[leading].sum() / max(1.0, use.sum())
        return np.array([abs(per_hour), float(np.abs(columns.sigma_score).mean())], dtype=np.float64)

    def _evaluate(self, prices: Prices) -> tuple[float, F64]:
        reduced, work = reduced_values(self.columns, self.rows, prices)
        self.work += work
        return dual_value(self.columns, self.rows, prices, reduced), reduced

    def advance(self, progress: float) -> None:
        """Make one pass over all requests; steps shrink as `progress` goes from 0 to 1."""
        columns = self.columns
        step = FIRST_STEP * LAST_STEP_RATIO**progress
        self.random.shuffle(self.order)
        edges = np.linspace(0, self.order.size, min(CHUNKS, max(1, self.order.size)) + 1).astype(np.int64)
        for low, high in pairwise(edges):
            self.work += _choose(
                columns, self.rows, self.prices, self.felt, self.choices, self.order, int(low), int(high)
            )
            _step(
                self.rows,
                columns.budget_limit,
                columns.share_limit,
                self.prices,
                self.choices,
                self.scale,
                step / (edges.size - 1) * 4,
            )
            feel(columns.supply, self.rows, self.prices.capacity, self.felt)
            for average, present in zip(self.average, self.prices, strict=True):
                _blend(average, present, 1.0 if self.passes == 0 else 0.12 * 4 / (edges.size - 1))
        self.passes += 1

    def refine(self) -> None:
        """Start again from the best prices with smaller steps, for markets whose prices differ by little."""
        for present, average, best in zip(self.prices, self.average, self.best, strict=True):
            present[:] = best
            average[:] = best
        self.scale *= FINER
        feel(self.columns.supply, self.rows, self.prices.capacity, self.felt)

    def assess(self) -> None:
        """Evaluate the averaged prices and keep them where they bound better than any before."""
        value, reduced = self._evaluate(self.average)
        if value < self.best_value:
            self.best = Prices(*(array.copy() for array in self.average))
            self.best_value, self.best_reduced = value, reduced


def integer_duals(columns: Columns, rows: Rows, prices: Prices) -> Duals:
    """Return the prices as integers ≥ 0 in micro-objective-fen of the first objective, by name."""
    factor = MICRO / columns.lexicographic_scale
    supply, instance = columns.supply, columns.instance
    whole = np.rint(prices.capacity * factor).astype(np.int64)
    found: list[CapacityDual] = []
    for index, offer in enumerate(instance.offers):
        hours = int(supply.row_ptr[index + 1] - supply.row_ptr[index])
        begins = [(1, int(supply.row_ptr[index]))]
        begins += [(int(rows.divisor[at]), int(rows.begin[at])) for at in range(rows.ptr[index], rows.ptr[index + 1])]
        for divisor, begin in begins:
            row = whole[begin : begin + hours]
            if row.any():
                found.append(
                    CapacityDual(offer.ref, 1, divisor, int(supply.first_hour[index]) + columns.base_hour, row)
                )
    return Duals(
        capacity=tuple(found),
        budgets={
            budget.name: value
            for budget, price in zip(instance.budgets, prices.budget, strict=True)
            if (value := round(float(price) * factor)) > 0
        },
        shares={
            name: value
            for name, price in zip(columns.share_names, prices.share, strict=True)
            if (value := round(float(price) * factor)) > 0
        },
    )
