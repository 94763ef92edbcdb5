"""Where a need fits now: free capacity of offers as step functions, earliest fits, and the best bundles of blocks.

Sets: offers `o` with free cards `F_o(t)` at hour `t`; choices `c = (alternative, offer)` with `n` cards, `h` whole
hours, a window `[low, high)` and a price. A placement is a choice with a start `s`:

    low ≤ s,  s + h ≤ high,  F_o(t) ≥ n  for every t in [s, s + h)

and the one taken for a choice is the earliest. Placements are ordered by net cost, then start, then offer, then
alternative. Hours are whole and counted from 1970 (`kit.time.hour_index`); money is integer fen.

Blocks side by side draw on the same budgets: what a choice costs net may grow with every block that is taken.
"""

import heapq
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final, Protocol

from app.kit.money import cost_fen
from app.matching.core.subsidy import Subsidy

# A bundle that can't be completed costs as much work as one that can: so many are tried for each that is wanted.
_TRIES_PER_OPTION: Final = 4


@dataclass(frozen=True, slots=True)
class Profile:
    """Free cards of one offer over time.

    From `hours[i]` until `hours[i + 1]` there are `free[i]`; before the first hour there are none, and the last
    entry (0, since every capacity ends) holds for ever.
    """

    hours: tuple[int, ...]
    free: tuple[int, ...]

    def less(self, cards: int, start: int, hours: int) -> "Profile":
        """Return what is left when `cards` are taken from `start` for `hours`."""
        end = start + hours
        marks = sorted({*self.hours, start, end})
        left = tuple(self.at(mark) - (cards if start <= mark < end else 0) for mark in marks)
        return Profile(tuple(marks), left)

    def at(self, hour: int) -> int:
        """Return the free cards at an hour."""
        index = bisect_right(self.hours, hour) - 1
        return self.free[index] if index >= 0 else 0

    def most(self) -> int:
        """Return the most cards that are ever free at once."""
        return max(self.free, default=0)

    def card_hours(self, low: int, high: int) -> int:
        """Return the free card-hours in `[low, high)`; an hour that lacks cards counts as none."""
        return sum(
            max(free, 0) * max(0, min(end, high) - max(start, low))
            for (start, end), free in zip(pairwise(self.hours), self.free, strict=False)
        )


def profile(steps: Iterable[tuple[int, int]], usage: Iterable[tuple[int, int]] = ()) -> Profile:
    """Return an offer's free capacity.

    Args:
        steps: `(hour, cards)`: the capacity from that hour until the next entry's; the last is 0 cards.
        usage: `(hour, cards)`: what is taken of it from that hour until the next entry's.
    """
    changes: Counter[int] = Counter()
    for levels, sign in ((steps, 1), (usage, -1)):
        before = 0
        for hour, cards in sorted(levels):
            changes[hour] += sign * (cards - before)
            before = cards
    hours = tuple(sorted(changes))
    return Profile(hours, tuple(accumulate(changes[hour] for hour in hours)))


def earliest_fit(free: Profile, cards: int, hours: int, low: int, high: int) -> int | None:
    """Return the earliest whole-hour start in the window at which `cards` are free for `hours`, or None.

    Args:
        free: the offer's free capacity.
        cards: the gang, ≥ 1.
        hours: whole hours, ≥ 1.
        low: the first hour that a start may have.
        high: the hour at which it must have ended.
    """
    since: int | None = None
    for index in range(max(bisect_right(free.hours, low) - 1, 0), len(free.hours)):
        begins = max(free.hours[index], low)
        if begins + hours > high and since is None:
            return None
        if free.free[index] < cards:
            since = None
            continue
        since = begins if since is None else since
        ends = free.hours[index + 1] if index + 1 < len(free.hours) else high
        if since + hours <= min(ends, high):
            return since
    return None


def fits(free: Profile, cards: int, hours: int, start: int) -> bool:
    """Tell whether `cards` are free in every hour of `[start, start + hours)`."""
    return earliest_fit(free, cards, hours, start, start + hours) == start


@dataclass(frozen=True, slots=True)
class Choice:
    """An alternative on an offer that may take it, priced for one block.

    `offer` identifies the offer and breaks ties; `subsidies` are what vouchers take off `cost_fen`.
    """

    offer: bytes
    alternative: int
    cards: int
    hours: int
    low: int
    high: int
    price_fen: int
    subsidies: tuple[Subsidy, ...] = ()

    @property
    def cost_fen(self) -> int:
        """Price × cards × hours."""
        return cost_fen(self.price_fen, self.cards, self.hours)

    @property
    def subsidy_fen(self) -> int:
        """What vouchers take off the cost."""
        return sum(subsidy.amount_fen for subsidy in self.subsidies)

    @property
    def net_fen(self) -> int:
        """What the buyer pays for the block."""
        return self.cost_fen - self.subsidy_fen


@dataclass(frozen=True, slots=True)
class Placement:
    """A choice with its start."""

    choice: Choice
    start: int

    @property
    def rank(self) -> tuple[int, int, bytes, int]:
        """The documented order: net cost, earliest start, lowest offer, first alternative."""
        return (self.choice.net_fen, self.start, self.choice.offer, self.choice.alternative)

    @property
    def place(self) -> tuple[bytes, int, int]:
        """Where it is, whatever it costs."""
        return (self.choice.offer, self.choice.alternative, self.start)


Bundle = tuple[Placement, ...]


class Pricing(Protocol):
    """Prices choices against what the blocks taken before have left of the budgets."""

    def price(self, choice: Choice) -> Choice | None:
        """Return a choice with what vouchers take off now, or None where it costs more than it may."""
        ...

    def take(self, choice: Choice) -> None:
        """Draw a choice's subsidies."""
        ...


def placements(profiles: Mapping[bytes, Profile], choices: Iterable[Choice]) -> list[Placement]:
    """Return each choice that fits at its earliest start, best first."""
    found = (Placement(choice, start) for choice in choices if (start := _start(profiles, choice)) is not None)
    return sorted(found, key=lambda placement: placement.rank)


def best_bundles(
    profiles: Mapping[bytes, Profile],
    choices: Sequence[Choice],
    *,
    blocks: int,
    limit: int,
    pricing: Callable[[], Pricing] | None = None,
) -> list[Bundle]:
    """Return the best ways to place `blocks` identical blocks side by side.

    Each bundle begins with the next best placement of one block that no bundle before it holds, and fills up
    greedily with the best placements of what is left; one that can't be completed is dropped, and after four such
    tries for each option wanted the search ends.

    Args:
        profiles: free capacity by offer.
        choices: the admissible, affordable choices of any block.
        blocks: how many blocks a bundle holds, ≥ 1.
        limit: how many bundles are wanted.
        pricing: makes one for each bundle, nothing drawn; None where nobody gives a subsidy.

    Returns:
        At most `limit` bundles: least net cost first, then the one whose last block starts earliest, then by offer.
    """
    bundles: list[Bundle] = []
    held: set[tuple[bytes, int, int]] = set()
    tries = 0
    ordered = placements(profiles, choices)
    for first in ordered:
        if len(bundles) == limit or tries == limit * _TRIES_PER_OPTION:
            break
        if first.place in held:
            continue
        tries += 1
        bundle = _fill(profiles, ordered, first, blocks, pricing)
        if len(bundle) == blocks:
            bundles.append(bundle)
            held.update(placement.place for placement in bundle)
    return sorted(bundles, key=_bundle_rank)


def most_blocks(
    profiles: Mapping[bytes, Profile],
    choices: Sequence[Choice],
    *,
    blocks: int,
    pricing: Callable[[], Pricing] | None = None,
) -> int:
    """Return how many of `blocks` find a place when they are filled greedily, best placement first."""
    ordered = placements(profiles, choices)
    return len(_fill(profiles, ordered, ordered[0], blocks, pricing)) if ordered else 0


def _start(profiles: Mapping[bytes, Profile], choice: Choice, low: int | None = None) -> int | None:
    return earliest_fit(
        profiles[choice.offer], choice.cards, choice.hours, choice.low if low is None else low, choice.high
    )


def _fill(
    profiles: Mapping[bytes, Profile],
    ordered: Sequence[Placement],
    first: Placement,
    blocks: int,
    pricing: Callable[[], Pricing] | None,
) -> Bundle:
    """Return `first` and the best placements beside it, fewer than `blocks` where no more fit.

    What is left only shrinks, so a choice's earliest start and its net cost only grow: a placement from before is still
    the best if neither has moved, and otherwise goes back to its new rank.
    """
    left = dict(profiles)
    budgets = None if pricing is None else pricing()
    bundle: list[Placement] = []
    _take(left, bundle, first, budgets)
    queue = [(placement.rank, placement) for placement in ordered]
    while queue and len(bundle) < blocks:
        placement = queue[0][1]
        start = _start(left, placement.choice, placement.start)
        choice = placement.choice if budgets is None else budgets.price(placement.choice)
        if start is None or choice is None:
            heapq.heappop(queue)
        elif (moved := Placement(choice, start)) != placement:
            heapq.heapreplace(queue, (moved.rank, moved))
        else:
            _take(left, bundle, placement, budgets)
    return tuple(bundle)


def _take(left: dict[bytes, Profile], bundle: list[Placement], placement: Placement, budgets: Pricing | None) -> None:
    choice = placement.choice
    bundle.append(placement)
    left[choice.offer] = left[choice.offer].less(choice.cards, placement.start, choice.hours)
    if budgets is not None:
        budgets.take(choice)


def _bundle_rank(bundle: Bundle) -> tuple[int, int, list[tuple[int, int, bytes, int]]]:
    return (
        sum(placement.choice.net_fen for placement in bundle),
        max(placement.start for placement in bundle),
        sorted(placement.rank for placement in bundle),
    )
