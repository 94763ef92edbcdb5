"""What the matches of an outcome leave of a market, in the arrays that the kernels take."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from app.kit.money import PPM
from app.matching.core.columns import Columns
from app.matching.core.config import Objective
from app.matching.core.constraints import budget_use
from app.matching.core.kernels import Left, Rules, World, longest_runs
from app.matching.core.outcome import Match

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]


def world_of(columns: Columns, matches: Sequence[Match]) -> World:
    """Return the market and what the matches leave of it."""
    instance, config = columns.instance, columns.config
    used = budget_use(instance, matches)
    free = _free(columns, matches)
    gains = config.objective is Objective.SURPLUS
    forbidden = sorted(
        instance.request_index[pair.request] * len(instance.offers) + instance.offer_index[pair.offer]
        for pair in config.forbids
    )
    left = Left(
        free=free,
        capacity=columns.supply.capacity,
        budget=np.array([budget.limit_fen - used[budget.name] for budget in instance.budgets], dtype=np.int64),
        limit=columns.budget_limit,
        share=_share_left(columns, matches),
        longest=longest_runs(columns.supply, free),
        top_ever=np.array([max(cards for _, cards in offer.steps) for offer in instance.offers], dtype=np.int32),
    )
    rules = Rules(
        option_ptr=columns.option_ptr,
        offer_class=columns.offer_class,
        class_count=columns.class_count,
        forbidden=np.array(forbidden, dtype=np.int64),
        buyer_share=columns.demand.share,
        keep_ppm=max(0, PPM - config.kappa_ppm) if gains else PPM,
    )
    return World(columns.supply, columns.terms, rules, left)


def _free(columns: Columns, matches: Sequence[Match]) -> I32:
    """Return the capacity that matches leave, by row."""
    supply, index = columns.supply, columns.instance.offer_index
    free = supply.capacity.copy()
    for match in matches:
        offer = index[match.offer]
        row = int(supply.row_ptr[offer]) + match.start_hour - columns.base_hour - int(supply.first_hour[offer])
        free[row : row + match.hours] -= match.cards
    return free


def _share_left(columns: Columns, matches: Sequence[Match]) -> I64:
    left = columns.share_limit.copy()
    if not left.size:
        return left
    index = {name: position for position, name in enumerate(columns.share_names)}
    instance = columns.instance
    for match in matches:
        buyer = instance.requests[instance.request_index[match.request]].buyer
        supplier = instance.offers[instance.offer_index[match.offer]].supplier
        for name in (f"buyer/{buyer}", f"supplier/{supplier}"):
            if name in index:
                left[index[name]] -= match.cards * match.hours
    return left
