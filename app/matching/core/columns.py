"""The columns k = (q, a, o, s, u) of an instance, never one object per column.

A *pair* is (request, alternative, offer): its cost doesn't depend on the start, so the columns of a pair are the range
of its feasible starts times the options of its buyer on its offer's subsidy class. A pair exists only where some start
has n cards free for h hours on the empty market and where full subsidy brings the net cost down to `max_net`.
"""

# NumPy's stubs type an element read at an untyped index as an array; compiled code reads scalars.
# pyright: reportArgumentType=false, reportReturnType=false

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from app.kit.money import PPM
from app.matching.core import limits
from app.matching.core.acceptance import Acceptance
from app.matching.core.compiled import compiled
from app.matching.core.config import Objective, Pin, SolverConfig
from app.matching.core.instance import Instance, Option
from app.matching.core.limits import InstanceError, within
from app.matching.core.sigma import NOTHING_ALLOWED, WIDTH, Terms, best_option, compile_terms

I8 = npt.NDArray[np.int8]
I16 = npt.NDArray[np.int16]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

NONE: Final = -1
# Capacity is kept this long after the last deadline, for what a later deadline would find.
LOOK_AHEAD_HOURS: Final = 720


class Supply(NamedTuple):
    """Offers: hour `first_hour[o] + i` of offer o is row `row_ptr[o] + i` of `capacity`. Hours are from `base_hour`."""

    row_ptr: I64
    first_hour: I32
    capacity: I32
    price: I64
    share: I32


class Demand(NamedTuple):
    """Requests: weight w, blocks B, min_blocks M, window [earliest, deadline), pairs, slots (one per block)."""

    weight: I64
    blocks: I32
    min_blocks: I32
    earliest: I32
    deadline: I32
    pair_ptr: I64
    slot_ptr: I64
    share: I32


class Pairs(NamedTuple):
    """Pairs, those of a request together, the most valuable first.

    `gain` is the first objective of a block without subsidy and weight: max_net − C, or n·h for coverage. `score` and
    `sigma_score` (per request: of a fen of subsidy) are what the search maximises: all stages in one number.
    Starts run from `first` to `last`; where not all between are feasible on the empty market, `ragged` is set.
    """

    request: I32
    alternative: I8
    offer: I32
    cards: I32
    hours: I32
    cost: I64
    max_net: I64
    gain: I64
    score: F64
    top: F64
    first: I32
    last: I32
    ragged: Mask
    option_low: I32
    option_high: I32


@dataclass(frozen=True)
class Columns:
    """Everything the methods and the certificate compute on, in arrays. Positions are those of the instance."""

    instance: Instance
    config: SolverConfig
    acceptance: Acceptance
    base_hour: int
    supply: Supply
    demand: Demand
    pairs: Pairs
    terms: Terms
    sigma_ppm: int
    sigma_score: F64
    lexicographic_scale: float
    budget_limit: I64
    share_names: tuple[str, ...]
    share_limit: I64
    option_ids: tuple[int, ...]
    asked: "Asked"
    option_ptr: I64
    offer_class: I32
    class_count: int
    pin_request: I32
    pin_offer: I32
    pin_start: I32

    @property
    def slots(self) -> int:
        """The number of blocks of all requests."""
        return int(self.demand.slot_ptr[-1])


def _supply(instance: Instance, base: int, end: int, shares: dict[str, int]) -> Supply:
    pointers = [0]
    first_hours: list[int] = []
    profiles: list[I32] = []
    for offer in instance.offers:
        low = min(max(offer.steps[0][0], base), end)
        high = max(low, min(offer.steps[-1][0], end))
        within("instance", "offer_hours", pointers[-1] + high - low, 0, limits.MAX_OFFER_HOURS)
        profile = np.zeros(high - low, dtype=np.int32)
        for hour, cards in offer.steps:
            profile[max(hour - low, 0) :] = cards
        profiles.append(profile)
        first_hours.append(low - base)
        pointers.append(pointers[-1] + profile.size)
    return Supply(
        row_ptr=np.array(pointers, dtype=np.int64),
        first_hour=np.array(first_hours, dtype=np.int32),
        capacity=np.concatenate(profiles) if profiles else np.zeros(0, dtype=np.int32),
        price=np.array([offer.price_fen for offer in instance.offers], dtype=np.int64),
        share=np.array([shares.get(f"supplier/{offer.supplier}", NONE) for offer in instance.offers], dtype=np.int32),
    )


def _terms(instance: Instance) -> tuple[Terms, I64, dict[str, int], dict[str, int]]:
    """Return terms, the option range of (party, subsidy class) as a flat pointer, and both numberings."""
    classes = {name: i for i, name in enumerate(sorted({offer.subsidy_class for offer in instance.offers}))}
    buyers = {name: i for i, name in enumerate(sorted({request.party for request in instance.requests}))}
    width = max(1, len(classes))
    counts = np.zeros(len(buyers) * width + 1, dtype=np.int64)
    used: list[Option] = []
    for option in instance.options:
        if option.buyer in buyers and option.subsidy_class in classes:
            counts[buyers[option.buyer] * width + classes[option.subsidy_class] + 1] += 1
            used.append(option)
    terms = compile_terms(used, instance.budget_index)
    return terms, np.cumsum(counts), buyers, classes


def option_ids(instance: Instance) -> tuple[int, ...]:
    """Return the positions in `instance.options` of the options that the columns number from 0 up."""
    classes = {offer.subsidy_class for offer in instance.offers}
    buyers = {request.party for request in instance.requests}
    return tuple(
        index
        for index, option in enumerate(instance.options)
        if option.buyer in buyers and option.subsidy_class in classes
    )


class Asked(NamedTuple):
    """Alternatives, one row each, and the offers that each accepts: `accepted[group_ptr[g]:group_ptr[g + 1]]`."""

    request: I32
    position: I8
    cards: I32
    hours: I32
    max_net: I64
    value: I64
    buyer: I32
    group: I32
    group_ptr: I64
    accepted: I32


def _asked(instance: Instance, acceptance: Acceptance, buyers: dict[str, int]) -> Asked:
    groups: dict[object, int] = {}
    accepted: list[I32] = []
    rows: list[tuple[int, int, int, int, int, int, int, int]] = []
    for index, request in enumerate(instance.requests):
        buyer = buyers[request.party]
        for position, alternative in enumerate(request.alternatives):
            key = acceptance.group_key(request, alternative)
            group = groups.setdefault(key, len(groups))
            if group == len(accepted):
                accepted.append(acceptance.offers(request, alternative))
            size = (alternative.cards, alternative.hours, alternative.max_net_fen, alternative.value_fen)
            rows.append((index, position, *size, buyer, group))
    table = np.array(rows, dtype=np.int64).reshape(-1, 8)
    sizes = np.array([0, *(group.size for group in accepted)], dtype=np.int64)
    return Asked(
        request=table[:, 0].astype(np.int32),
        position=table[:, 1].astype(np.int8),
        cards=table[:, 2].astype(np.int32),
        hours=table[:, 3].astype(np.int32),
        max_net=table[:, 4].copy(),
        value=table[:, 5].copy(),
        buyer=table[:, 6].astype(np.int32),
        group=table[:, 7].astype(np.int32),
        group_ptr=np.cumsum(sizes),
        accepted=np.concatenate(accepted) if accepted else np.zeros(0, dtype=np.int32),
    )


@compiled
def feasible_starts(
    capacity: I32, row: int, first_hour: int, length: int, cards: int, hours: int, earliest: int, deadline: int
) -> tuple[int, int, int]:
    """Return (first, last, count) of the starts in the window with `cards` free for `hours`; count 0 if none."""
    low = max(earliest, first_hour)
    high = min(deadline, first_hour + length)
    first = last = -1
    count = 0
    run = 0
    for hour in range(low, high):
        if capacity[row + hour - first_hour] >= cards:
            run += 1
            if run >= hours:
                last = hour - hours + 1
                if first < 0:
                    first = last
                count += 1
        else:
            run = 0
    return first, last, count


@compiled
def _list_pairs(
    supply: Supply,
    demand: Demand,
    asked: Asked,
    terms: Terms,
    option_ptr: I64,
    offer_class: I32,
    class_count: int,
    limit: I64,
    forbidden: I64,
    capacity_top: I32,
    out_row: I64,
    out_offer: I32,
    out_start: I32,
    write: bool,
) -> int:
    """Count the pairs, and write them where `write` is set: row of `asked`, offer, (first, last, ragged)."""
    count = 0
    offers = supply.price.size
    no_mu = np.zeros(limit.size, dtype=np.float64)
    sigma = np.zeros(WIDTH, dtype=np.int64)
    scratch = np.zeros(WIDTH, dtype=np.int64)
    for row in range(asked.request.size):
        request = asked.request[row]
        cards = asked.cards[row]
        hours = asked.hours[row]
        if demand.deadline[request] - demand.earliest[request] < hours:
            continue
        group = asked.group[row]
        for index in range(asked.group_ptr[group], asked.group_ptr[group + 1]):
            offer = asked.accepted[index]
            if capacity_top[offer] < cards:
                continue
            cost = supply.price[offer] * cards * hours
            need = cost - asked.max_net[row]
            if need > 0:
                kind = asked.buyer[row] * class_count + offer_class[offer]
                low, high = option_ptr[kind], option_ptr[kind + 1]
                option, _ = best_option(terms, low, high, cost, need, limit, 1.0, no_mu, False, sigma, scratch)
                if option == NOTHING_ALLOWED:
                    continue
            if forbidden.size > 0:
                key = int(request * offers + offer)
                at = int(np.searchsorted(forbidden, key))
                if at < forbidden.size and forbidden[at] == key:
                    continue
            first, last, starts = feasible_starts(
                supply.capacity,
                supply.row_ptr[offer],
                supply.first_hour[offer],
                supply.row_ptr[offer + 1] - supply.row_ptr[offer],
                cards,
                hours,
                demand.earliest[request],
                demand.deadline[request],
            )
            if starts == 0:
                continue
            if write:
                out_row[count] = row
                out_offer[count] = offer
                out_start[count, 0] = first
                out_start[count, 1] = last
                out_start[count, 2] = last - first + 1 != starts
            count += 1
    return count


@compiled
def _top_values(
    terms: Terms,
    request: I32,
    cost: I64,
    max_net: I64,
    score: F64,
    sigma_score: F64,
    low: I32,
    high: I32,
    limit: I64,
    top: F64,
) -> None:
    """Set `top` to the greatest score of each pair with the best subsidy of an untouched budget."""
    no_mu = np.zeros(limit.size, dtype=np.float64)
    sigma = np.zeros(WIDTH, dtype=np.int64)
    scratch = np.zeros(WIDTH, dtype=np.int64)
    for pair in range(top.size):
        unit = sigma_score[request[pair]]
        need = cost[pair] - max_net[pair]
        _, gain = best_option(terms, low[pair], high[pair], cost[pair], need, limit, unit, no_mu, False, sigma, scratch)
        top[pair] = score[pair] + gain


def binding_pins(pins: tuple[Pin, ...]) -> list[Pin]:
    """Return the pins that each need a block of their own: one with a start says all that one without it says."""
    started = {(pin.request, pin.offer) for pin in pins if pin.start_hour is not None}
    return sorted(
        {pin for pin in pins if pin.start_hour is not None or (pin.request, pin.offer) not in started},
        key=lambda pin: (pin.request, pin.offer, pin.start_hour or 0),
    )


def build_columns(instance: Instance, config: SolverConfig) -> Columns:
    """Work out the columns of an instance under a configuration.

    Raises:
        InstanceError: if the configuration doesn't fit the instance, or the model would be too large.
    """
    config.check(instance)
    base = min((request.earliest_hour for request in instance.requests), default=limits.MIN_HOUR)
    end = max((request.deadline_hour for request in instance.requests), default=base) + LOOK_AHEAD_HOURS
    share_names = tuple(sorted(share.name for share in config.shares))
    share_index = {name: index for index, name in enumerate(share_names)}
    share_ppm = {share.name: share.share_ppm for share in config.shares}
    supply = _supply(instance, base, end, share_index)
    terms, option_ptr, buyers, classes = _terms(instance)
    acceptance = Acceptance(instance)
    asked = _asked(instance, acceptance, buyers)
    demand = _demand(instance, base, share_index)
    forbidden = np.array(
        sorted(
            instance.request_index[pair.request] * len(instance.offers) + instance.offer_index[pair.offer]
            for pair in config.forbids
        ),
        dtype=np.int64,
    )
    budget_limit = np.array([budget.limit_fen for budget in instance.budgets], dtype=np.int64)
    offer_class = np.array([classes[offer.subsidy_class] for offer in instance.offers], dtype=np.int32)
    tops = [
        int(supply.capacity[supply.row_ptr[offer] : supply.row_ptr[offer + 1]].max(initial=0))
        for offer in range(len(instance.offers))
    ]
    fixed = (supply, demand, asked, terms, option_ptr, offer_class, max(1, len(classes)), budget_limit, forbidden)
    top_cards = np.array(tops, dtype=np.int32)
    empty = np.zeros((0, 3), dtype=np.int32)
    count = _list_pairs(*fixed, top_cards, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32), empty, False)
    within("instance", "pairs", int(count), 0, limits.MAX_PAIRS)
    rows = np.zeros(count, dtype=np.int64)
    offers = np.zeros(count, dtype=np.int32)
    starts = np.zeros((count, 3), dtype=np.int32)
    _list_pairs(*fixed, top_cards, rows, offers, starts, True)
    kinds = asked.buyer[rows].astype(np.int64) * max(1, len(classes)) + offer_class[offers]
    pairs, sigma_score, scale = _pairs(config, supply, demand, asked, rows, offers, starts, option_ptr, kinds)
    _top_values(
        terms,
        pairs.request,
        pairs.cost,
        pairs.max_net,
        pairs.score,
        sigma_score,
        pairs.option_low,
        pairs.option_high,
        budget_limit,
        pairs.top,
    )
    order = np.lexsort((pairs.alternative, pairs.offer, -pairs.top, pairs.request))
    pairs = Pairs(*(np.ascontiguousarray(array[order]) for array in pairs))
    pair_ptr = np.searchsorted(pairs.request, np.arange(len(instance.requests) + 1)).astype(np.int64)
    pins = binding_pins(config.pins)
    return Columns(
        instance=instance,
        config=config,
        acceptance=acceptance,
        base_hour=base,
        supply=supply,
        demand=demand._replace(pair_ptr=pair_ptr),
        pairs=pairs,
        terms=terms,
        sigma_ppm=PPM - config.kappa_ppm if config.objective is Objective.SURPLUS else 0,
        sigma_score=sigma_score,
        lexicographic_scale=scale,
        budget_limit=budget_limit,
        share_names=share_names,
        share_limit=np.array(
            [share_ppm[name] * instance.requested_card_hours // PPM for name in share_names], dtype=np.int64
        ),
        option_ids=option_ids(instance),
        asked=asked,
        option_ptr=option_ptr,
        offer_class=offer_class,
        class_count=max(1, len(classes)),
        pin_request=np.array([instance.request_index[pin.request] for pin in pins], dtype=np.int32),
        pin_offer=np.array([instance.offer_index[pin.offer] for pin in pins], dtype=np.int32),
        pin_start=np.array([NONE if pin.start_hour is None else pin.start_hour - base for pin in pins], dtype=np.int32),
    )


def _demand(instance: Instance, base: int, shares: dict[str, int]) -> Demand:
    requests = instance.requests
    slots = np.zeros(len(requests) + 1, dtype=np.int64)
    np.cumsum([request.blocks for request in requests], out=slots[1:])
    return Demand(
        weight=np.array([request.weight for request in requests], dtype=np.int64),
        blocks=np.array([request.blocks for request in requests], dtype=np.int32),
        min_blocks=np.array([request.min_blocks for request in requests], dtype=np.int32),
        earliest=np.array([request.earliest_hour - base for request in requests], dtype=np.int32),
        deadline=np.array([request.deadline_hour - base for request in requests], dtype=np.int32),
        pair_ptr=np.zeros(len(requests) + 1, dtype=np.int64),
        slot_ptr=slots,
        share=np.array([shares.get(f"buyer/{request.buyer}", NONE) for request in requests], dtype=np.int32),
    )


def _pairs(
    config: SolverConfig,
    supply: Supply,
    demand: Demand,
    asked: Asked,
    rows: I64,
    offers: I32,
    starts: I32,
    option_ptr: I64,
    kinds: I64,
) -> tuple[Pairs, F64, float]:
    request = asked.request[rows]
    cards = asked.cards[rows]
    hours = asked.hours[rows]
    card_hours = cards.astype(np.int64) * hours
    cost = supply.price[offers] * card_hours
    surplus = asked.value[rows] - cost
    weight = demand.weight.astype(np.float64)
    rate = 1.0 - config.kappa_ppm / PPM
    scale = 1.0
    if config.objective is Objective.SURPLUS:
        gain, score, sigma_score = surplus, weight[request] * surplus, weight * rate
    else:
        # One card-hour counts for more than any saving on it, so that coverage comes first.
        per_hour = np.abs(surplus) / np.maximum(card_hours, 1)
        scale = 1_000.0 * (1.0 + float(per_hour.max(initial=0.0)))
        gain = card_hours
        score = weight[request] * card_hours * scale
        if config.objective is Objective.COVERAGE:
            score += weight[request] * surplus
            sigma_score = weight * rate
        else:
            sigma_score = np.full(weight.size, -1.0)
    pairs = Pairs(
        request=request,
        alternative=asked.position[rows],
        offer=offers,
        cards=cards,
        hours=hours,
        cost=cost,
        max_net=asked.max_net[rows],
        gain=gain,
        score=score,
        top=np.zeros(rows.size, dtype=np.float64),
        first=np.ascontiguousarray(starts[:, 0]),
        last=np.ascontiguousarray(starts[:, 1]),
        ragged=starts[:, 2] != 0,
        option_low=option_ptr[kinds].astype(np.int32),
        option_high=option_ptr[kinds + 1].astype(np.int32),
    )
    return pairs, sigma_score, scale


__all__ = ["Columns", "Demand", "InstanceError", "Pairs", "Supply", "build_columns", "feasible_starts"]
