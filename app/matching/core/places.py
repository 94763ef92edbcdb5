"""The best places for one request against what is left now: a quote in the core, by the kernels of the clearing.

For every alternative a and offer o that the request accepts, the largest subsidy still left gives the least net cost,
and the earliest start with n cards free for h hours inside the window is taken:

    net = p_o·n·h − max Σσ ≤ max_net,   F_o(t) ≥ n for every t in [s, s + h),   share rows hold n·h more

Places are ordered by net cost, then start, then offer, then alternative, as first come, first served takes them.
"""

# NumPy's stubs type an element read at an untyped index as an array; compiled code reads scalars.
# pyright: reportArgumentType=false, reportReturnType=false

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.matching.core.columns import Columns
from app.matching.core.compiled import compiled
from app.matching.core.instance import Request
from app.matching.core.kernels import World, barred, earliest, exponent
from app.matching.core.outcome import Match, Subsidy
from app.matching.core.residual import world_of
from app.matching.core.sigma import NO_OPTION, WIDTH, best_option

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

NO_NEED: Final = -(2**62)
UNKNOWN: Final = -1
NET, START, OFFER, ALTERNATIVE, OPTION = range(5)
FIELDS: Final = 5 + WIDTH


@dataclass(frozen=True, slots=True)
class BestPlace:
    """A place for one block. `start_hour` counts from 1970; `subsidies` hold only amounts > 0."""

    alternative: int
    offer: str
    start_hour: int
    cost_fen: int
    subsidies: tuple[Subsidy, ...]
    net_fen: int


@compiled
def list_places(
    world: World,
    request: int,
    buyer: int,
    buyer_share: int,
    alternative: int,
    accepted: I32,
    cards: int,
    hours: int,
    low: int,
    deadline: int,
    max_net: int,
    out: I64,
) -> int:
    """Write (net, start, offer, alternative, option, amounts) of each accepted offer with room; return how many.

    `request`, `buyer` and `buyer_share` are −1 where the market doesn't know them: no forbid, subsidy, share.
    """
    supply, terms, rules, left = world.supply, world.terms, world.rules, world.left
    no_mu = np.zeros(left.budget.size, dtype=np.float64)
    sigma = np.zeros(WIDTH, dtype=np.int64)
    scratch = np.zeros(WIDTH, dtype=np.int64)
    use = cards * hours
    power = exponent(cards)
    count = 0
    if buyer_share >= 0 and left.share[buyer_share] < use:
        return 0
    for offer in accepted:
        other = supply.share[offer]
        if left.longest[offer, power] < hours or (other >= 0 and left.share[other] < use):
            continue
        if request >= 0 and barred(rules, request, offer):
            continue
        cost = supply.price[offer] * use
        option = NO_OPTION
        sigma[:] = 0
        if buyer >= 0:
            kind = buyer * rules.class_count + rules.offer_class[offer]
            first, last = rules.option_ptr[kind], rules.option_ptr[kind + 1]
            option, _ = best_option(
                terms, first, last, cost, NO_NEED, left.budget, 1.0, no_mu, True, sigma, scratch
            )  # fmt: skip
        net = cost - sigma.sum()
        if net > max_net:
            continue
        start = earliest(supply, left.free, offer, cards, hours, low, deadline)
        if start < 0:
            continue
        row = out[count]
        row[NET], row[START], row[OFFER], row[ALTERNATIVE], row[OPTION] = net, start, offer, alternative, option
        row[5:] = sigma
        count += 1
    return count


class Places:
    """Answers where one block of a request fits what the matches leave; keeps the arrays between questions."""

    def __init__(self, columns: Columns, matches: Sequence[Match]) -> None:
        self.columns = columns
        self.world = world_of(columns, matches)
        buyers = sorted({request.buyer for request in columns.instance.requests})
        self._buyers = {name: index for index, name in enumerate(buyers)}
        self._shares = {name: index for index, name in enumerate(columns.share_names)}

    def best(self, request: Request, limit: int) -> list[BestPlace]:
        """Return the `limit` best places of one block, best first.

        The request needn't be one of the market's; offers' hours are known from the market's earliest start until
        `columns.LOOK_AHEAD_HOURS` after its last deadline.
        """
        columns = self.columns
        index = columns.instance.request_index.get(request.ref, UNKNOWN)
        buyer = self._buyers.get(request.buyer, UNKNOWN)
        share = self._shares.get(f"buyer/{request.buyer}", UNKNOWN)
        low, deadline = request.earliest_hour - columns.base_hour, request.deadline_hour - columns.base_hour
        found: list[I64] = []
        for position, alternative in enumerate(request.alternatives):
            accepted = columns.acceptance.offers(request, alternative)
            out = np.empty((accepted.size, FIELDS), dtype=np.int64)
            cards, hours, most = alternative.cards, alternative.hours, alternative.max_net_fen
            count = list_places(
                self.world, index, buyer, share, position, accepted, cards, hours, low, deadline, most, out
            )
            found.append(out[:count])
        rows = np.concatenate(found)
        order = np.lexsort((rows[:, ALTERNATIVE], rows[:, OFFER], rows[:, START], rows[:, NET]))[:limit]
        return [self._place(request, row) for row in rows[order].tolist()]

    def _place(self, request: Request, row: list[int]) -> BestPlace:
        instance = self.columns.instance
        offer, alternative = instance.offers[row[OFFER]], request.alternatives[row[ALTERNATIVE]]
        subsidies: tuple[Subsidy, ...] = ()
        if row[OPTION] >= 0:
            option = instance.options[self.columns.option_ids[row[OPTION]]]
            subsidies = tuple(
                Subsidy(component.programme, component.tier, amount)
                for component, amount in zip(option.components, row[5:], strict=False)
                if amount > 0
            )
        return BestPlace(
            alternative=row[ALTERNATIVE],
            offer=offer.ref,
            start_hour=row[START] + self.columns.base_hour,
            cost_fen=offer.price_fen * alternative.cards * alternative.hours,
            subsidies=subsidies,
            net_fen=row[NET],
        )
