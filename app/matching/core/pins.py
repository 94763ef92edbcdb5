"""The pinned blocks: place them first, or name the pins that contradict each other.

All other requests may be left out, so the pins can hold exactly if the pinned requests alone can reach their
`min_blocks` with every pin kept. A quick placement is tried first; where it fails, CP-SAT decides, and pins are
dropped one by one until what is left is a smallest contradiction.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from app.kit.time import format_rfc3339, from_hour_index
from app.matching.core.columns import NONE, Columns, binding_pins, build_columns
from app.matching.core.config import Pin
from app.matching.core.cpsat import build_model, solve_model
from app.matching.core.fcfs import cheapest
from app.matching.core.plan import Plan, empty_plan, empty_slot, put
from app.matching.core.sigma import WIDTH

DETERMINISTIC_TIME = 30.0


class PinConflictError(ValueError):
    """Pins that can't hold together."""


class PinsUndecidedError(Exception):
    """Neither a placement of the pins nor a proof that there is none was found within the work allowed."""


def place_pins(columns: Columns) -> Plan:
    """Return a plan that holds every pin and the `min_blocks` of the pinned requests, and nothing else.

    Raises:
        PinConflictError: naming a smallest set of pins that contradict each other.
        PinsUndecidedError: if that couldn't be decided.
    """
    plan = empty_plan(columns)
    if not columns.pin_request.size or _place_quickly(columns, plan):
        return plan
    requests = sorted({int(request) for request in columns.pin_request})
    solved = _decide(columns, requests)
    if solved is not None:
        return solved
    conflict = _smallest_conflict(columns)
    told = "; ".join(
        f"{pin.request} on {pin.offer}"
        + ("" if pin.start_hour is None else f" at {format_rfc3339(from_hour_index(pin.start_hour))}")
        for pin in conflict
    )
    raise PinConflictError(f"these pins can't hold together: {told}" if len(conflict) > 1 else f"can't hold: {told}")


def _place_quickly(columns: Columns, plan: Plan) -> bool:
    """Place the pins in order of submission, cheapest first; return whether all found their place."""
    no_mu = np.zeros(columns.budget_limit.size, dtype=np.float64)
    sigma = np.zeros(WIDTH, dtype=np.int64)
    fixed = (columns.supply, columns.demand, columns.pairs, columns.terms, plan, no_mu)

    def place(request: int, offer: int, start: int) -> bool:
        slot = empty_slot(columns.demand, plan, request)
        if slot < 0:
            return False
        pair, at, option = cheapest(*fixed, request, offer, start, -np.inf, 0.0, False, sigma)
        if pair < 0:
            return False
        put(columns.supply, columns.demand, columns.pairs, columns.terms, plan, slot, pair, at, option, sigma)
        return True

    # Those with a start first: they have the least choice.
    submitted = [columns.instance.requests[int(request)].submitted_at for request in columns.pin_request]
    order = sorted(range(columns.pin_request.size), key=lambda i: (columns.pin_start[i] == NONE, submitted[i], i))
    for index in order:
        pin = (columns.pin_request[index], columns.pin_offer[index], columns.pin_start[index])
        if not place(int(pin[0]), int(pin[1]), int(pin[2])):
            return False
    for request in sorted({int(request) for request in columns.pin_request}):
        while plan.placed[request] < columns.demand.min_blocks[request]:
            if not place(request, NONE, NONE):
                return False
    return True


def _decide(columns: Columns, requests: Sequence[int]) -> Plan | None:
    """Return a plan of the pinned requests, or `None` where there provably is none."""
    solved = solve_model(
        build_model(columns, requests),
        seconds=None,
        deterministic=DETERMINISTIC_TIME,
        workers=1,
        seed=columns.config.seed,
        feasibility_only=True,
    )
    if solved.infeasible:
        return None
    if solved.plan is None:
        raise PinsUndecidedError("whether the pins can hold together was not decided in time")
    return solved.plan


def _smallest_conflict(columns: Columns) -> list[Pin]:
    """Drop pins one by one as long as the rest still contradict each other."""
    kept = binding_pins(columns.config.pins)
    for pin in list(kept):
        fewer = [other for other in kept if other != pin]
        trial = build_columns(columns.instance, replace(columns.config, pins=tuple(fewer)))
        requests = sorted({int(request) for request in trial.pin_request})
        if fewer and _decide(trial, requests) is None:
            kept = fewer
    return kept
