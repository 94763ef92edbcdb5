"""A dive for markets in which every offer is one knapsack: all that may run there takes the same hours.

Where gangs fill an offer to the last card, prices of cards say little: what counts is which blocks fit together. Here
each *block* has a price u instead, what it is worth to whoever gets it, and each offer packs the blocks that gain most
at these prices, exactly, by dynamic programming:

    L(u) = Σ_q u_q + Σ_o max { Σ_q (score_qo − u_q)·x_q  :  Σ_q cards_qo·x_q ≤ K_o,  x binary },   u ≥ 0

is a bound that falls along its subgradient 1 − Σ_o x_qo. How often an offer packed a block on the way down tells how
likely the block belongs there: the surest are fixed, the prices settle again, and so on; CP-SAT places the last few.
After F. Barahona and R. Anbil, The volume algorithm, Mathematical Programming 87 (2000), and R. Sadykov et al., Primal
heuristics for branch and price: the assets of diving methods, INFORMS Journal on Computing 31 (2019).
"""

# NumPy's stubs type an element read at an untyped index as an array; compiled code reads scalars.
# pyright: reportArgumentType=false, reportReturnType=false

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from app.matching.core.columns import NONE, Columns
from app.matching.core.compiled import compiled
from app.matching.core.config import Objective
from app.matching.core.cpsat import build_model, solve_model
from app.matching.core.plan import Plan, copy_plan, empty_plan, put
from app.matching.core.sigma import WIDTH
from app.matching.core.watch import WORK_UNIT, Watch

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Blocks times cards, over all offers: what one pass looks at.
MAX_CELLS: Final = 4_000_000
CELLS_PER_WORK: Final = 2
ROOT_PASSES: Final = 400
# Between two looks at the watch.
CHUNK: Final = 20
PASSES: Final = 40
# How many blocks are fixed at once: this many, or this part of all.
FIXED: Final = 5
FIXED_PART: Final = 1 / 40
TAIL: Final = 20
# How much the latest pass counts in how often an offer packed a block, at first and while diving.
ROOT_BLEND: Final = 0.03
BLEND: Final = 0.1
# A dive after the first goes elsewhere: chance counts this much beside how often an offer packed a block.
CHANCE: Final = 0.05
# Blocks packed less often than this are left to what follows.
SELDOM: Final = 0.05
FIRST_PACE: Final = 2.0
PACE: Final = 1.0
PATIENCE: Final = 10
SLOWER: Final = 0.7
MOMENTUM: Final = 0.3
# CP-SAT's deterministic time for the last blocks, and what of it counts as a unit of work.
EFFORT: Final = 1.5
EFFORT_PER_WORK: Final = 0.05


class Knapsacks(NamedTuple):
    """Offer by offer, `ptr[o]:ptr[o + 1]`: the pairs, their requests, cards and scores; and the cards of each offer."""

    ptr: I64
    pair: I64
    request: I64
    cards: I64
    score: F64
    size: I64


def knapsacks_of(columns: Columns) -> Knapsacks | None:
    """Return the offers as knapsacks, or `None` where some aren't or they are too large.

    That is a market of single blocks, without subsidies, shares and pins, in which all pairs of an offer have the same
    one start and the same hours.
    """
    pairs, supply = columns.pairs, columns.supply
    if (
        columns.config.objective is not Objective.SURPLUS
        or columns.pin_request.size
        or columns.share_limit.size
        or not pairs.offer.size
        or (columns.demand.blocks != 1).any()
        or (pairs.first != pairs.last).any()
        or (pairs.option_high > pairs.option_low).any()
    ):
        return None
    # Of several ways to run on one offer the best counts; the pairs of a request are in the order of their worth.
    _, best = np.unique(pairs.offer.astype(np.int64) * columns.demand.blocks.size + pairs.request, return_index=True)
    offer = pairs.offer[best]
    ptr = np.searchsorted(offer, np.arange(supply.price.size + 1)).astype(np.int64)
    size = np.zeros(supply.price.size, dtype=np.int64)
    for index in np.unique(offer).tolist():
        own = best[ptr[index] : ptr[index + 1]]
        begin, hours = int(pairs.first[own[0]]), int(pairs.hours[own[0]])
        if (pairs.first[own] != begin).any() or (pairs.hours[own] != hours).any():
            return None
        row = int(supply.row_ptr[index]) + begin - int(supply.first_hour[index])
        size[index] = supply.capacity[row : row + hours].min()
    if int((np.diff(ptr) * (size + 1)).sum()) > MAX_CELLS:
        return None
    cards = pairs.cards[best].astype(np.int64)
    return Knapsacks(ptr, best, pairs.request[best].astype(np.int64), cards, pairs.score[best], size)


@compiled
def pack(profit: F64, cards: I64, size: int, packed: Mask) -> float:
    """Set which items of a knapsack are in the best packing; return what it gains. Items without profit stay out."""
    best = np.zeros(size + 1)
    chosen = np.zeros((profit.size, size + 1), dtype=np.bool_)
    for item in range(profit.size):
        if profit[item] <= 0.0:
            continue
        for room in range(size, cards[item] - 1, -1):
            value = best[room - cards[item]] + profit[item]
            if value > best[room]:
                best[room] = value
                chosen[item, room] = True
    room = size
    for item in range(profit.size - 1, -1, -1):
        packed[item] = chosen[item, room]
        if packed[item]:
            room -= cards[item]
    return best[size]


@compiled
def _pack_all(
    knapsacks: Knapsacks, room: I64, free: Mask, price: F64, often: F64, blend: float, cover: F64
) -> tuple[float, int]:
    """Pack every offer with the free blocks at their prices; return (what that gains, the cells looked at)."""
    gained, work = 0.0, 0
    cover[:] = 0.0
    items = np.zeros(knapsacks.pair.size, dtype=np.int64)
    for offer in range(room.size):
        count = 0
        for at in range(knapsacks.ptr[offer], knapsacks.ptr[offer + 1]):
            often[at] *= 1.0 - blend
            if free[knapsacks.request[at]] and knapsacks.cards[at] <= room[offer]:
                items[count] = at
                count += 1
        own = items[:count]
        packed = np.zeros(count, dtype=np.bool_)
        profit = knapsacks.score[own] - price[knapsacks.request[own]]
        gained += pack(profit, knapsacks.cards[own], room[offer], packed)
        work += count * (room[offer] + 1)
        for at in own[packed]:
            often[at] += blend
            cover[knapsacks.request[at]] += 1.0
    return gained, work


@compiled
def settle(
    knapsacks: Knapsacks,
    room: I64,
    free: Mask,
    price: F64,
    least_price: F64,
    velocity: F64,
    often: F64,
    pace: F64,
    passes: int,
    floor: float,
    blend: float,
) -> int:
    """Move the prices of the free blocks along the subgradient; return the cells looked at.

    `often` is blended with what each pass packs. `pace` is changed too: the step relative to Polyak's towards `floor`,
    passes since the bound fell, and the least bound, whose prices are left in `least_price`.
    """
    work = 0
    cover = np.zeros(price.size)
    for _ in range(passes):
        gained, looked = _pack_all(knapsacks, room, free, price, often, blend, cover)
        work += looked
        bound = gained + price[free].sum()
        pace[1] += 1.0
        if bound < pace[2]:
            pace[1], pace[2] = 0.0, bound
            least_price[:] = price
        elif pace[1] >= PATIENCE:
            pace[0], pace[1] = pace[0] * SLOWER, 0.0
        slope = np.where(free, 1.0 - cover, 0.0)
        length = (slope * slope).sum()
        if length == 0.0:
            break
        velocity[:] = (1.0 - MOMENTUM) * slope + MOMENTUM * velocity
        price[:] = np.maximum(0.0, price - pace[0] * max(0.0, bound - floor) / length * velocity)
    return work


@compiled
def surest(knapsacks: Knapsacks, room: I64, free: Mask, often: F64, chance: F64) -> int:
    """Return the position that its offer packed most often, of those that still fit, or −1 where all were seldom."""
    best, most = -1, 0.0
    for offer in range(room.size):
        for at in range(knapsacks.ptr[offer], knapsacks.ptr[offer + 1]):
            if often[at] <= SELDOM or often[at] + chance[at] <= most:
                continue
            if free[knapsacks.request[at]] and knapsacks.cards[at] <= room[offer]:
                best, most = at, often[at] + chance[at]
    return best


@dataclass(frozen=True)
class Depth:
    """How far a dive is: what is left of the offers, the blocks not fixed, their prices, and what is fixed."""

    room: I64
    free: Mask
    price: F64
    often: F64
    plan: Plan

    def copy(self) -> "Depth":
        """Return an independent copy."""
        arrays = (self.room.copy(), self.free.copy(), self.price.copy(), self.often.copy())
        return Depth(*arrays, plan=copy_plan(self.plan))


def dive(
    columns: Columns,
    knapsacks: Knapsacks,
    worth: F64,
    held: Callable[[], int],
    offer: Callable[[Plan], bool],
    watch: Watch,
    until: float,
) -> None:
    """Dive again and again until a part of the limit is used, the first time along the surest way.

    Args:
        columns: The clearing.
        knapsacks: Its offers.
        worth: Prices to begin with, by request: what its block gains at the prices of capacity.
        held: Tells what the best plan so far is worth.
        offer: Takes the plan that a dive comes to.
        watch: The run's limit.
        until: The part of the limit.
    """
    free = np.diff(columns.demand.pair_ptr) > 0
    often = np.zeros(knapsacks.pair.size)
    surface = Depth(knapsacks.size.copy(), free, np.maximum(worth, 0.0), often, empty_plan(columns))
    below = _settled(knapsacks, surface, ROOT_PASSES, (FIRST_PACE, ROOT_BLEND), float(held()), watch, until)
    dealer = np.random.default_rng(columns.config.seed)
    chance = np.zeros(often.size)
    while below is not None and not watch.spent(until):
        deepest = _descend(columns, knapsacks, below.copy(), chance, held, watch, until)
        if deepest is None:
            return
        offer(place_rest(columns, deepest, watch))
        chance = dealer.uniform(0.0, CHANCE, often.size)


def _settled(
    knapsacks: Knapsacks,
    depth: Depth,
    passes: int,
    pace: tuple[float, float],
    floor: float,
    watch: Watch,
    until: float,
) -> Depth | None:
    """Return the depth with prices settled, or `None` where the part of the limit is used up before."""
    least, velocity = depth.price.copy(), np.zeros(depth.price.size)
    state = np.array([pace[0], 0.0, np.inf])
    for _ in range(0, passes, CHUNK):
        moved = (depth.price, least, velocity, depth.often)
        work = settle(knapsacks, depth.room, depth.free, *moved, state, CHUNK, floor, pace[1])
        watch.add(work // CELLS_PER_WORK)
        if watch.spent(until):
            return None
    return replace(depth, price=least)


def _descend(
    columns: Columns,
    knapsacks: Knapsacks,
    depth: Depth,
    chance: F64,
    held: Callable[[], int],
    watch: Watch,
    until: float,
) -> Depth | None:
    """Fix blocks and settle the prices of the others, until few are left."""
    at_once = max(FIXED, round(int(depth.free.sum()) * FIXED_PART))
    fixed = 0.0
    while True:
        for _ in range(at_once):
            at = surest(knapsacks, depth.room, depth.free, depth.often, chance)
            if at < 0 or int(depth.free.sum()) <= TAIL:
                return depth
            _fix(columns, knapsacks, depth, at)
            fixed += float(knapsacks.score[at])
        settled = _settled(knapsacks, depth, PASSES, (PACE, BLEND), held() - fixed, watch, until)
        if settled is None:
            return None
        depth = settled


def _fix(columns: Columns, knapsacks: Knapsacks, depth: Depth, at: int) -> None:
    pair, request = int(knapsacks.pair[at]), int(knapsacks.request[at])
    depth.room[columns.pairs.offer[pair]] -= knapsacks.cards[at]
    depth.free[request] = False
    slot, start = int(columns.demand.slot_ptr[request]), int(columns.pairs.first[pair])
    nothing = np.zeros(WIDTH, dtype=np.int64)
    put(columns.supply, columns.demand, columns.pairs, columns.terms, depth.plan, slot, pair, start, NONE, nothing)


def place_rest(columns: Columns, depth: Depth, watch: Watch) -> Plan:
    """Let CP-SAT place what is left around what is fixed."""
    pairs = columns.pairs
    kept = depth.free[pairs.request] & (pairs.cards <= depth.room[pairs.offer])
    asked = np.unique(pairs.request[kept]).tolist()
    if not asked:
        return depth.plan
    solved = solve_model(
        build_model(columns, asked, kept, depth.plan),
        seconds=watch.left(1.0)[0],
        deterministic=EFFORT,
        workers=1,
        seed=columns.config.seed,
        tell=lambda _best, _bound: watch.cancelled(),
    )
    watch.add(int(EFFORT / EFFORT_PER_WORK * WORK_UNIT))
    return depth.plan if solved.plan is None else solved.plan
