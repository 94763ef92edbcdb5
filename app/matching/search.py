"""Search by shape: which offers really have so many cards free for so many hours, and from when."""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.accounts.callers import Caller
from app.catalog.models import Offer
from app.catalog.repository import OfferFilter, Steps, find_offers, load_steps, load_usage
from app.catalog.schemas import OfferOut
from app.catalog.service import offers_out
from app.kit.db import ReadSession
from app.kit.money import cost_fen
from app.kit.pages import CursorSigner, PageRequest
from app.kit.time import HOUR, ceil_hour, floor_hour, from_hour_index, hour_index
from app.matching import repository
from app.matching.core.quote import Profile, earliest_fit, profile
from app.matching.errors import SORT_NEEDS_SHAPE
from app.matching.schemas import FoundOfferOut


class OfferSort(StrEnum):
    """How a list of offers is ordered; ties by price, then earliest start, then id."""

    PRICE = "price"
    PRICE_DESCENDING = "-price"
    EARLIEST_START = "earliest_start"


@dataclass(frozen=True, slots=True)
class Shape:
    """So many cards for so many hours, anywhere inside `[low, high)`."""

    cards: int
    hours: int
    low: datetime
    high: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """An offer that can hold the shape from `earliest_start` on, for `total_fen`."""

    offer: Offer
    earliest_start: datetime
    total_fen: int


Key = tuple[int, int, str]


def next_hour(now: datetime) -> datetime:
    """Return the first whole hour after the present: nothing starts before it."""
    return floor_hour(now) + HOUR


def free_profile(steps: Steps, usage: Steps) -> Profile:
    """Return an offer's free capacity from its capacity and what is taken of it."""
    return profile(((hour_index(at), cards) for at, cards in steps), ((hour_index(at), cards) for at, cards in usage))


async def find_by_shape(
    session: ReadSession, caller: Caller, wanted: OfferFilter, shape: Shape, now: datetime
) -> list[Found]:
    """Return exactly the offers that have the shape free in one piece, by id.

    The window is rounded inward to whole hours and begins at the next whole hour at the earliest.
    """
    low, high = max(ceil_hour(shape.low), next_hour(now)), floor_hour(shape.high)
    if low + shape.hours * HOUR > high:
        return []
    offers = await find_offers(session, wanted, caller=caller)
    ids = [offer.id for offer in offers]
    steps = await load_steps(session, ids)
    usage = await load_usage(session, ids, low, high)
    found: list[Found] = []
    for offer in offers:
        free = free_profile(steps[offer.id], usage[offer.id])
        start = earliest_fit(free, shape.cards, shape.hours, hour_index(low), hour_index(high))
        if start is not None:
            total = cost_fen(offer.price_fen, shape.cards, shape.hours)
            found.append(Found(offer, from_hour_index(start), total))
    return found


async def search_offers(
    session: ReadSession,
    caller: Caller,
    wanted: OfferFilter,
    shape: Shape | None,
    sort: OfferSort,
    page: PageRequest,
    *,
    signer: CursorSigner,
    listing: str,
    now: datetime,
) -> tuple[list[FoundOfferOut], bool, tuple[str, str] | None]:
    """Return a page of offers, those that can hold the shape if there is one, whether there is more, its cursors.

    Raises:
        Problem: `sort_needs_shape`, `bad_cursor`.
    """
    if shape is not None:
        matches = await find_by_shape(session, caller, wanted, shape, now)
        found, has_more, cursors = page_of_found(matches, sort, page, signer=signer, listing=listing)
        shown = await offers_out(session, [each.offer for each in found])
        return [_found_out(offer, each) for offer, each in zip(shown, found, strict=True)], has_more, cursors
    if sort is OfferSort.EARLIEST_START:
        raise SORT_NEEDS_SHAPE.field("sort")
    rows, has_more, cursors = await repository.list_offers(
        session,
        caller,
        page,
        wanted,
        descending=sort is OfferSort.PRICE_DESCENDING,
        signer=signer,
        listing=listing,
    )
    return [_found_out(offer, None) for offer in await offers_out(session, rows)], has_more, cursors


def _found_out(offer: OfferOut, found: Found | None) -> FoundOfferOut:
    return FoundOfferOut(
        **{name: getattr(offer, name) for name in OfferOut.model_fields},
        earliest_start=found.earliest_start if found else None,
        total_fen=found.total_fen if found else None,
    )


def key_of(found: Found, sort: OfferSort) -> Key:
    """Return what a found offer is ordered by."""
    start = hour_index(found.earliest_start)
    if sort is OfferSort.EARLIEST_START:
        return (start, found.offer.price_fen, str(found.offer.id))
    price = found.offer.price_fen if sort is OfferSort.PRICE else -found.offer.price_fen
    return (price, start, str(found.offer.id))


def page_of_found(
    found: Sequence[Found], sort: OfferSort, page: PageRequest, *, signer: CursorSigner, listing: str
) -> tuple[list[Found], bool, tuple[str, str] | None]:
    """Return one page of what was found, whether more lies in the direction asked for, and its cursors."""
    ordered = sorted(found, key=lambda each: key_of(each, sort))
    keys = [key_of(each, sort) for each in ordered]
    if page.before is not None:
        end = bisect.bisect_left(keys, _read(signer, listing, page.before))
        start = max(0, end - page.limit)
        has_more = start > 0
    else:
        start = 0 if page.after is None else bisect.bisect_right(keys, _read(signer, listing, page.after))
        end = min(start + page.limit, len(keys))
        has_more = end < len(keys)
    if start >= end:
        return [], False, None
    return ordered[start:end], has_more, (signer.write(listing, keys[start]), signer.write(listing, keys[end - 1]))


def _read(signer: CursorSigner, listing: str, cursor: str) -> Key:
    first, second, offer_id = signer.read(listing, cursor)
    return (int(first), int(second), str(UUID(offer_id)))
