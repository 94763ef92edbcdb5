"""From a need and the market to options: which offers would do, at what price, where they have room; or why none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from app.catalog.models import Offer
from app.catalog.repository import Steps, Supplier
from app.catalog.selectors import ChipSelector
from app.catalog.service import chip_facts
from app.demand.spec import SiteRules
from app.kit.time import ceil_hour, floor_hour, hour_index
from app.matching.core.quote import Bundle, Choice, Profile, best_bundles, earliest_fit, most_blocks
from app.matching.core.subsidy import Purse
from app.matching.errors import EmptyReason
from app.matching.search import free_profile, next_hour
from app.matching.subsidies import BuyerTerms

# A quote lists every block of every option: so many blocks at most, so that it stays readable and quick.
MAX_PLACEMENTS = 2_000


@dataclass(frozen=True, slots=True)
class NeedAlternative:
    """One way to meet a block; `max_net_price_fen` per card-hour, None for no limit."""

    selector: ChipSelector
    cards: int
    hours: int
    max_net_price_fen: int | None

    @property
    def max_net_fen(self) -> int | None:
        """The most for a block after subsidy; None for no limit."""
        return None if self.max_net_price_fen is None else self.max_net_price_fen * self.cards * self.hours


@dataclass(frozen=True, slots=True)
class Need:
    """What is looked for: `blocks` side by side, each by one of the alternatives, inside the window."""

    alternatives: tuple[NeedAlternative, ...]
    earliest_start: datetime
    deadline: datetime
    site: SiteRules
    blocks: int

    def window(self, now: datetime) -> tuple[int, int]:
        """Return the window in whole hours, rounded inward; nothing starts before the next whole hour."""
        low = max(ceil_hour(self.earliest_start), next_hour(now))
        return hour_index(low), hour_index(floor_hour(self.deadline))


@dataclass(frozen=True, slots=True)
class Answer:
    """The options, best first, or the reason why there is none."""

    bundles: tuple[Bundle, ...] = ()
    reason: EmptyReason | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """An alternative and an offer that has its chip."""

    alternative: int
    offer: Offer


@dataclass(frozen=True, slots=True)
class NetPricing:
    """Prices choices net of what vouchers give their buyer, with what a purse has left."""

    need: Need
    terms: BuyerTerms
    purse: Purse

    def price(self, choice: Choice) -> Choice | None:
        """Return a choice with the largest subsidy that is left for it, or None where it costs more than it may."""
        most = self.need.alternatives[choice.alternative].max_net_fen
        subsidies = self.purse.best(self.terms.eligible.classes[UUID(bytes=choice.offer)], choice.cost_fen, most)
        if subsidies is None or subsidies == choice.subsidies:
            return None if subsidies is None else choice
        return replace(choice, subsidies=subsidies)

    def take(self, choice: Choice) -> None:
        """Draw a choice's subsidies."""
        self.purse.draw(choice.subsidies)

    def all(self, choices: Sequence[Choice]) -> list[Choice]:
        """Return those choices that cost no more than they may, each priced as if it were alone."""
        return [priced for choice in choices if (priced := self.price(choice)) is not None]

    def afresh(self) -> "NetPricing":
        """Return another with the same left, to draw from."""
        return replace(self, purse=self.purse.copy())


def pairs_by_chip(need: Need, offers: Sequence[Offer]) -> list[Pair]:
    """Return the alternatives with each offer whose chip they accept."""
    facts = {offer.chip_model: chip_facts(offer.chip) for offer in offers}
    found: list[Pair] = []
    for position, alternative in enumerate(need.alternatives):
        accepted = {name for name, known in facts.items() if alternative.selector.accepts(known)}
        found += [Pair(position, offer) for offer in offers if offer.chip_model in accepted]
    return found


def pairs_by_site(need: Need, pairs: Sequence[Pair], suppliers: Mapping[UUID, Supplier]) -> list[Pair]:
    """Return those pairs whose offer the site rules allow."""
    allowed = {
        pair.offer.id: need.site.accepts(
            region=pair.offer.region,
            supplier=suppliers[pair.offer.supplier_org_id].ref,
            interconnect_gbps=pair.offer.interconnect_gbps,
            cards_per_node=pair.offer.cards_per_node,
            domestic=pair.offer.chip.domestic,
        )
        for pair in pairs
    }
    return [pair for pair in pairs if allowed[pair.offer.id]]


def answer(
    need: Need,
    pairs: Sequence[Pair],
    steps: Mapping[UUID, Steps],
    usage: Mapping[UUID, Steps],
    terms: BuyerTerms,
    *,
    now: datetime,
    limit: int,
) -> Answer:
    """Return the best options among pairs that chip and site allow, net of what vouchers give.

    Args:
        need: what is looked for.
        pairs: alternatives and offers; not empty.
        steps: capacity by offer.
        usage: what is taken of it inside the window, by offer.
        terms: what the buyer may get on these offers.
        now: the present.
        limit: most options.
    """
    held = _choices(need, pairs, steps, now)
    if isinstance(held, EmptyReason):
        return Answer(reason=held)
    whole = NetPricing(need, terms, terms.whole)
    if not (affordable := whole.all(held)):
        return Answer(reason=EmptyReason.OVER_BUDGET)
    present = NetPricing(need, terms, terms.purse)
    if not (paid := present.all(held)):
        return Answer(reason=EmptyReason.SUBSIDY_EXHAUSTED)
    free = {offer_id.bytes: free_profile(offer_steps, usage[offer_id]) for offer_id, offer_steps in steps.items()}
    most = max(1, min(limit, MAX_PLACEMENTS // need.blocks))
    bundles = best_bundles(free, paid, blocks=need.blocks, limit=most, pricing=present.afresh)
    if bundles:
        return Answer(tuple(bundles))
    # Were subsidies without end, all blocks would find a place.
    if most_blocks(free, affordable, blocks=need.blocks) == need.blocks:
        return Answer(reason=EmptyReason.SUBSIDY_EXHAUSTED)
    return Answer(reason=_why_full(free, affordable, need.blocks))


def _choices(
    need: Need, pairs: Sequence[Pair], steps: Mapping[UUID, Steps], now: datetime
) -> list[Choice] | EmptyReason:
    """Return the pairs that would do on an empty market, or why none would."""
    low, high = need.window(now)
    empty = {offer_id: free_profile(offer_steps, []) for offer_id, offer_steps in steps.items()}
    large = [p for p in pairs if empty[p.offer.id].most() >= need.alternatives[p.alternative].cards]
    if not large:
        return EmptyReason.TOO_LARGE
    choices = [_choice(need.alternatives[p.alternative], p, low, high) for p in large]
    held = [c for c, p in zip(choices, large, strict=True) if _fits_ever(empty[p.offer.id], c)]
    return held or EmptyReason.NO_WINDOW


def _choice(alternative: NeedAlternative, pair: Pair, low: int, high: int) -> Choice:
    return Choice(
        offer=pair.offer.id.bytes,
        alternative=pair.alternative,
        cards=alternative.cards,
        hours=alternative.hours,
        low=low,
        high=high,
        price_fen=pair.offer.price_fen,
    )


def _fits_ever(capacity: Profile, choice: Choice) -> bool:
    return earliest_fit(capacity, choice.cards, choice.hours, choice.low, choice.high) is not None


def _why_full(free: Mapping[bytes, Profile], choices: Sequence[Choice], blocks: int) -> EmptyReason:
    """Return why choices that would do on an empty market have no room now."""
    if most_blocks(free, choices, blocks=blocks) > 0:
        return EmptyReason.MIN_BLOCKS
    for position in {choice.alternative for choice in choices}:
        own = [choice for choice in choices if choice.alternative == position]
        left = sum(free[choice.offer].card_hours(choice.low, choice.high) for choice in own)
        if left >= own[0].cards * own[0].hours:
            return EmptyReason.FRAGMENTED
    return EmptyReason.SOLD_OUT
