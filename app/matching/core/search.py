"""A plan under improvement: greedy insertion, then ruin-and-recreate."""

import numpy as np
import numpy.typing as npt

from app.matching.core.book import load_book, new_book
from app.matching.core.columns import Columns
from app.matching.core.guide import Guide
from app.matching.core.insertion import insert_all
from app.matching.core.plan import Plan
from app.matching.core.ruin import improve, no_freed, no_scrap

I64 = npt.NDArray[np.int64]


class Search:
    """A plan under improvement, with its book."""

    def __init__(self, columns: Columns, plan: Plan, guide: Guide, seed: int, locked: I64, hopeful: I64) -> None:
        self.columns = columns
        self.plan = plan
        self.guide = guide
        self.book = new_book(columns)
        self.book.locked[locked] = True
        self.freed = no_freed()
        self.work = np.zeros(1, dtype=np.int64)
        # Any odd word will do as long as it isn't 0.
        self.state = np.array([0x9E3779B97F4A7C15 ^ (2 * seed + 1)], dtype=np.uint64)
        # One without a pair has no place to look at.
        self.requests = hopeful[np.diff(columns.demand.pair_ptr)[hopeful] > 0]
        self.value = float(load_book(columns.pairs, columns.terms, guide, plan, self.book))
        self.scrap = no_scrap()

    def greedy(self, order: I64, beta: float, floor: float) -> None:
        """Insert requests in an order, as far as worth − β·Σλ is above `floor`."""
        columns = self.columns
        self.value += insert_all(
            columns.supply, columns.demand, columns.pairs, columns.terms, self.guide, self.plan, self.book, order,
            beta, floor, self.scrap.slots, self.scrap.scratch, self.work,
        )  # fmt: skip

    def improve(self, rounds: int, tolerance: float) -> None:
        """Ruin and recreate."""
        if not self.requests.size:
            return
        columns = self.columns
        self.value += improve(
            columns.supply, columns.demand, columns.pairs, columns.terms, self.guide, self.plan, self.book, self.freed,
            self.requests, self.state, rounds, tolerance, self.scrap, self.work,
        )  # fmt: skip
