"""Who is where: the plan's blocks by offer, kept while blocks enter and leave."""

# NumPy's stubs type an element read at an untyped index as an array; compiled code reads scalars.
# pyright: reportArgumentType=false, reportReturnType=false

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.matching.core.columns import Columns, Demand, Pairs, Supply
from app.matching.core.compiled import lean
from app.matching.core.guide import Guide, worth_of
from app.matching.core.plan import Plan, put, take
from app.matching.core.sigma import Terms

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class Book(NamedTuple):
    """Who is where: per slot its worth and its neighbours in the list of its offer; per offer its pairs by start.

    `freed` has a new stamp for an offer whenever a block leaves it; a pair for which there was no room since then
    carries the same stamp in `full` and needs no second look. `stamp` is the last one given.
    """

    worth: F64
    head: I32
    after: I32
    before: I32
    locked: Mask
    slot_request: I32
    offer_ptr: I64
    offer_pair: I32
    freed: I64
    full: I64
    stamp: I64


def new_book(columns: Columns) -> Book:
    """Return the book of an empty plan."""
    offers = columns.supply.price.size
    order = np.lexsort((columns.pairs.first, columns.pairs.offer)).astype(np.int32)
    counts = np.bincount(columns.pairs.offer, minlength=offers)
    return Book(
        worth=np.zeros(columns.slots, dtype=np.float64),
        head=np.full(offers, -1, dtype=np.int32),
        after=np.full(columns.slots, -1, dtype=np.int32),
        before=np.full(columns.slots, -1, dtype=np.int32),
        locked=np.zeros(columns.slots, dtype=np.bool_),
        slot_request=np.repeat(np.arange(columns.demand.blocks.size), columns.demand.blocks).astype(np.int32),
        offer_ptr=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        offer_pair=order,
        freed=np.zeros(offers, dtype=np.int64),
        full=np.full(order.size, -1, dtype=np.int64),
        stamp=np.zeros(1, dtype=np.int64),
    )


@lean
def _link(book: Book, offer: int, slot: int) -> None:
    head = book.head[offer]
    book.after[slot] = head
    book.before[slot] = -1
    if head >= 0:
        book.before[head] = slot
    book.head[offer] = slot


@lean
def _unlink(book: Book, offer: int, slot: int) -> None:
    after, before = book.after[slot], book.before[slot]
    if before >= 0:
        book.after[before] = after
    else:
        book.head[offer] = after
    if after >= 0:
        book.before[after] = before


@lean
def enter(
    supply: Supply,
    demand: Demand,
    pairs: Pairs,
    terms: Terms,
    guide: Guide,
    plan: Plan,
    book: Book,
    slot: int,
    pair: int,
    start: int,
    option: int,
    sigma: I64,
) -> float:
    """Put a block into the plan and the book; return its worth."""
    put(supply, demand, pairs, terms, plan, slot, pair, start, option, sigma)
    _link(book, pairs.offer[pair], slot)
    book.worth[slot] = worth_of(pairs, terms, guide, pair, option, sigma)
    return book.worth[slot]


@lean
def leave(supply: Supply, demand: Demand, pairs: Pairs, terms: Terms, plan: Plan, book: Book, slot: int) -> float:
    """Take a block out of the plan and the book; return the worth it had."""
    offer = pairs.offer[plan.pair[slot]]
    _unlink(book, offer, slot)
    book.stamp[0] += 1
    book.freed[offer] = book.stamp[0]
    take(supply, demand, pairs, terms, plan, slot)
    return book.worth[slot]


@lean
def load_book(pairs: Pairs, terms: Terms, guide: Guide, plan: Plan, book: Book) -> float:
    """Enter what a plan holds into an empty book; return the sum of worths."""
    total = 0.0
    for slot in range(plan.pair.size):
        pair = plan.pair[slot]
        if pair >= 0:
            _link(book, pairs.offer[pair], slot)
            book.worth[slot] = worth_of(pairs, terms, guide, pair, plan.option[slot], plan.sigma[slot])
            total += book.worth[slot]
    return total
