"""Why a request is not fully matched, and the smallest changes that would let it fit what is left.

The reason is the first that holds, in the order of `Reason`. Each change is proved: the request alone is checked again
against the capacity, budgets and shares that the outcome leaves. No solver here.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from app.kit.time import format_rfc3339, from_hour_index
from app.matching.core import probe
from app.matching.core.acceptance import CLASS, meets_minimum
from app.matching.core.columns import Columns
from app.matching.core.constraints import budget_use
from app.matching.core.instance import Alternative, Request, Site
from app.matching.core.outcome import Change, Match, Unmatched
from app.matching.core.probe import Facts, Left, Rules

I32 = npt.NDArray[np.int32]
# A class of models that have nothing in common: such a model is proposed by its name.
UNCLASSIFIED = "unclassified"


class Reason(StrEnum):
    """Reason codes in the order in which they are tried."""

    NO_CHIP = "no_chip"
    NO_SITE = "no_site"
    TOO_LARGE = "too_large_for_any_offer"
    NO_WINDOW = "no_window"
    OVER_BUDGET = "over_budget"
    SUBSIDY_EXHAUSTED = "subsidy_exhausted"
    MIN_BLOCKS = "min_blocks"
    FRAGMENTED = "fragmented"
    FORBIDDEN = "forbidden"
    SHARE_LIMIT = "share_limit"
    NO_GAIN = "no_gain"
    OUTBID = "outbid"


DETAIL = {
    Reason.NO_CHIP: "No offer has a chip that the request accepts.",
    Reason.NO_SITE: "Offers with an accepted chip fail the request's regions, suppliers, network or node size.",
    Reason.TOO_LARGE: "No acceptable offer has as many cards at any hour.",
    Reason.NO_WINDOW: "No acceptable offer has the cards for the hours inside the window, even on an empty market.",
    Reason.OVER_BUDGET: "The most that the buyer pays is below the price of every offer, even with full subsidy.",
    Reason.SUBSIDY_EXHAUSTED: "What is left of the subsidy budgets brings no offer down to what the buyer pays.",
    Reason.MIN_BLOCKS: "Some blocks would fit, but fewer than the request's minimum.",
    Reason.FRAGMENTED: "Enough card-hours are free inside the window, but no offer has the cards free together.",
    Reason.FORBIDDEN: "The pairs that would fit were forbidden by the desk.",
    Reason.SHARE_LIMIT: "A share limit of the buyer or the supplier leaves no room for a block.",
    Reason.NO_GAIN: "A match would cost more public money than it brings the buyer.",
    Reason.OUTBID: "The acceptable capacity went to other requests.",
}


@dataclass(frozen=True)
class _Need:
    """One alternative of one request, as the probes take it; hours from the columns' base hour."""

    request: int
    buyer: int
    candidates: I32
    cards: int
    hours: int
    low: int
    deadline: int
    max_net: int

    @property
    def key(self) -> tuple[int, int, I32, int, int]:
        return self.request, self.buyer, self.candidates, self.cards, self.hours


class Explainer:
    """Asks the probes about one request after another against what an outcome leaves."""

    def __init__(self, columns: Columns, matches: Sequence[Match]) -> None:
        self.columns = columns
        self.instance = columns.instance
        self.placed = Counter(match.request for match in matches)
        used = budget_use(self.instance, matches)
        self.left = Left(
            free=_free(columns, matches),
            capacity=columns.supply.capacity,
            budget=np.array([b.limit_fen - used[b.name] for b in self.instance.budgets], dtype=np.int64),
            limit=columns.budget_limit,
            share=_share_left(columns, matches),
            no_mu=np.zeros(columns.budget_limit.size, dtype=np.float64),
        )
        forbidden = sorted(
            self.instance.request_index[pair.request] * len(self.instance.offers)
            + self.instance.offer_index[pair.offer]
            for pair in columns.config.forbids
        )
        self.rules = Rules(
            option_ptr=columns.option_ptr,
            offer_class=columns.offer_class,
            class_count=columns.class_count,
            forbidden=np.array(forbidden, dtype=np.int64),
            buyer_share=columns.demand.share,
        )
        self.horizon = int(
            (columns.supply.first_hour + np.diff(columns.supply.row_ptr)).max(initial=0) if self.instance.offers else 0
        )
        self.fixed = (columns.supply, columns.terms, self.rules, self.left)
        rows = np.searchsorted(columns.asked.request, np.arange(len(self.instance.requests)))
        self.first_row = rows.astype(np.int64)

    @cached_property
    def _by_price(self) -> I32:
        return np.argsort(self.columns.supply.price, kind="stable").astype(np.int32)

    def needs(self, index: int) -> list[_Need]:
        """Return the request's alternatives."""
        asked, demand = self.columns.asked, self.columns.demand
        first = int(self.first_row[index])
        return [
            _Need(
                request=index,
                buyer=int(asked.buyer[row]),
                candidates=asked.accepted[asked.group_ptr[asked.group[row]] : asked.group_ptr[asked.group[row] + 1]],
                cards=int(asked.cards[row]),
                hours=int(asked.hours[row]),
                low=int(demand.earliest[index]),
                deadline=int(demand.deadline[index]),
                max_net=int(asked.max_net[row]),
            )
            for row in range(first, first + len(self.instance.requests[index].alternatives))
        ]

    def wanted(self, request: Request) -> int:
        """Return how many blocks more must fit for a change to help."""
        return 1 if self.placed[request.ref] else request.min_blocks

    def reason(self, index: int, needs: list[_Need]) -> Reason:
        """Return the first reason that holds for a request with unmatched blocks."""
        request = self.instance.requests[index]
        acceptance = self.columns.acceptance
        if not any(acceptance.by_chip(alternative).size for alternative in request.alternatives):
            return Reason.NO_CHIP
        if not any(need.candidates.size for need in needs):
            return Reason.NO_SITE
        found = [Facts(*probe.gather(*self.fixed, *need.key, need.low, need.deadline, need.max_net)) for need in needs]
        for holds, reason in (
            (not any(facts.large for facts in found), Reason.TOO_LARGE),
            (not any(facts.window for facts in found), Reason.NO_WINDOW),
            (not any(facts.payable for facts in found), Reason.OVER_BUDGET),
            (not any(facts.payable_left for facts in found), Reason.SUBSIDY_EXHAUSTED),
            (self._some_but_too_few(request, needs), Reason.MIN_BLOCKS),
            (not any(f.gang_free for f in found) and any(f.enough_hours for f in found), Reason.FRAGMENTED),
            (any(f.barred_fits for f in found) or not any(f.allowed for f in found), Reason.FORBIDDEN),
            (any(facts.shareless_fits for facts in found), Reason.SHARE_LIMIT),
            (self.columns.config.kappa_ppm > 0 and self._fits(needs, 1), Reason.NO_GAIN),
        ):
            if holds:
                return reason
        return Reason.OUTBID

    def _some_but_too_few(self, request: Request, needs: list[_Need]) -> bool:
        if self.placed[request.ref] or request.min_blocks == 1:
            return False
        return self._fits(needs, 1) and not self._fits(needs, request.min_blocks)

    def _fits(self, needs: list[_Need], wanted: int) -> bool:
        return any(self._place(need, wanted) is not None for need in needs)

    def _place(self, need: _Need, wanted: int, **changed: int) -> tuple[int, int] | None:
        """Return (offer, start) of the first of `wanted` blocks where all fit what is left, with parts changed."""
        cards = changed.get("cards", need.cards)
        count, offer, start = probe.fits(
            *self.fixed,
            need.request,
            need.buyer,
            need.candidates,
            cards,
            need.hours,
            need.low,
            changed.get("deadline", need.deadline),
            changed.get("max_net", need.max_net),
            wanted,
        )
        return (offer, start) if count >= wanted else None

    def changes(self, index: int, needs: list[_Need]) -> Iterator[Change]:
        """Yield the smallest change of each kind that helps, in the order price, deadline, cards, chips, region."""
        request = self.instance.requests[index]
        wanted = self.wanted(request)
        for change in (
            self._best(self._price(need, wanted) for need in needs),
            self._best(self._deadline(need, wanted) for need in needs),
            self._best(self._cards(need, wanted) for need in needs),
            self._best(
                self._chips(request, a, need, wanted) for a, need in zip(request.alternatives, needs, strict=True)
            ),
            self._best(
                self._region(request, a, need, wanted) for a, need in zip(request.alternatives, needs, strict=True)
            ),
        ):
            if change is not None:
                yield change

    def _best(self, found: Iterable[tuple[int, Change] | None]) -> Change | None:
        ranked = sorted(
            (item for item in found if item is not None),
            key=lambda item: (item[0], item[1].start_hour, item[1].offer),
        )
        return ranked[0][1] if ranked else None

    def _change(self, kind: str, before: str | int, after: str | int, place: tuple[int, int]) -> Change:
        return Change(kind, before, after, self.instance.offers[place[0]].ref, place[1] + self.columns.base_hour)

    def _price(self, need: _Need, wanted: int) -> tuple[int, Change] | None:
        use = need.cards * need.hours
        before = need.max_net // use
        price, offer, start = probe.least_price(*self.fixed, *need.key, need.low, need.deadline)
        if offer < 0:
            return None
        place = (int(offer), int(start))
        price = int(price)
        if wanted > 1:
            # The price of one block is a lower bound; more blocks may meet dearer offers or emptier budgets.
            high = int(self.columns.supply.price[need.candidates].max(initial=0))
            if self._place(need, wanted, max_net=high * use) is None:
                return None
            low = price
            while low < high:
                middle = (low + high) // 2
                low, high = (low, middle) if self._place(need, wanted, max_net=middle * use) else (middle + 1, high)
            price = low
            place = self._place(need, wanted, max_net=price * use) or place
        if price * use <= need.max_net:
            return None
        return price - before, self._change("price", before, price, place)

    def _deadline(self, need: _Need, wanted: int) -> tuple[int, Change] | None:
        offer, start = probe.least_deadline(*self.fixed, *need.key, need.low, need.max_net, self.horizon)
        if offer < 0:
            return None
        place, deadline = (int(offer), int(start)), int(start) + need.hours
        if wanted > 1:
            low, high = deadline, self.horizon
            if self._place(need, wanted, deadline=high) is None:
                return None
            while low < high:
                middle = (low + high) // 2
                low, high = (low, middle) if self._place(need, wanted, deadline=middle) else (middle + 1, high)
            deadline = low
            place = self._place(need, wanted, deadline=deadline) or place
        if deadline <= need.deadline:
            return None
        base = self.columns.base_hour
        before, after = (format_rfc3339(from_hour_index(hour + base)) for hour in (need.deadline, deadline))
        return deadline - need.deadline, self._change("deadline", before, after, place)

    def _cards(self, need: _Need, wanted: int) -> tuple[int, Change] | None:
        if need.cards == 1 or need.deadline - need.low < need.hours:
            return None
        cards, offer, start = probe.most_cards(*self.fixed, *need.key, need.low, need.deadline, need.max_net)
        if offer < 0:
            return None
        place = (int(offer), int(start))
        cards = int(cards)
        if wanted > 1:
            found = None
            while cards > 0 and found is None:
                most = need.max_net * cards // need.cards
                found = self._place(need, wanted, cards=cards, max_net=most)
                cards -= 0 if found else 1
            if found is None:
                return None
            place = found
        return need.cards - cards, self._change("cards", need.cards, cards, place)

    def _chips(self, request: Request, alternative: Alternative, need: _Need, wanted: int) -> tuple[int, Change] | None:
        """Try the offers with other chips, cheapest first; a class is accepted as a whole, a chip without by name."""
        accepted = np.zeros(len(self.instance.offers), dtype=np.bool_)
        accepted[self.columns.acceptance.by_chip(alternative)] = True
        allowed = self.columns.acceptance.by_site(request.site) & ~accepted & self._meets(alternative)
        order = self._by_price[allowed[self._by_price]]
        return self._widen(need, wanted, order, "chips", alternative.chips, self._chip_terms)

    def _meets(self, alternative: Alternative) -> npt.NDArray[np.bool_]:
        if alternative.min_memory_milli_gb is None and alternative.min_fp16_milli_tflops is None:
            return np.ones(len(self.instance.offers), dtype=np.bool_)
        good = {chip.name for chip in self.instance.chips if meets_minimum(alternative, chip)}
        return np.array([offer.chip in good for offer in self.instance.offers], dtype=np.bool_)

    @cached_property
    def _chip_terms(self) -> list[str]:
        classes = {
            chip.name: None if chip.chip_class == UNCLASSIFIED else chip.chip_class for chip in self.instance.chips
        }
        named = (classes[offer.chip] for offer in self.instance.offers)
        return [
            CLASS + name if name is not None else offer.chip
            for name, offer in zip(named, self.instance.offers, strict=True)
        ]

    @cached_property
    def _regions(self) -> list[str]:
        return [offer.region for offer in self.instance.offers]

    def _region(
        self, request: Request, alternative: Alternative, need: _Need, wanted: int
    ) -> tuple[int, Change] | None:
        site = request.site
        if not site.regions:
            return None
        anywhere = Site(
            suppliers_allowed=site.suppliers_allowed,
            suppliers_refused=site.suppliers_refused,
            min_interconnect_gbps=site.min_interconnect_gbps,
            min_cards_per_node=site.min_cards_per_node,
            domestic=site.domestic,
        )
        by_chip = self.columns.acceptance.by_chip(alternative)
        outside = self.columns.acceptance.by_site(anywhere) & ~self.columns.acceptance.by_site(site)
        others = by_chip[outside[by_chip]]
        return self._widen(need, wanted, others, "region", "|".join(site.regions), self._regions)

    def _widen(
        self, need: _Need, wanted: int, others: I32, kind: str, before: str, terms: list[str]
    ) -> tuple[int, Change] | None:
        """Accept one term more, the one that brings the cheapest block; all `wanted` blocks must then fit."""
        if need.deadline - need.low < need.hours:
            return None
        window = (need.cards, need.hours, need.low, need.deadline, need.max_net)
        sigma, scratch = np.zeros(probe.WIDTH, dtype=np.int64), np.zeros(probe.WIDTH, dtype=np.int64)
        tried: set[str] = set()
        while others.size:
            offer, start, net = probe.best_fit(*self.fixed, need.request, need.buyer, others, *window, sigma, scratch)
            if offer < 0:
                return None
            term = terms[int(offer)]
            tried.add(term)
            place: tuple[int, int] | None = (int(offer), int(start))
            if wanted > 1:
                together = [o for o in others if terms[int(o)] == term] + list(need.candidates)
                wider = replace(need, candidates=np.array(sorted(together), dtype=np.int32))
                place = self._place(wider, wanted)
            if place is not None:
                return int(net), self._change(kind, before, term, place)
            others = np.array([o for o in others if terms[int(o)] not in tried], dtype=np.int32)
        return None


def _free(columns: Columns, matches: Sequence[Match]) -> I32:
    """Return the capacity that matches leave, by row."""
    supply, index = columns.supply, columns.instance.offer_index
    free = supply.capacity.copy()
    for match in matches:
        offer = index[match.offer]
        row = int(supply.row_ptr[offer]) + match.start_hour - columns.base_hour - int(supply.first_hour[offer])
        free[row : row + match.hours] -= match.cards
    return free


def _share_left(columns: Columns, matches: Sequence[Match]) -> npt.NDArray[np.int64]:
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


def explain(columns: Columns, matches: Sequence[Match]) -> tuple[Unmatched, ...]:
    """Return the reason and the smallest changes for every request that isn't fully matched, by ref."""
    explainer = Explainer(columns, matches)
    result: list[Unmatched] = []
    for index, request in enumerate(columns.instance.requests):
        missing = request.blocks - explainer.placed[request.ref]
        if missing <= 0:
            continue
        needs = explainer.needs(index)
        reason = explainer.reason(index, needs)
        changes = tuple(explainer.changes(index, needs))
        result.append(Unmatched(request.ref, missing, reason.value, DETAIL[reason], changes))
    return tuple(result)
