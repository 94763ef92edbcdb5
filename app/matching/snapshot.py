"""Database → Instance: the open market as it is in one REPEATABLE READ snapshot.

Requests and offers are called by their ids, buyers and suppliers by their references. Only what is free takes part:
blocks without a live reservation, capacity less what is held, budgets less what is earmarked.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Uuid, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import selectinload

from app.accounts.models import Organisation, OrganisationRole, OrganisationState, Role
from app.catalog import models as catalog
from app.catalog.repository import OfferFilter, Steps, find_chips, find_offers, load_steps, load_suppliers, load_usage
from app.catalog.selectors import CLASS_PREFIX, SEPARATOR
from app.demand.models import ComputeRequest, RequestState
from app.demand.spec import whole_hours
from app.kit.db import ReadSession
from app.kit.time import LATEST, ceil_hour, floor_hour, from_hour_index, hour_index
from app.matching.clearing_options import ClearingIn, offer_ref, req_ref
from app.matching.core import limits
from app.matching.core.acceptance import Acceptance
from app.matching.core.instance import ANYWHERE, Alternative, Chip, Instance, Offer, Request, Site
from app.matching.search import free_profile, next_hour
from app.matching.subsidies import Asked, Listed, load_options, load_standings, programmes_of, years_of
from app.reservations.models import LIVE, Reservation
from app.vouchers.programmes import Programme

OPEN = (RequestState.OPEN.value, RequestState.PARTLY_MATCHED.value)
_PATIENCE = text(
    "SELECT set_config('statement_timeout', :statement, true), set_config('lock_timeout', :lock, true),"
    " set_config('jit', 'off', true)"
)


@dataclass(frozen=True, slots=True)
class Asker:
    """A request behind a ref: its row, what it asked for, and the numbers of its free blocks."""

    id: UUID
    buyer_org_id: UUID
    content: tuple[object, ...]
    blocks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Seller:
    """An offer behind a ref, and the terms that it was cleared at."""

    id: UUID
    supplier_org_id: UUID
    terms: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A request that is too large for the engine's arithmetic: it takes no part, and is told so."""

    id: UUID
    buyer_org_id: UUID
    blocks: int
    detail: str


@dataclass(frozen=True)
class Snapshot:
    """The instance and what its refs stand for. `years` has the year and version of each programme."""

    instance: Instance
    programmes: tuple[Programme, ...]
    years: Mapping[str, tuple[int, int]]
    moment: datetime
    askers: Mapping[str, Asker]
    sellers: Mapping[str, Seller]
    left_out: tuple[LeftOut, ...]


async def be_patient(session: ReadSession, *, statement_seconds: int, lock_seconds: int) -> None:
    """Let this transaction's statements take longer than an API call's."""
    await session.execute(_PATIENCE, {"statement": f"{statement_seconds}s", "lock": f"{lock_seconds}s"})


def content_of(request: ComputeRequest) -> tuple[object, ...]:
    """Return what a request asks for: equal as long as it asks for the same."""
    return (
        request.earliest_start,
        request.deadline,
        request.blocks,
        request.min_blocks,
        _site(request),
        *(
            (a.chips, a.min_memory_gb, a.min_fp16_tflops, a.cards, a.hours, a.max_net_price_fen)
            for a in request.alternatives
        ),
    )


def terms_of(offer: catalog.Offer) -> tuple[object, ...]:
    """Return what a match rests on of an offer, besides its capacity."""
    return (
        offer.state,
        offer.price_fen,
        offer.region,
        offer.chip_model,
        offer.cards_per_node,
        offer.interconnect_gbps,
    )


async def take_snapshot(session: ReadSession, wanted: ClearingIn, now: datetime) -> Snapshot:
    """Return the open market, from the next whole hour on.

    Args:
        session: one REPEATABLE READ transaction with the system's eyes.
        wanted: which part of it, with which programmes.
        now: the present; contracts are of its year.

    Raises:
        Problem: `programme_not_open` for a run that is to be applied.
        InstanceError: if the market is over a limit.
    """
    await be_patient(session, statement_seconds=120, lock_seconds=2)
    begin = hour_index(next_hour(now))
    programmes = await programmes_of(session, wanted, now)
    offers = await find_offers(
        session, OfferFilter(regions=tuple(wanted.filters.regions), chip_models=tuple(wanted.filters.chip_models))
    )
    supplier_refs = {
        org_id: supplier.ref
        for org_id, supplier in (await load_suppliers(session, {o.supplier_org_id for o in offers})).items()
        if not wanted.filters.suppliers or supplier.ref in set(wanted.filters.suppliers)
    }
    offers = [offer for offer in offers if offer.supplier_org_id in supplier_refs]
    rows, buyer_refs, live = await _requests(session, wanted, now)
    asked = [asked_of(row, buyer_refs[row.buyer_org_id]) for row in rows]
    listed = {offer.id: listed_as(offer) for offer in offers}
    standings = await load_standings(session, programmes, asked, listed, now)
    core_offers = await _offers(session, offers, supplier_refs, standings.class_of, begin)
    requests: list[Request] = []
    left_out: list[LeftOut] = []
    for row in rows:
        free = len(_free(row, live))
        fault = _too_large(row)
        if fault is not None:
            left_out.append(LeftOut(row.id, row.buyer_org_id, free, fault))
        else:
            buyer, party = buyer_refs[row.buyer_org_id], standings.party_of[row.id]
            request = _request(row, buyer, free, begin)
            requests.append(request if party == buyer else replace(request, standing=party))
    orgs = {buyer_refs[row.buyer_org_id]: row.buyer_org_id for row in rows}
    options, budgets = await load_options(session, standings, orgs, now)
    chips = [_chip(chip) for chip in await find_chips(session)]
    instance = _with_values(Instance(tuple(chips), tuple(core_offers), tuple(requests), budgets, options))
    return Snapshot(
        instance=instance,
        programmes=tuple(programmes),
        years=years_of(programmes, now),
        moment=now,
        askers={req_ref(r.id): Asker(r.id, r.buyer_org_id, content_of(r), _free(r, live)) for r in rows},
        sellers={offer_ref(o.id): Seller(o.id, o.supplier_org_id, terms_of(o)) for o in offers},
        left_out=tuple(left_out),
    )


def asked_of(request: ComputeRequest, buyer: str) -> Asked:
    """Return what voucher rules read of a request; `buyer` is how its buyer is called."""
    hours = max(whole_hours(each.hours) for each in request.alternatives)
    return Asked(buyer, request.buyer_org_id, request.id, request.blocks, hours)


def listed_as(offer: catalog.Offer) -> Listed:
    """Return what voucher rules read of an offer, loaded with its chip."""
    return Listed(offer.supplier_org_id, offer.chip.domestic)


async def _offers(
    session: ReadSession,
    offers: Sequence[catalog.Offer],
    refs: Mapping[UUID, str],
    class_of: Mapping[UUID, str],
    begin: int,
) -> list[Offer]:
    ids = [offer.id for offer in offers]
    steps = await load_steps(session, ids)
    usage = await load_usage(session, ids, from_hour_index(begin), LATEST)
    return [
        Offer(
            ref=offer_ref(offer.id),
            supplier=refs[offer.supplier_org_id],
            region=offer.region,
            chip=offer.chip_model,
            cards_per_node=offer.cards_per_node,
            interconnect_gbps=offer.interconnect_gbps,
            price_fen=offer.price_fen,
            list_price_fen=offer.list_price_fen,
            subsidy_class=class_of[offer.id],
            steps=residual(steps[offer.id], usage[offer.id], begin),
        )
        for offer in offers
    ]


def residual(steps: Steps, usage: Steps, begin: int) -> tuple[tuple[int, int], ...]:
    """Return what is free of an offer from an hour on, as (hour, cards from then on); the last has 0 cards."""
    free = free_profile(steps, usage)
    levels = [(begin, free.at(begin))]
    for hour, cards in zip(free.hours, free.free, strict=True):
        if hour > begin and cards != levels[-1][1]:
            levels.append((hour, cards))
    return tuple(levels) if levels[-1][1] == 0 else ((begin, 0),)


async def _requests(
    session: ReadSession, wanted: ClearingIn, now: datetime
) -> tuple[list[ComputeRequest], dict[UUID, str], dict[UUID, frozenset[int]]]:
    """Return open requests of approved buyers that have time left, the buyers' refs, and the live blocks."""
    statement = (
        select(ComputeRequest, OrganisationRole.ref)
        .join(OrganisationRole, OrganisationRole.org_id == ComputeRequest.buyer_org_id)
        .join(Organisation, Organisation.id == ComputeRequest.buyer_org_id)
        .where(
            OrganisationRole.role == Role.BUYER.value,
            Organisation.state == OrganisationState.APPROVED.value,
            ComputeRequest.state.in_(OPEN),
            ComputeRequest.deadline > now,
        )
        .options(selectinload(ComputeRequest.alternatives))
        .order_by(ComputeRequest.submitted_at, ComputeRequest.id)
    )
    if wanted.filters.buyers:
        statement = statement.where(OrganisationRole.ref.in_(wanted.filters.buyers))
    if wanted.filters.limit_requests is not None:
        statement = statement.limit(wanted.filters.limit_requests)
    found = [(row[0], row[1]) for row in await session.execute(statement)]
    live = await live_blocks(session, [request.id for request, _ in found])
    rows = [request for request, _ in found if _free(request, live)]
    return rows, {request.buyer_org_id: ref for request, ref in found}, live


async def live_blocks(session: ReadSession, request_ids: Collection[UUID]) -> dict[UUID, frozenset[int]]:
    """Return the blocks that have a live reservation, by request; one without any is left out."""
    ids = bindparam("ids", list(request_ids), type_=ARRAY(Uuid()))
    rows = await session.execute(
        select(Reservation.request_id, func.array_agg(Reservation.block))
        .where(Reservation.request_id == ids.any_(), Reservation.state.in_(LIVE))
        .group_by(Reservation.request_id)
    )
    return {request_id: frozenset(blocks) for request_id, blocks in rows}


def _free(request: ComputeRequest, live: Mapping[UUID, frozenset[int]]) -> tuple[int, ...]:
    taken = live.get(request.id, frozenset())
    return tuple(block for block in range(request.blocks) if block not in taken)


def _too_large(request: ComputeRequest) -> str | None:
    for each in request.alternatives:
        most = each.max_net_price_fen * each.cards * whole_hours(each.hours)
        if most > limits.MAX_BLOCK_FEN or most * request.priority > limits.MAX_WEIGHTED_FEN:
            return "price x cards x hours (x priority) is too large to be cleared; split it into smaller blocks"
    return None


def _request(row: ComputeRequest, buyer: str, free: int, begin: int) -> Request:
    return Request(
        ref=req_ref(row.id),
        buyer=buyer,
        submitted_at=row.submitted_at,
        weight=row.priority,
        blocks=free,
        min_blocks=min(free, max(1, row.min_blocks - (row.blocks - free))),
        earliest_hour=max(begin, hour_index(ceil_hour(row.earliest_start))),
        deadline_hour=hour_index(floor_hour(row.deadline)),
        alternatives=tuple(
            Alternative(
                chips=_selector(each.chips),
                cards=each.cards,
                hours=(hours := whole_hours(each.hours)),
                max_net_fen=(most := each.max_net_price_fen * each.cards * hours),
                value_fen=most,
                min_memory_milli_gb=_milli(each.min_memory_gb),
                min_fp16_milli_tflops=_milli(each.min_fp16_tflops),
            )
            for each in row.alternatives
        ),
        site=_site(row),
    )


def _selector(chips: str) -> str:
    """Return a selector in the one spelling that the engine compares."""
    parts = [" ".join(part.split()) for part in chips.split(SEPARATOR)]
    return SEPARATOR.join(
        CLASS_PREFIX + part.removeprefix(CLASS_PREFIX).strip() if part.startswith(CLASS_PREFIX) else part
        for part in parts
    )


def _site(row: ComputeRequest) -> Site:
    site = Site(
        regions=tuple(sorted(row.regions)),
        suppliers_allowed=tuple(sorted(row.suppliers_allowed)),
        suppliers_refused=tuple(sorted(row.suppliers_refused)),
        min_interconnect_gbps=row.min_interconnect_gbps,
        min_cards_per_node=row.min_cards_per_node,
        domestic=row.domestic,
    )
    return ANYWHERE if site == ANYWHERE else site


def _chip(chip: catalog.ChipModel) -> Chip:
    return Chip(
        name=chip.name,
        chip_class=chip.chip_class,
        domestic=chip.domestic,
        memory_milli_gb=_milli(chip.memory_gb),
        fp16_milli_tflops=_milli(chip.fp16_tflops),
    )


def _milli(value: Decimal | None) -> int | None:
    return None if value is None else int(value * 1000)


def _with_values(instance: Instance) -> Instance:
    """Count a block at no more than its dearest acceptable list price: an inflated limit would win for nothing."""
    acceptance = Acceptance(instance)
    requests: list[Request] = []
    for request in instance.requests:
        capped: list[Alternative] = []
        for each in request.alternatives:
            found = acceptance.offers(request, each)
            dearest = max((instance.offers[int(index)].list_price_fen for index in found), default=None)
            most = each.max_net_fen if dearest is None else dearest * each.cards * each.hours
            capped.append(replace(each, value_fen=min(each.max_net_fen, most)))
        requests.append(replace(request, alternatives=tuple(capped)))
    return replace(instance, requests=tuple(requests))
