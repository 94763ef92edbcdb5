"""Quotes and booking: the best options for a need now, and an option turned into reservations."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app.accounts.acting import acting_for
from app.accounts.callers import Caller
from app.accounts.models import Role
from app.catalog.errors import WINDOW_ORDER
from app.catalog.models import Offer, OfferState
from app.catalog.repository import OfferFilter, Supplier, find_offers, load_steps, load_suppliers, load_usage
from app.catalog.schemas import SupplierOut
from app.catalog.selectors import ChipSelector
from app.demand import service as demand
from app.demand.models import ComputeRequest
from app.demand.schemas import AlternativeIn, RequestIn, SiteIn
from app.demand.spec import SiteRules, spec_of, whole_hours
from app.kit.db import ReadSession, WriteSession, acting_as_system
from app.kit.errors import NOT_FOUND, Problem
from app.kit.ids import encode_id, new_id
from app.kit.time import HOUR, format_rfc3339, from_hour_index
from app.matching import repository
from app.matching.core.quote import Bundle
from app.matching.core.subsidy import Subsidy
from app.matching.errors import (
    BLOCKS_OF_REQUEST,
    NO_SUCH_OPTION,
    ONE_NEED,
    QUOTE_BOOKED,
    QUOTE_EXPIRED,
    QUOTE_STALE,
    REQUEST_CHANGED,
    SUBSIDY_CHANGED,
    EmptyReason,
    reason_text,
)
from app.matching.models import Quote
from app.matching.quoting import Answer, Need, NeedAlternative, answer, pairs_by_chip, pairs_by_site
from app.matching.schemas import (
    BookingIn,
    NeedIn,
    OptionOut,
    PlacementOut,
    QuotedSubsidyOut,
    QuoteIn,
    QuoteOut,
    ReasonOut,
)
from app.matching.snapshot import asked_of, listed_as
from app.matching.subsidies import Asked, BuyerTerms, Taken, load_buyer_terms
from app.reservations.errors import REQUEST_NOT_OPEN
from app.reservations.holding import OPEN_STATES, Hold, hold_capacity
from app.reservations.models import Reservation
from app.reservations.repository import live_blocks
from app.vouchers.budgets import Component

QUOTE_LIFE: Final = timedelta(minutes=10)


async def create_quote(session: WriteSession, caller: Caller, body: QuoteIn, now: datetime) -> Quote:
    """Find the best options for a request's blocks, or for a need, net of vouchers; keep them for ten minutes.

    Raises:
        Problem: `one_need_only`, `not_found`, `request_not_open`, `blocks_out_of_range`, what `acting_for` refuses
            of `buyer_org_id`, and what demand refuses of the need's content.
    """
    if (body.request_id is None) == (body.need is None):
        raise ONE_NEED.field("/request_id")
    if body.need is not None:
        if body.blocks is not None:
            raise BLOCKS_OF_REQUEST.field("/blocks", left=0)
        buyer_org_id = await acting_for(session, caller, body.buyer_org_id, Role.BUYER, pointer="/buyer_org_id")
        need = await _need_of_body(session, body.need)
        blocks, content = tuple(range(need.blocks)), None
        hours = max(each.hours for each in need.alternatives)
        asked = Asked(encode_id("org", buyer_org_id), buyer_org_id, None, need.blocks, hours)
    else:
        assert body.request_id is not None  # noqa: S101  exactly one is given
        request = await demand.get_request(session, caller, body.request_id)
        buyer_org_id = request.buyer_org_id
        if body.buyer_org_id not in (None, buyer_org_id):
            raise NOT_FOUND.problem(what="request")
        blocks = await _blocks_of_request(session, request, body.blocks)
        need, content = _need_of_request(request, len(blocks)), _content(request)
        asked = asked_of(request, encode_id("org", buyer_org_id))
    options, reason = await _options(session, caller, asked, need, blocks, limit=body.limit, now=now)
    quote = Quote(
        id=new_id(),
        buyer_org_id=buyer_org_id,
        request_id=body.request_id,
        need={
            "asked": body.model_dump(mode="json"),
            "content": content,
            "blocks": len(blocks),
            "reason": reason.value if reason else None,
        },
        options=[option.model_dump(mode="json") for option in options],
        created_at=now,
        expires_at=now + QUOTE_LIFE,
    )
    session.add(quote)
    await session.flush()
    return quote


async def get_quote(session: ReadSession, caller: Caller, quote_id: UUID) -> Quote:
    """Return a quote, also a lapsed one while it is kept.

    Raises:
        Problem: `not_found`, also for another buyer's.
    """
    quote = await repository.get_quote(session, caller, quote_id)
    if quote is None:
        raise NOT_FOUND.problem(what="quote")
    return quote


def quote_out(quote: Quote, language: str) -> QuoteOut:
    """Return a quote as shown, its reason in `en` or `zh-CN`."""
    reason = EmptyReason(quote.need["reason"]) if quote.need["reason"] else None
    return QuoteOut(
        id=quote.id,
        buyer_org_id=quote.buyer_org_id,
        request_id=quote.request_id,
        blocks=quote.need["blocks"],
        options=_stored_options(quote),
        reason=ReasonOut(code=reason, detail=reason_text(reason, language)) if reason else None,
        created_at=quote.created_at,
        expires_at=quote.expires_at,
    )


async def book(session: WriteSession, caller: Caller, body: BookingIn, now: datetime) -> list[Reservation]:
    """Reserve every block of a quote's option with the subsidies that were quoted, or none.

    The request is locked first (or made, for a need), then the offers are kept from being edited; that everything
    is free, and no block is taken, the database itself sees to.

    Raises:
        Problem: `not_found`, `quote_expired`, `no_such_option`, `request_changed`, `quote_booked`, `quote_stale`,
            `subsidy_changed`, `request_not_open`, `start_passed`, `min_blocks`; `capacity_taken`, `block_taken` and
            `funds_exhausted` at the edge.
    """
    quote = await get_quote(session, caller, body.quote_id)
    if quote.expires_at <= now:
        raise QUOTE_EXPIRED.problem(expires_at=format_rfc3339(quote.expires_at))
    options = _stored_options(quote)
    if body.option > len(options):
        raise NO_SUCH_OPTION.field("/option", count=len(options))
    placements = options[body.option - 1].placements
    if quote.request_id is not None:
        request = await demand.get_request(session, caller, quote.request_id, lock=True)
        if _content(request) != quote.need["content"]:
            raise REQUEST_CHANGED.problem()
    else:
        request = await _request_of_quote(session, caller, quote, placements, now)
    async with acting_as_system(session, caller.scope):
        offers = await repository.lock_offers(session, {placement.offer_id for placement in placements})
        approved = await repository.approved_organisations(
            session, {offer.supplier_org_id for offer in offers.values()}
        )
        listed = {offer.id: listed_as(offer) for offer in offers.values()}
        asked = asked_of(request, encode_id("org", request.buyer_org_id))
        terms = await load_buyer_terms(session, asked, listed, now)
    for placement in placements:
        offer = offers[placement.offer_id]
        _check_fresh(offer, placement, is_sold=offer.supplier_org_id in approved)
        _check_subsidies(terms, placement)
    holds = [
        Hold(
            block=placement.block,
            offer=offers[placement.offer_id],
            cards=placement.cards,
            starts_at=placement.starts_at,
            hours=placement.hours,
            components=tuple(
                Component(each.programme, each.programme_version, each.tier, each.year, each.amount_fen)
                for each in placement.subsidies
            ),
        )
        for placement in placements
    ]
    return await hold_capacity(session, caller, request, holds, now=now)


async def sweep_quotes(session: WriteSession, now: datetime) -> int:
    """Delete the quotes that have lapsed (as the system); return how many."""
    return await repository.delete_lapsed_quotes(session, now)


async def _options(
    session: WriteSession,
    caller: Caller,
    asked: Asked,
    need: Need,
    blocks: Sequence[int],
    *,
    limit: int,
    now: datetime,
) -> tuple[list[OptionOut], EmptyReason | None]:
    """Return the options for blocks of these numbers, or why there is none."""
    offers = await find_offers(session, OfferFilter(state=OfferState.OPEN))
    pairs = pairs_by_chip(need, offers)
    if not pairs:
        return [], EmptyReason.NO_CHIP
    by_id = {pair.offer.id: pair.offer for pair in pairs}
    suppliers = await load_suppliers(session, {offer.supplier_org_id for offer in by_id.values()})
    pairs = pairs_by_site(need, pairs, suppliers)
    if not pairs:
        return [], EmptyReason.NO_SITE
    ids = list({pair.offer.id: None for pair in pairs})
    low, high = need.window(now)
    steps = await load_steps(session, ids)
    usage = await load_usage(session, ids, from_hour_index(low), from_hour_index(max(low + 1, high)))
    async with acting_as_system(session, caller.scope):
        listed = {offer_id: listed_as(offer) for offer_id, offer in by_id.items()}
        terms = await load_buyer_terms(session, asked, listed, now)
    found: Answer = answer(need, pairs, steps, usage, terms, now=now, limit=limit)
    options = [
        _option(number, bundle, blocks, by_id, suppliers, terms.years)
        for number, bundle in enumerate(found.bundles, start=1)
    ]
    return options, found.reason


def _option(
    number: int,
    bundle: Bundle,
    blocks: Sequence[int],
    offers: dict[UUID, Offer],
    suppliers: dict[UUID, Supplier],
    years: Mapping[str, tuple[int, int]],
) -> OptionOut:
    placements: list[PlacementOut] = []
    for block, placed in zip(blocks, bundle, strict=True):
        choice = placed.choice
        offer = offers[UUID(bytes=choice.offer)]
        supplier = suppliers[offer.supplier_org_id]
        starts_at = from_hour_index(placed.start)
        placements.append(
            PlacementOut(
                block=block,
                alternative=choice.alternative,
                offer_id=offer.id,
                offer_ref=offer.ref,
                supplier=SupplierOut(org_id=offer.supplier_org_id, ref=supplier.ref, name=supplier.name),
                chip_model=offer.chip_model,
                region=offer.region,
                interconnect_gbps=offer.interconnect_gbps,
                auto_accept=offer.auto_accept,
                starts_at=starts_at,
                ends_at=starts_at + choice.hours * HOUR,
                cards=choice.cards,
                hours=choice.hours,
                price_fen=choice.price_fen,
                cost_fen=choice.cost_fen,
                subsidies=[_subsidy(subsidy, *years[subsidy.component.programme]) for subsidy in choice.subsidies],
                subsidy_fen=choice.subsidy_fen,
                net_fen=choice.net_fen,
            )
        )
    return OptionOut(option=number, placements=placements, net_fen=sum(each.net_fen for each in placements))


def _subsidy(subsidy: Subsidy, year: int, version: int) -> QuotedSubsidyOut:
    return QuotedSubsidyOut(
        programme=subsidy.component.programme,
        programme_version=version,
        tier=subsidy.component.tier,
        year=year,
        amount_fen=subsidy.amount_fen,
    )


async def _blocks_of_request(session: ReadSession, request: ComputeRequest, wanted: int | None) -> tuple[int, ...]:
    """Return the numbers of the blocks to place: the lowest that have no live reservation."""
    if request.state not in OPEN_STATES:
        raise REQUEST_NOT_OPEN.problem(state=request.state)
    live = await live_blocks(session, request.id)
    left = [block for block in range(request.blocks) if block not in live]
    count = max(1, request.min_blocks - len(live)) if wanted is None else wanted
    if count > len(left):
        raise BLOCKS_OF_REQUEST.field("/blocks", left=len(left))
    return tuple(left[:count])


def _need_of_request(request: ComputeRequest, blocks: int) -> Need:
    spec = spec_of(request)
    alternatives = tuple(
        NeedAlternative(each.selector, each.cards, each.hours, each.max_net_price_fen) for each in spec.alternatives
    )
    return Need(alternatives, spec.earliest_start, spec.deadline, spec.site, blocks)


def _content(request: ComputeRequest) -> list[str]:
    """Return what a request asks for, as texts that are equal as long as it asks for the same."""
    alternatives = [
        f"{each.chips} {each.min_memory_gb} {each.min_fp16_tflops} {each.cards} {each.hours} {each.max_net_price_fen}"
        for each in request.alternatives
    ]
    window = f"{format_rfc3339(request.earliest_start)} {format_rfc3339(request.deadline)}"
    site = SiteIn.model_validate(request, from_attributes=True).model_dump_json()
    return [*alternatives, window, f"{request.blocks} {request.min_blocks}", site]


async def _need_of_body(session: ReadSession, body: NeedIn) -> Need:
    if body.deadline <= body.earliest_start:
        raise WINDOW_ORDER.field("/need/deadline")
    try:
        await demand.check_alternatives(session, _priced(body, 0))
        await demand.check_site(session, body.site)
    except Problem as problem:
        inside = tuple(replace(error, pointer=f"/need{error.pointer}") for error in problem.errors)
        raise Problem(problem.code, problem.params, inside) from None
    alternatives = tuple(
        NeedAlternative(
            ChipSelector.parse(each.chips, min_memory_gb=each.min_memory_gb, min_fp16_tflops=each.min_fp16_tflops),
            each.cards,
            whole_hours(each.hours),
            each.max_net_price_fen,
        )
        for each in body.alternatives
    )
    site = SiteRules(
        regions=frozenset(body.site.regions),
        suppliers_allowed=frozenset(body.site.suppliers_allowed),
        suppliers_refused=frozenset(body.site.suppliers_refused),
        min_interconnect_gbps=body.site.min_interconnect_gbps,
        min_cards_per_node=body.site.min_cards_per_node,
        domestic=body.site.domestic,
    )
    return Need(alternatives, body.earliest_start, body.deadline, site, body.blocks)


def _priced(body: NeedIn, price_fen: int) -> list[AlternativeIn]:
    """Return a need's alternatives as a request's, those without a limit with `price_fen`."""
    return [
        AlternativeIn.model_validate(
            each.model_dump()
            | {"max_net_price_fen": price_fen if each.max_net_price_fen is None else each.max_net_price_fen}
        )
        for each in body.alternatives
    ]


async def _request_of_quote(
    session: WriteSession, caller: Caller, quote: Quote, placements: Sequence[PlacementOut], now: datetime
) -> ComputeRequest:
    """Post the need of a quote as a request of its own; its reference is the quote's id, so that it is one only.

    An alternative without a limit takes the dearest price that the option accepts.
    """
    ref = encode_id("quote", quote.id)
    if await repository.has_request(session, quote.buyer_org_id, ref):
        raise QUOTE_BOOKED.problem()
    need = NeedIn.model_validate(quote.need["asked"]["need"])
    body = RequestIn(
        buyer_org_id=quote.buyer_org_id,
        ref=ref,
        alternatives=_priced(need, max(placement.price_fen for placement in placements)),
        earliest_start=need.earliest_start,
        deadline=need.deadline,
        blocks=need.blocks,
        min_blocks=need.blocks,
        site=need.site,
    )
    return await demand.create_request(session, caller, body, now)


def _check_fresh(offer: Offer, placement: PlacementOut, *, is_sold: bool) -> None:
    """Refuse a placement on an offer that is not the one quoted any more."""
    quoted = (OfferState.OPEN.value, placement.price_fen, placement.region, placement.interconnect_gbps)
    if not is_sold or (offer.state, offer.price_fen, offer.region, offer.interconnect_gbps) != quoted:
        raise QUOTE_STALE.problem(offer_ref=placement.offer_ref)


def _check_subsidies(terms: BuyerTerms, placement: PlacementOut) -> None:
    """Refuse what the buyer's facts, the supplier's partnership or the year's programmes don't give any more.

    The amounts stand: price and rules are those that were quoted, and what is left of the budgets the ledger guards.
    """
    for each in placement.subsidies:
        if terms.years.get(each.programme) != (each.year, each.programme_version):
            raise _subsidy_changed(each, placement)
    amounts = {(each.programme, each.tier): each.amount_fen for each in placement.subsidies}
    if not terms.allows(placement.offer_id, Taken(placement.cost_fen, amounts)):
        raise _subsidy_changed(placement.subsidies[0], placement)


def _subsidy_changed(subsidy: QuotedSubsidyOut, placement: PlacementOut) -> Problem:
    return SUBSIDY_CHANGED.problem(programme=subsidy.programme, tier=subsidy.tier, offer_ref=placement.offer_ref)


def _stored_options(quote: Quote) -> list[OptionOut]:
    # A quote that the release before made says nothing of subsidies; it had none.
    options = [
        option | {"placements": [{"subsidies": []} | placement for placement in option["placements"]]}
        for option in quote.options
    ]
    return [OptionOut.model_validate(option) for option in options]
