"""Two clearings compared: who gains, who loses, by how much, and why. Pure; both paths, files and service, call it.

Differences are those of `here` against `there`: what `here` gives more than `there`, below 0 what it takes away.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from app.matching.core.config import SolverConfig
from app.matching.core.instance import Instance, Offer, Option, Request
from app.matching.core.outcome import BudgetUse, Match, Outcome


class Effect(StrEnum):
    """What is otherwise for a request."""

    NEW_REQUEST = "new_request"
    REQUEST_GONE = "request_gone"
    MATCHED = "matched"
    UNMATCHED = "unmatched"
    MORE_BLOCKS = "more_blocks"
    FEWER_BLOCKS = "fewer_blocks"
    MOVED = "moved"
    RESCHEDULED = "rescheduled"
    OTHER_SHAPE = "other_shape"
    DEARER = "dearer"
    CHEAPER = "cheaper"
    SUBSIDY_GAINED = "subsidy_gained"
    SUBSIDY_LOST = "subsidy_lost"


class Cause(StrEnum):
    """What differs between the clearings that touches a request; the last two only where nothing else does."""

    REQUEST_CHANGED = "request_changed"
    PIN_CHANGED = "pin_changed"
    FORBID_CHANGED = "forbid_changed"
    SHARE_CHANGED = "share_changed"
    OFFER_CHANGED = "offer_changed"
    SUBSIDY_TERMS_CHANGED = "subsidy_terms_changed"
    BUDGET_CHANGED = "budget_changed"
    OBJECTIVE_CHANGED = "objective_changed"
    COMPETITION = "competition"
    SEARCH = "search"


@dataclass(frozen=True, slots=True)
class Side:
    """One clearing: what was cleared, how, and what came of it."""

    instance: Instance
    config: SolverConfig
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Holding:
    """What matches give together, in blocks, card-hours and fen; surplus is unweighted."""

    blocks: int = 0
    card_hours: int = 0
    cost_fen: int = 0
    subsidy_fen: int = 0
    net_fen: int = 0
    surplus_fen: int = 0

    def plus(self, match: Match) -> "Holding":
        """Return it with one match more."""
        return Holding(
            self.blocks + 1,
            self.card_hours + match.cards * match.hours,
            self.cost_fen + match.cost_fen,
            self.subsidy_fen + match.subsidy_fen,
            self.net_fen + match.net_fen,
            self.surplus_fen + match.surplus_fen,
        )


NOTHING = Holding()


@dataclass(frozen=True, slots=True)
class RequestDifference:
    """A request that fares otherwise. `code_*` is why blocks of it are unmatched on that side, if any are."""

    request: str
    buyer: str
    here: Holding
    there: Holding
    effects: tuple[Effect, ...]
    causes: tuple[Cause, ...]
    code_here: str | None
    code_there: str | None
    offers_here: tuple[str, ...]
    offers_there: tuple[str, ...]

    @property
    def gain_fen(self) -> int:
        """The buyer's surplus here less that there."""
        return self.here.surplus_fen - self.there.surplus_fen


@dataclass(frozen=True, slots=True)
class PartyDifference:
    """A buyer or supplier whose matches differ in sum: a buyer gains surplus, a supplier `cost_fen` of sales."""

    ref: str
    here: Holding
    there: Holding


@dataclass(frozen=True, slots=True)
class BudgetDifference:
    """A budget whose limit, use or shadow price differs; `None` where there is no such budget."""

    name: str
    here: BudgetUse | None
    there: BudgetUse | None


@dataclass(frozen=True, slots=True)
class MarketDifference:
    """Refs that only one market has, and those that both have with other terms."""

    only_here: tuple[str, ...]
    only_there: tuple[str, ...]
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All differences, the largest first: requests and buyers by surplus, suppliers by sales."""

    same_instance: bool
    here: Holding
    there: Holding
    requests: tuple[RequestDifference, ...]
    buyers: tuple[PartyDifference, ...]
    suppliers: tuple[PartyDifference, ...]
    budgets: tuple[BudgetDifference, ...]
    market_requests: MarketDifference
    market_offers: MarketDifference


def compare(here: Side, there: Side) -> Comparison:
    """Compare two clearings request by request, by their refs."""
    parts = [_by_request(side) for side in (here, there)]
    causes = _Causes(here, there)
    differences: list[RequestDifference] = []
    for ref in sorted(set(here.instance.request_index) | set(there.instance.request_index)):
        found = _difference(ref, here, there, parts[0].get(ref, []), parts[1].get(ref, []), causes)
        if found is not None:
            differences.append(found)
    differences.sort(key=lambda each: (-abs(each.gain_fen), each.request))
    return Comparison(
        same_instance=here.instance == there.instance,
        here=_sum(here.outcome.matches),
        there=_sum(there.outcome.matches),
        requests=tuple(differences),
        buyers=_parties(here, there, _buyer, lambda each: each.here.surplus_fen - each.there.surplus_fen),
        suppliers=_parties(here, there, _supplier, lambda each: each.here.cost_fen - each.there.cost_fen),
        budgets=_budgets(here.outcome.budgets, there.outcome.budgets),
        market_requests=_market(
            {each.ref: each for each in here.instance.requests}, {each.ref: each for each in there.instance.requests}
        ),
        market_offers=_market(_offers(here.instance), _offers(there.instance)),
    )


def _by_request(side: Side) -> dict[str, list[Match]]:
    matches: dict[str, list[Match]] = defaultdict(list)
    for match in side.outcome.matches:
        matches[match.request].append(match)
    return matches


def _sum(matches: Iterable[Match]) -> Holding:
    total = NOTHING
    for match in matches:
        total = total.plus(match)
    return total


def _difference(
    ref: str, here: Side, there: Side, new: list[Match], old: list[Match], causes: "_Causes"
) -> RequestDifference | None:
    effects = _effects(ref, here, there, new, old)
    if not effects:
        return None
    buyer = next(
        side.instance.requests[side.instance.request_index[ref]].buyer
        for side in (here, there)
        if ref in side.instance.request_index
    )
    return RequestDifference(
        request=ref,
        buyer=buyer,
        here=_sum(new),
        there=_sum(old),
        effects=effects,
        causes=causes.of(ref, buyer, new, old),
        code_here=causes.codes_here.get(ref),
        code_there=causes.codes_there.get(ref),
        offers_here=tuple(sorted({match.offer for match in new})),
        offers_there=tuple(sorted({match.offer for match in old})),
    )


def _effects(ref: str, here: Side, there: Side, new: list[Match], old: list[Match]) -> tuple[Effect, ...]:
    effects: list[Effect] = []
    if ref not in there.instance.request_index:
        effects.append(Effect.NEW_REQUEST)
    elif ref not in here.instance.request_index:
        effects.append(Effect.REQUEST_GONE)
    if len(new) != len(old):
        if not old:
            effects.append(Effect.MATCHED)
        elif not new:
            effects.append(Effect.UNMATCHED)
        else:
            effects.append(Effect.MORE_BLOCKS if len(new) > len(old) else Effect.FEWER_BLOCKS)
    if not new or not old:
        return tuple(effects)
    if _differ(new, old, lambda match: (match.cards, match.hours)):
        effects.append(Effect.OTHER_SHAPE)
    if _differ(new, old, lambda match: (match.offer,)):
        effects.append(Effect.MOVED)
    elif _differ(new, old, lambda match: (match.offer, match.start_hour)):
        effects.append(Effect.RESCHEDULED)
    before, after = _sum(old), _sum(new)
    # By the card-hour, so that a block more or less is not told as another price; exact without dividing.
    costs = after.cost_fen * before.card_hours, before.cost_fen * after.card_hours
    if costs[0] != costs[1]:
        effects.append(Effect.DEARER if costs[0] > costs[1] else Effect.CHEAPER)
    gifts = after.subsidy_fen * before.card_hours, before.subsidy_fen * after.card_hours
    if gifts[0] != gifts[1]:
        effects.append(Effect.SUBSIDY_GAINED if gifts[0] > gifts[1] else Effect.SUBSIDY_LOST)
    return tuple(effects)


def _differ(new: list[Match], old: list[Match], key: Callable[[Match], object]) -> bool:
    """Tell whether the smaller of two sets of matches is not within the larger, by a key."""
    few, many = sorted((Counter(map(key, new)), Counter(map(key, old))), key=lambda count: count.total())
    return bool(few - many)


class _Causes:
    """What differs between the clearings, looked up by request."""

    def __init__(self, here: Side, there: Side) -> None:
        self._here, self._there = here, there
        self.codes_here = {each.request: each.code for each in here.outcome.unmatched}
        self.codes_there = {each.request: each.code for each in there.outcome.unmatched}
        self._pins = {pin.request for pin in set(here.config.pins) ^ set(there.config.pins)}
        self._forbids = {pair.request for pair in set(here.config.forbids) ^ set(there.config.forbids)}
        self._shares = {share.name for share in set(here.config.shares) ^ set(there.config.shares)}
        offers = _offers(here.instance), _offers(there.instance)
        self._suppliers = {ref: offer.supplier for both in offers for ref, offer in both.items()}
        self._offers = {ref for ref in set(offers[0]) | set(offers[1]) if offers[0].get(ref) != offers[1].get(ref)}
        self._options = options = _options(here.instance), _options(there.instance)
        limits = [{budget.name: budget.limit_fen for budget in side.instance.budgets} for side in (here, there)]
        moved = {name for name in set(limits[0]) & set(limits[1]) if limits[0][name] != limits[1][name]}
        self._budgets = {
            party
            for each in options
            for party, found in each.items()
            if any(not moved.isdisjoint(part.budgets) for option in found for part in option.components)
        }
        self._aim = (here.config.objective, here.config.kappa_ppm) != (there.config.objective, there.config.kappa_ppm)
        # Where market, aim and the desk's rules are the same, only how it was searched can differ.
        self._only_search = here.instance == there.instance and not (
            self._aim or self._pins or self._forbids or self._shares
        )

    def of(self, ref: str, buyer: str, new: list[Match], old: list[Match]) -> tuple[Cause, ...]:
        """Return what differs that touches a request, or `competition` or `search` where nothing does."""
        used = {match.offer for match in [*new, *old]}
        shares = {f"buyer/{buyer}"} | {f"supplier/{self._suppliers[offer]}" for offer in used}
        codes = {self.codes_here.get(ref), self.codes_there.get(ref)}
        # Other subsidies touch whoever gets other amounts, and whoever went without for lack of one.
        paid = sum(match.subsidy_fen for match in new) != sum(match.subsidy_fen for match in old)
        paid = paid or not codes.isdisjoint({"subsidy_exhausted", "over_budget"})
        requests = self._request(self._here, ref), self._request(self._there, ref)
        parties = [request.party if request is not None else buyer for request in requests]
        terms = [found.get(party) for found, party in zip(self._options, parties, strict=True)]
        # A request's standing is the programmes', not what it asks for.
        asked = [None if request is None else replace(request, standing="") for request in requests]
        found = {
            Cause.REQUEST_CHANGED: asked[0] != asked[1],
            Cause.PIN_CHANGED: ref in self._pins,
            Cause.FORBID_CHANGED: ref in self._forbids,
            Cause.SHARE_CHANGED: not self._shares.isdisjoint(shares),
            Cause.OFFER_CHANGED: not self._offers.isdisjoint(used),
            Cause.SUBSIDY_TERMS_CHANGED: paid and terms[0] != terms[1],
            Cause.BUDGET_CHANGED: paid and not self._budgets.isdisjoint(parties),
            Cause.OBJECTIVE_CHANGED: self._aim,
        }
        causes = tuple(cause for cause, holds in found.items() if holds)
        return causes or ((Cause.SEARCH,) if self._only_search else (Cause.COMPETITION,))

    @staticmethod
    def _request(side: Side, ref: str) -> Request | None:
        at = side.instance.request_index.get(ref)
        return None if at is None else side.instance.requests[at]


def _offers(instance: Instance) -> dict[str, Offer]:
    """Return the offers by ref, without the name of their subsidy class: that is the programmes', not the offer's."""
    return {offer.ref: replace(offer, subsidy_class="") for offer in instance.offers}


def _options(instance: Instance) -> dict[str, tuple[Option, ...]]:
    """Return the options by whose they are: a buyer or a standing, which itself makes no difference."""
    options: dict[str, list[Option]] = defaultdict(list)
    for option in instance.options:
        options[option.buyer].append(replace(option, buyer=""))
    return {party: tuple(found) for party, found in options.items()}


def _buyer(side: Side, match: Match) -> str:
    return side.instance.requests[side.instance.request_index[match.request]].buyer


def _supplier(side: Side, match: Match) -> str:
    return side.instance.offers[side.instance.offer_index[match.offer]].supplier


def _parties(
    here: Side, there: Side, party: Callable[[Side, Match], str], gain: Callable[[PartyDifference], int]
) -> tuple[PartyDifference, ...]:
    """Return the parties whose matches differ in sum, the largest gain or loss first."""
    sums: list[dict[str, Holding]] = [defaultdict(Holding), defaultdict(Holding)]
    for side, total in zip((here, there), sums, strict=True):
        for match in side.outcome.matches:
            name = party(side, match)
            total[name] = total[name].plus(match)
    found = (
        PartyDifference(name, sums[0].get(name, NOTHING), sums[1].get(name, NOTHING))
        for name in sorted(set(sums[0]) | set(sums[1]))
    )
    return tuple(
        sorted((each for each in found if each.here != each.there), key=lambda each: (-abs(gain(each)), each.ref))
    )


def _budgets(here: Iterable[BudgetUse], there: Iterable[BudgetUse]) -> tuple[BudgetDifference, ...]:
    uses = {use.name: use for use in here}, {use.name: use for use in there}
    return tuple(
        BudgetDifference(name, uses[0].get(name), uses[1].get(name))
        for name in sorted(set(uses[0]) | set(uses[1]))
        if uses[0].get(name) != uses[1].get(name)
    )


def _market(here: Mapping[str, object], there: Mapping[str, object]) -> MarketDifference:
    return MarketDifference(
        only_here=tuple(sorted(set(here) - set(there))),
        only_there=tuple(sorted(set(there) - set(here))),
        changed=tuple(sorted(ref for ref in set(here) & set(there) if here[ref] != there[ref])),
    )
