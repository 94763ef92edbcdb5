"""What a clearing leaves, and whether a request alone fits it: slow, by definition, without the engine's kernels.

It shares the input and output types with the engine and nothing else. Several blocks are tried in every way.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.kit.time import hour_index, parse_rfc3339
from app.matching.core.config import Objective, SolverConfig
from app.matching.core.instance import Alternative, Chip, Component, Instance, Offer, Option, Request
from app.matching.core.outcome import Change, Match

M = 1_000_000
Place = tuple[int, str, int]  # alternative, offer, start


@dataclass(frozen=True)
class Draw:
    """What a block takes from budgets."""

    total: int
    by_budget: tuple[tuple[str, int], ...]


def takes(selector: str, chip: Chip) -> bool:
    return any(
        term in {"any", chip.name}
        or (term == "domestic" and chip.domestic is True)
        or (term.startswith("class:") and term[6:] == chip.chip_class)
        for term in (part.strip() for part in selector.split("|"))
    )


class Leftover:
    """The market after `matches`; `whole` is the market as it was."""

    def __init__(self, instance: Instance, config: SolverConfig, matches: Sequence[Match]) -> None:
        self.instance, self.config = instance, config
        self.chips = {chip.name: chip for chip in instance.chips}
        self.offers = {offer.ref: offer for offer in instance.offers}
        self.requests = {request.ref: request for request in instance.requests}
        self.end = max([request.deadline_hour for request in instance.requests], default=0) + 720
        self.capacity = {offer.ref: self._levels(offer) for offer in instance.offers}
        self.free = {ref: levels.copy() for ref, levels in self.capacity.items()}
        self.limit = {budget.name: budget.limit_fen for budget in instance.budgets}
        self.budget = dict(self.limit)
        total = sum(r.blocks * r.alternatives[0].cards * r.alternatives[0].hours for r in instance.requests)
        self.share = {share.name: share.share_ppm * total // M for share in config.shares}
        self.banned = {(pair.request, pair.offer) for pair in config.forbids}
        self.placed: dict[str, int] = {}
        self.by_kind: dict[tuple[str, str], list[Option]] = {}
        for option in instance.options:
            self.by_kind.setdefault((option.buyer, option.subsidy_class), []).append(option)
        self.gain_counts = config.kappa_ppm > 0 and config.objective is Objective.SURPLUS
        for match in matches:
            self._take(match)

    def _levels(self, offer: Offer) -> np.ndarray:
        """Free cards by hour from the offer's first step on."""
        first = offer.steps[0][0]
        levels = np.zeros(max(0, min(offer.steps[-1][0], self.end) - first), dtype=np.int64)
        for hour, cards in offer.steps:
            levels[hour - first :] = cards
        return levels

    def _take(self, match: Match) -> None:
        offer = self.offers[match.offer]
        at = match.start_hour - offer.steps[0][0]
        self.free[match.offer][at : at + match.hours] -= match.cards
        buyer = self.requests[match.request].buyer
        for name in (f"buyer/{buyer}", f"supplier/{offer.supplier}"):
            if name in self.share:
                self.share[name] -= match.cards * match.hours
        for subsidy in match.subsidies:
            for name in self._budgets_of(buyer, offer, subsidy.programme, subsidy.tier):
                self.budget[name] -= subsidy.amount_fen
        self.placed[match.request] = self.placed.get(match.request, 0) + 1

    def _budgets_of(self, buyer: str, offer: Offer, programme: str, tier: str) -> tuple[str, ...]:
        for option in self.by_kind.get((buyer, offer.subsidy_class), []):
            for part in option.components:
                if (part.programme, part.tier) == (programme, tier):
                    return part.budgets
        raise AssertionError(f"{buyer} has no {programme} {tier}")

    def accepts(self, request: Request, alternative: Alternative, offer: Offer) -> bool:
        return self.chip_fits(alternative, offer) and self.site_fits(request, offer)

    def chip_fits(self, alternative: Alternative, offer: Offer) -> bool:
        chip = self.chips[offer.chip]
        for least, has in (
            (alternative.min_memory_milli_gb, chip.memory_milli_gb),
            (alternative.min_fp16_milli_tflops, chip.fp16_milli_tflops),
        ):
            if least is not None and (has is None or has < least):
                return False
        return takes(alternative.chips, chip)

    def site_fits(self, request: Request, offer: Offer) -> bool:
        site = request.site
        gbps = offer.interconnect_gbps
        return (
            (not site.regions or offer.region in site.regions)
            and (not site.suppliers_allowed or offer.supplier in site.suppliers_allowed)
            and offer.supplier not in site.suppliers_refused
            and (site.min_interconnect_gbps is None or (gbps is not None and gbps >= site.min_interconnect_gbps))
            and (site.min_cards_per_node is None or offer.cards_per_node >= site.min_cards_per_node)
            and (site.domestic is None or self.chips[offer.chip].domestic is site.domestic)
        )

    def starts(self, levels: np.ndarray, offer: Offer, cards: int, hours: int, low: int, high: int) -> list[int]:
        """Every start in the window at which the cards are there in every hour."""
        first = offer.steps[0][0]
        return [
            start
            for start in range(max(low, first), min(high, first + levels.size) - hours + 1)
            if levels[start - first : start - first + hours].min() >= cards
        ]

    def draws(self, buyer: str, offer: Offer, cost: int, budget: dict[str, int]) -> Iterator[tuple[int, int, Option]]:
        """(least, most, option) of every option that can be taken."""
        for option in self.by_kind.get((buyer, offer.subsidy_class), []):
            ceiling = cost if option.ceiling_ppm is None else option.ceiling_ppm * cost // M
            highs = [self._most(part, cost, budget) for part in option.components]
            lows = [part.min_fen for part in option.components]
            if any(high < low for high, low in zip(highs, lows, strict=True)):
                continue
            for index, part in enumerate(option.components):
                if part.fixed:
                    lows[index] = min(highs[index], max(lows[index], ceiling - sum(lows[:index])))
            if sum(lows) <= ceiling:
                yield sum(lows), min(sum(highs), ceiling), option

    def _most(self, part: Component, cost: int, budget: dict[str, int]) -> int:
        bounds = [part.rate_ppm * cost // M, *(budget[name] for name in part.budgets)]
        return min(bounds if part.cap_fen is None else [*bounds, part.cap_fen])

    def subsidy(self, buyer: str, offer: Offer, cost: int, budget: dict[str, int]) -> int:
        return max([0, *(most for _, most, _ in self.draws(buyer, offer, cost, budget))])

    def pays(self, alternative: Alternative, cost: int, subsidy: int) -> bool:
        return cost - subsidy <= alternative.max_net_fen

    def gains(self, alternative: Alternative, cost: int, subsidy: int) -> bool:
        """Whether a block with at most this subsidy is worth its public money; always where κ doesn't count."""
        if not self.gain_counts:
            return self.pays(alternative, cost, subsidy)
        if cost <= alternative.value_fen:
            return True
        rate = M - self.config.kappa_ppm
        return (
            rate > 0
            and self.pays(alternative, cost, subsidy)
            and (M * (alternative.value_fen - cost) + rate * subsidy >= 0)
        )

    def share_room(self, buyer: str, offer: Offer, use: int) -> bool:
        names = (f"buyer/{buyer}", f"supplier/{offer.supplier}")
        return all(self.share[name] >= use for name in names if name in self.share)

    def places(self, request: Request) -> Iterator[tuple[Place, int]]:
        """Every place of one block, with its net cost."""
        for position, alternative in enumerate(request.alternatives):
            for offer in self.instance.offers:
                cards, hours = alternative.cards, alternative.hours
                if (request.ref, offer.ref) in self.banned or not self.accepts(request, alternative, offer):
                    continue
                if not self.share_room(request.buyer, offer, cards * hours):
                    continue
                cost = offer.price_fen * cards * hours
                given = self.subsidy(request.buyer, offer, cost, self.budget)
                if not self.gains(alternative, cost, given):
                    continue
                window = (request.earliest_hour, request.deadline_hour)
                for start in self.starts(self.free[offer.ref], offer, cards, hours, *window):
                    yield (position, offer.ref, start), cost - given

    def fits(self, request: Request, wanted: int) -> bool:
        """Whether `wanted` blocks fit side by side in some way."""
        found = self.places(request)
        if wanted == 1:
            return next(found, None) is not None
        return self._side_by_side(request, sorted(place for place, _ in found), wanted)

    def _side_by_side(self, request: Request, found: list[Place], wanted: int) -> bool:
        if wanted == 0:
            return True
        for index, (position, ref, start) in enumerate(found):
            alternative, offer = request.alternatives[position], self.offers[ref]
            cards, hours = alternative.cards, alternative.hours
            at = start - offer.steps[0][0]
            if self.free[ref][at : at + hours].min() < cards:
                continue
            if not self.share_room(request.buyer, offer, cards * hours):
                continue
            for draw in self._ways_to_pay(request, alternative, offer):
                self._hold(request, offer, alternative, at, draw, 1)
                done = self._side_by_side(request, found[index:], wanted - 1)
                self._hold(request, offer, alternative, at, draw, -1)
                if done:
                    return True
        return False

    def _ways_to_pay(self, request: Request, alternative: Alternative, offer: Offer) -> Iterator[Draw]:
        """The least draw of every option, for options of one component."""
        cost = offer.price_fen * alternative.cards * alternative.hours
        worth = alternative.value_fen if self.gain_counts else alternative.max_net_fen
        if cost <= worth:
            yield Draw(0, ())
            return
        rate = max(0, M - self.config.kappa_ppm) if self.gain_counts else M
        if rate == 0:
            return
        need = -(-(cost - worth) * M // rate)
        for least, most, option in self.draws(request.buyer, offer, cost, self.budget):
            (part,) = option.components
            total = max(least, need)
            if total <= most:
                yield Draw(total, tuple((name, total) for name in part.budgets))

    def _hold(self, request: Request, offer: Offer, alternative: Alternative, at: int, draw: Draw, sign: int) -> None:
        self.free[offer.ref][at : at + alternative.hours] -= sign * alternative.cards
        use = sign * alternative.cards * alternative.hours
        for name in (f"buyer/{request.buyer}", f"supplier/{offer.supplier}"):
            if name in self.share:
                self.share[name] -= use
        for name, amount in draw.by_budget:
            self.budget[name] -= sign * amount

    def fits_at(self, request: Request, offer: str, start: int) -> bool:
        """Whether one block fits on this offer at this start."""
        return any(place[1:] == (offer, start) for place, _ in self.places(request))

    def reason(self, request: Request, *, one_fits: bool) -> str:
        """The first reason that holds, by its words in the specification."""
        facts: dict[str, bool] = dict.fromkeys(
            ("chip", "site", "large", "window", "payable", "left", "gang", "allowed"), False
        )
        barred = shareless = plain = gains = hours_enough = False
        for alternative in request.alternatives:
            cards, hours, free_hours = alternative.cards, alternative.hours, 0
            window = (request.earliest_hour, request.deadline_hour)
            for offer in self.instance.offers:
                facts["chip"] |= self.chip_fits(alternative, offer)
                if not self.accepts(request, alternative, offer):
                    continue
                facts["site"] = True
                cost = offer.price_fen * cards * hours
                given = self.subsidy(request.buyer, offer, cost, self.budget)
                can_pay = self.pays(alternative, cost, given)
                if can_pay:
                    first = offer.steps[0][0]
                    low, high = (max(0, hour - first) for hour in window)
                    free_hours += int(self.free[offer.ref][low:high].sum())
                facts["large"] |= max(level for _, level in offer.steps) >= cards
                if not self.starts(self.capacity[offer.ref], offer, cards, hours, *window):
                    continue
                facts["window"] = True
                full = self.subsidy(request.buyer, offer, cost, self.limit)
                facts["payable"] |= can_pay or self.pays(alternative, cost, full)
                if not can_pay:
                    continue
                facts["left"] = True
                is_barred = (request.ref, offer.ref) in self.banned
                facts["allowed"] |= not is_barred
                if not self.starts(self.free[offer.ref], offer, cards, hours, *window):
                    continue
                facts["gang"] = True
                gain = self.gains(alternative, cost, given)
                room = self.share_room(request.buyer, offer, cards * hours)
                barred |= is_barred and gain
                shareless |= not is_barred and not room and gain
                plain |= not is_barred and room
                gains |= not is_barred and room and gain
            hours_enough |= free_hours >= cards * hours
        for fact, code in (
            ("chip", "no_chip"),
            ("site", "no_site"),
            ("large", "too_large_for_any_offer"),
            ("window", "no_window"),
            ("payable", "over_budget"),
            ("left", "subsidy_exhausted"),
        ):
            if not facts[fact]:
                return code
        for holds, code in (
            (one_fits and plain, "min_blocks"),
            (not facts["gang"] and hours_enough, "fragmented"),
            (barred or not facts["allowed"], "forbidden"),
            (shareless, "share_limit"),
            (plain and not gains, "no_gain"),
        ):
            if holds:
                return code
        return "outbid"


def _scaled(alternative: Alternative, cards: int) -> Alternative:
    return replace(
        alternative,
        cards=cards,
        max_net_fen=alternative.max_net_fen * cards // alternative.cards,
        value_fen=alternative.value_fen * cards // alternative.cards,
    )


def _priced(alternative: Alternative, price: int) -> Alternative:
    most = price * alternative.cards * alternative.hours
    value = most if alternative.value_fen == alternative.max_net_fen else alternative.value_fen
    return replace(alternative, max_net_fen=most, value_fen=value)


def price_of(alternative: Alternative) -> int:
    return alternative.max_net_fen // (alternative.cards * alternative.hours)


def with_alternative(request: Request, position: int, alternative: Alternative) -> Request:
    items = list(request.alternatives)
    items[position] = alternative
    return replace(request, alternatives=tuple(items))


def stepped(request: Request, kind: str, step: int) -> Iterator[Request]:
    """Every request that is `step` away in price, deadline or cards."""
    if kind == "deadline":
        yield replace(request, deadline_hour=request.deadline_hour + step)
        return
    for position, alternative in enumerate(request.alternatives):
        if kind == "price":
            yield with_alternative(request, position, _priced(alternative, price_of(alternative) + step))
        elif alternative.cards > step:
            yield with_alternative(request, position, _scaled(alternative, alternative.cards - step))


def widened(request: Request, kind: str, term: str) -> Iterator[Request]:
    """Every request that accepts one chip term or region more."""
    if kind == "region":
        if request.site.regions:
            yield replace(request, site=replace(request.site, regions=(*request.site.regions, term)))
        return
    for position, alternative in enumerate(request.alternatives):
        wider = replace(alternative, chips=f"{alternative.chips}|{term}")
        yield with_alternative(request, position, wider)


def step_of(request: Request, change: Change) -> int:
    """How far a change of price, deadline or cards goes."""
    if change.change == "deadline":
        assert hour_index(parse_rfc3339(str(change.before))) == request.deadline_hour
        return hour_index(parse_rfc3339(str(change.after))) - request.deadline_hour
    assert isinstance(change.before, int)
    assert isinstance(change.after, int)
    return change.after - change.before if change.change == "price" else change.before - change.after
