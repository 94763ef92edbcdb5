"""From a need and the market to options: which offers would do, at what price, where they have room; or why none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.catalog.models import Offer
from app.catalog.repository import Steps, Supplier
from app.catalog.selectors import ChipSelector
from app.catalog.service import chip_facts
from app.demand.spec import SiteRules
from app.kit.time import ceil_hour, floor_hour, hour_index
from app.matching.core.quote import Bundle, Choice, Profile, best_bundles, earliest_fit, most_blocks
from app.matching.errors import EmptyReason
from app.matching.search import free_profile, next_hour

# A quote lists every block of every option: so many blocks at most, so that it stays readable and quick.
MAX_PLACEMENTS = 2_000


@dataclass(frozen=True, slots=True)
class NeedAlternative:
    """One way to meet a block; `max_net_price_fen` per card-hour, None for no limit."""

    selector: ChipSelector
    cards: int
    hours: int
    max_net_price_fen: int | None


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
    *,
    now: datetime,
    limit: int,
) -> Answer:
    """Return the best options among pairs that chip and site allow.

    Args:
        need: what is looked for.
        pairs: alternatives and offers; not empty.
        steps: capacity by offer.
        usage: what is taken of it inside the window, by offer.
        now: the present.
        limit: most options.
    """
    low, high = need.window(now)
    empty = {offer_id: free_profile(offer_steps, []) for offer_id, offer_steps in steps.items()}
    large = [p for p in pairs if empty[p.offer.id].most() >= need.alternatives[p.alternative].cards]
    if not large:
        return Answer(reason=EmptyReason.TOO_LARGE)
    choices = [_choice(need.alternatives[p.alternative], p, low, high) for p in large]
    held = [c for c, p in zip(choices, large, strict=True) if _fits_ever(empty[p.offer.id], c)]
    if not held:
        return Answer(reason=EmptyReason.NO_WINDOW)
    paid = [c for c in held if _is_affordable(c, need.alternatives[c.alternative].max_net_price_fen)]
    if not paid:
        return Answer(reason=EmptyReason.OVER_BUDGET)
    free = {offer_id.bytes: free_profile(offer_steps, usage[offer_id]) for offer_id, offer_steps in steps.items()}
    most = max(1, min(limit, MAX_PLACEMENTS // need.blocks))
    bundles = best_bundles(free, paid, blocks=need.blocks, limit=most)
    if bundles:
        return Answer(tuple(bundles))
    return Answer(reason=_why_full(free, paid, need.blocks))


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


def _is_affordable(choice: Choice, max_net_price_fen: int | None) -> bool:
    return max_net_price_fen is None or choice.net_fen <= max_net_price_fen * choice.cards * choice.hours


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
