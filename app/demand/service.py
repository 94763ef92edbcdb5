"""Requests: what buyers need, and how far they have come."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from app.accounts.acting import acting_for
from app.accounts.callers import Caller
from app.accounts.models import Role
from app.catalog import repository as catalog_repository
from app.catalog import service as catalog
from app.catalog.errors import UNKNOWN_CHIP, WINDOW_ORDER
from app.catalog.selectors import ChipFacts, ChipSelector
from app.demand import repository
from app.demand.errors import (
    BAD_SELECTOR,
    LARGER_THAN_ANY,
    NO_SUCH_CHIP,
    PRIORITY_BY_DESK,
    REQUEST_RESERVED,
    REQUEST_STATE,
    SUPPLIER_BOTH_WAYS,
    TOO_MANY_MIN_BLOCKS,
    UNKNOWN_SUPPLIER,
    WINDOW_TOO_SHORT,
    Notice,
)
from app.demand.models import Alternative, ComputeRequest, RequestState
from app.demand.schemas import AlternativeIn, RequestDetail, RequestIn, RequestOut, RequestPatch, SiteIn, request_out
from app.demand.schemas import request_detail as detail_out
from app.demand.spec import alternative_of
from app.kit.db import ReadSession, WriteSession
from app.kit.errors import NOT_FOUND, ErrorCode, FieldError, Problem
from app.kit.ids import encode_id, new_id
from app.kit.time import HOUR, ceil_hour, floor_hour

CheckVersion = Callable[[int], None]
_SITE: Final = tuple(SiteIn.model_fields)
_RESERVED: Final = (RequestState.PARTLY_MATCHED, RequestState.MATCHED)


async def get_request(session: ReadSession, caller: Caller, request_id: UUID, *, lock: bool = False) -> ComputeRequest:
    """Return a request with its alternatives.

    Raises:
        Problem: `not_found`, also for another buyer's.
    """
    request = await repository.get_request(session, caller, request_id, lock=lock)
    if request is None:
        raise NOT_FOUND.problem(what="request")
    return request


async def create_request(session: WriteSession, caller: Caller, body: RequestIn, now: datetime) -> ComputeRequest:
    """Post a request, by its buyer or by the desk for one.

    Raises:
        Problem: what `acting_for` refuses, `priority_by_desk_only`, `window_order`, `min_blocks_above_blocks`,
            `chip_selector`, `unknown_chip`, `unknown_supplier`, `supplier_both_ways`, `reference_taken`.
    """
    buyer_org_id = await acting_for(session, caller, body.buyer_org_id, Role.BUYER, pointer="/buyer_org_id")
    if body.priority is not None and not caller.is_desk:
        raise PRIORITY_BY_DESK.field("/priority")
    _check_window(body.earliest_start, body.deadline, body.blocks, body.min_blocks)
    await check_alternatives(session, body.alternatives)
    await check_site(session, body.site)
    request_id = new_id()
    request = ComputeRequest(
        id=request_id,
        buyer_org_id=buyer_org_id,
        ref=body.ref or encode_id("req", request_id),
        submitted_at=now,
        earliest_start=body.earliest_start,
        deadline=body.deadline,
        blocks=body.blocks,
        min_blocks=body.min_blocks,
        priority=body.priority or 1,
        **body.site.model_dump(),
    )
    await repository.create(session, request, _alternatives(body.alternatives))
    return request


async def edit_request(
    session: WriteSession, caller: Caller, request_id: UUID, body: RequestPatch, check_version: CheckVersion
) -> ComputeRequest:
    """Change a request: what is asked for only while it is open, the priority (the desk) until it has ended.

    Raises:
        Problem: `not_found`, what `check_version` refuses, `priority_by_desk_only`, `request_state`,
            `request_has_reservations`, and what `create_request` refuses of the content.
    """
    request = await get_request(session, caller, request_id, lock=True)
    if body.priority is not None and not caller.is_desk:
        raise PRIORITY_BY_DESK.field("/priority")
    check_version(request.version)
    only_priority = body.model_fields_set == {"priority"}
    _check_state(request, and_reserved=only_priority)
    for name in ("earliest_start", "deadline", "blocks", "min_blocks", "priority"):
        if name in body.model_fields_set:
            setattr(request, name, getattr(body, name))
    _check_window(request.earliest_start, request.deadline, request.blocks, request.min_blocks)
    if body.site is not None:
        await check_site(session, body.site)
        for name in _SITE:
            setattr(request, name, getattr(body.site, name))
    if body.alternatives is not None:
        await check_alternatives(session, body.alternatives)
        await repository.replace_alternatives(session, request, _alternatives(body.alternatives))
    request.version += 1
    await session.flush()
    return request


async def withdraw_request(
    session: WriteSession, caller: Caller, request_id: UUID, check_version: CheckVersion
) -> ComputeRequest:
    """Withdraw a request for which nothing is reserved.

    Raises:
        Problem: `not_found`, what `check_version` refuses, `request_state`, `request_has_reservations`.
    """
    request = await get_request(session, caller, request_id, lock=True)
    check_version(request.version)
    _check_state(request, and_reserved=False)
    request.state = RequestState.WITHDRAWN.value
    request.version += 1
    await session.flush()
    return request


async def requests_out(session: ReadSession, requests: Sequence[ComputeRequest]) -> list[RequestOut]:
    """Return requests, loaded with their alternatives, as shown, in the same order."""
    buyers = await repository.load_buyers(session, [request.buyer_org_id for request in requests])
    return [request_out(request, buyers[request.buyer_org_id]) for request in requests]


async def request_detail(session: ReadSession, request: ComputeRequest, language: str) -> RequestDetail:
    """Return a request as shown, with what stands in its way as things are, in `en` or `zh-CN`."""
    buyers = await repository.load_buyers(session, [request.buyer_org_id])
    notices = await find_notices(session, request)
    return detail_out(request, buyers[request.buyer_org_id], notices, language)


async def find_notices(session: ReadSession, request: ComputeRequest) -> list[Notice]:
    """Return what stands in the way of each alternative whatever is free: no chip, too many cards, too short."""
    largest = await catalog_repository.largest_by_chip(session)
    chips = [catalog.chip_facts(chip) for chip in await catalog_repository.find_chips(session, list(largest))]
    fits = max(0, (floor_hour(request.deadline) - ceil_hour(request.earliest_start)) // HOUR)
    found: list[Notice] = []
    for row in request.alternatives:
        wanted = alternative_of(row)
        sizes = [largest[chip.name] for chip in chips if wanted.selector.accepts(chip)]
        if not sizes:
            found.append(Notice(NO_SUCH_CHIP, row.position, {"chips": row.chips}))
        elif max(sizes) < row.cards:
            found.append(Notice(LARGER_THAN_ANY, row.position, {"cards": row.cards, "largest": max(sizes)}))
        if fits < wanted.hours:
            found.append(Notice(WINDOW_TOO_SHORT, row.position, {"hours": wanted.hours, "fits": fits}))
    return found


async def set_state_from_live(session: WriteSession, live: Mapping[UUID, int]) -> dict[UUID, RequestState]:
    """Set requests' states from how many of their blocks have a live reservation.

    For reservations' service, acting as the system, after it has locked the requests. What was withdrawn, closed or
    expired stays so; a lost reservation of any other reopens it at its original submission time.

    Returns:
        The requests whose state changed, with the new one.
    """
    return await repository.set_state_from_live(session, live)


async def close_requests(session: WriteSession, request_ids: Collection[UUID]) -> list[UUID]:
    """Close requests of which every live reservation is completed and no block will be matched any more.

    For reservations' service, acting as the system, after it has locked the requests; return those that it closed.
    """
    return await repository.close(session, request_ids)


async def expire_due(session: WriteSession, now: datetime) -> int:
    """Expire open requests whose deadline has passed (the worker's sweep); return how many."""
    return await repository.expire_due(session, now)


async def check_alternatives(session: ReadSession, alternatives: Sequence[AlternativeIn]) -> None:
    """Refuse selectors that can't be parsed or that name what the catalogue does not have.

    Raises:
        Problem: `chip_selector`, `unknown_chip`, naming each of them.
    """
    selectors = [_selector(index, alternative) for index, alternative in enumerate(alternatives)]
    if not any(selector.names or selector.classes for selector in selectors):
        return
    chips: dict[str, ChipFacts] = await catalog.load_chip_facts(session)
    classes = {chip.chip_class for chip in chips.values() if chip.chip_class is not None}
    unknown = [
        (f"/alternatives/{index}/chips", name)
        for index, selector in enumerate(selectors)
        for name in selector.unknown(chips, classes)
    ]
    _refuse_each(UNKNOWN_CHIP, "name", unknown)


async def check_site(session: ReadSession, site: SiteIn) -> None:
    """Refuse site rules that name no supplier or contradict themselves.

    Raises:
        Problem: `unknown_supplier`, `supplier_both_ways`, naming each of them.
    """
    named = [
        (f"/site/{field}/{index}", ref)
        for field in ("suppliers_allowed", "suppliers_refused")
        for index, ref in enumerate(getattr(site, field))
    ]
    if not named:
        return
    known = await catalog_repository.known_suppliers(session, [ref for _, ref in named])
    _refuse_each(UNKNOWN_SUPPLIER, "ref", [(pointer, ref) for pointer, ref in named if ref not in known])
    both = set(site.suppliers_allowed) & set(site.suppliers_refused)
    _refuse_each(SUPPLIER_BOTH_WAYS, "ref", [(pointer, ref) for pointer, ref in named if ref in both])


def _refuse_each(code: ErrorCode, param: str, wrong: Sequence[tuple[str, str]]) -> None:
    errors = tuple(FieldError(pointer, code.code, code.en.format(**{param: value})) for pointer, value in wrong)
    if errors:
        raise Problem(code, params={param: wrong[0][1]}, errors=errors)


def _selector(index: int, alternative: AlternativeIn) -> ChipSelector:
    try:
        return ChipSelector.parse(alternative.chips)
    except ValueError as error:
        raise BAD_SELECTOR.field(f"/alternatives/{index}/chips", why=str(error)) from None


def _alternatives(bodies: Sequence[AlternativeIn]) -> list[Alternative]:
    return [Alternative(position=position, **body.model_dump()) for position, body in enumerate(bodies)]


def _check_window(earliest_start: datetime, deadline: datetime, blocks: int, min_blocks: int) -> None:
    if deadline <= earliest_start:
        raise WINDOW_ORDER.field("/deadline")
    if min_blocks > blocks:
        raise TOO_MANY_MIN_BLOCKS.field("/min_blocks")


def _check_state(request: ComputeRequest, *, and_reserved: bool) -> None:
    state = RequestState(request.state)
    if state is RequestState.OPEN or (and_reserved and state in _RESERVED):
        return
    if state in _RESERVED:
        raise REQUEST_RESERVED.problem(state=state.value)
    raise REQUEST_STATE.problem(state=state.value, wanted=RequestState.OPEN.value)
