"""The catalogue: chip models, and offers with their prices and capacity."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Final
from uuid import UUID

from app.accounts.acting import acting_for
from app.accounts.callers import Caller
from app.accounts.models import Role
from app.catalog import repository
from app.catalog.capacity import Segment, segments
from app.catalog.conversion import cards_to_petaflops, petaflops_to_cards
from app.catalog.errors import (
    CAPACITY_ENDS_AT_ZERO,
    CAPACITY_NOT_ASCENDING,
    CHIP_EXISTS,
    CHIP_NAME,
    OFFER_COMMITTED,
    OFFER_STATE,
    ONE_QUANTITY,
    SPEED_UNKNOWN,
    UNKNOWN_CHIP,
    WINDOW_ORDER,
)
from app.catalog.models import ChipModel, Offer, OfferState
from app.catalog.pricing import Prices, new_prices, patched_prices
from app.catalog.schemas import (
    CapacityOut,
    CapacityStep,
    ChipIn,
    ChipPatch,
    ConversionOut,
    OfferIn,
    OfferOut,
    OfferPatch,
    SegmentOut,
    offer_out,
    steps_out,
)
from app.catalog.selectors import ChipFacts, check_chip_name, check_class_name
from app.catalog.shipped import shipped_chips
from app.kit.db import ReadSession, WriteSession
from app.kit.errors import FORBIDDEN, NOT_FOUND, FieldError
from app.kit.ids import encode_id, new_id
from app.kit.time import EARLIEST, LATEST

CheckVersion = Callable[[int], None]
_CHIP_FACTS: Final = ("name", "vendor", "fp16_tflops", "memory_gb", "domestic", "chip_class")


async def ensure_catalogue(session: WriteSession) -> list[str]:
    """Add the shipped chip models that the database lacks, leave the others alone; return the names added."""
    return await repository.add_missing_chips(session, shipped_chips())


def chip_facts(chip: ChipModel) -> ChipFacts:
    """Return a chip model's facts as selectors read them."""
    return ChipFacts(**{name: getattr(chip, name) for name in _CHIP_FACTS})


async def load_chip_facts(session: ReadSession) -> dict[str, ChipFacts]:
    """Return the facts of every chip model, by name."""
    return {chip.name: chip_facts(chip) for chip in await repository.find_chips(session)}


async def get_chip(session: ReadSession, name: str, *, lock: bool = False) -> ChipModel:
    """Return a chip model.

    Raises:
        Problem: `not_found`.
    """
    chip = await repository.get_chip(session, name, lock=lock)
    if chip is None:
        raise NOT_FOUND.problem(what="chip model")
    return chip


async def create_chip(session: WriteSession, body: ChipIn) -> ChipModel:
    """Add a chip model (the desk).

    Raises:
        Problem: `chip_name`, `chip_exists`.
    """
    try:
        check_chip_name(body.name)
    except ValueError as error:
        raise CHIP_NAME.field("/name", why=str(error)) from None
    _check_class(body.chip_class)
    if await repository.get_chip(session, body.name) is not None:
        raise CHIP_EXISTS.problem()
    chip = ChipModel(**body.model_dump())
    session.add(chip)
    await session.flush()
    return chip


async def edit_chip(session: WriteSession, name: str, body: ChipPatch, check_version: CheckVersion) -> ChipModel:
    """Change facts of a chip model (the desk).

    Raises:
        Problem: `not_found`, `chip_name`, what `check_version` refuses.
    """
    chip = await get_chip(session, name, lock=True)
    check_version(chip.version)
    _check_class(body.chip_class)
    for field in body.model_fields_set:
        setattr(chip, field, getattr(body, field))
    chip.version += 1
    await session.flush()
    return chip


def _check_class(chip_class: str | None) -> None:
    if chip_class is None:
        return
    try:
        check_class_name(chip_class)
    except ValueError as error:
        raise CHIP_NAME.field("/chip_class", why=str(error)) from None


async def convert(session: ReadSession, name: str, *, petaflops: Decimal | None, cards: int | None) -> ConversionOut:
    """Return P as cards of a chip, or cards as P.

    Raises:
        Problem: `one_quantity_only`, `not_found`, `fp16_speed_unknown`.
    """
    if (petaflops is None) == (cards is None):
        names = ("petaflops", "cards")
        raise ONE_QUANTITY.problem(errors=[FieldError(n, ONE_QUANTITY.code, ONE_QUANTITY.en) for n in names])
    chip = await get_chip(session, name)
    if chip.fp16_tflops is None:
        raise SPEED_UNKNOWN.problem(name=name)
    if cards is None:
        assert petaflops is not None  # noqa: S101  exactly one is given
        cards = petaflops_to_cards(petaflops, chip.fp16_tflops)
    really = cards_to_petaflops(cards, chip.fp16_tflops)
    return ConversionOut(
        chip_model=name,
        fp16_tflops=chip.fp16_tflops,
        cards=cards,
        petaflops=really if petaflops is None else petaflops,
        cards_petaflops=really,
    )


async def get_offer(session: ReadSession, caller: Caller, offer_id: UUID) -> Offer:
    """Return an offer with its chip.

    Raises:
        Problem: `not_found`, also for another's offer that is withdrawn.
    """
    offer = await repository.get_offer(session, caller, offer_id)
    if offer is None:
        raise NOT_FOUND.problem(what="offer")
    return offer


async def offers_out(session: ReadSession, offers: Sequence[Offer]) -> list[OfferOut]:
    """Return offers, loaded with their chips, as shown, in the same order."""
    suppliers = await repository.load_suppliers(session, [offer.supplier_org_id for offer in offers])
    return [offer_out(offer, suppliers[offer.supplier_org_id]) for offer in offers]


async def create_offer(session: WriteSession, caller: Caller, body: OfferIn, now: datetime) -> Offer:
    """List an offer, by its supplier or by the desk for one.

    Raises:
        Problem: what `acting_for` refuses, `unknown_chip`, `price_one_way`, `price_above_list`, `price_too_high`,
            `capacity_not_ascending`, `capacity_ends_at_zero`, `reference_taken`.
    """
    supplier_org_id = await acting_for(session, caller, body.supplier_org_id, Role.SUPPLIER, pointer="/supplier_org_id")
    chip = await repository.get_chip(session, body.chip_model)
    if chip is None:
        raise UNKNOWN_CHIP.field("/chip_model", name=body.chip_model)
    check_steps(body.capacity, "/capacity")
    offer_id = new_id()
    offer = Offer(
        id=offer_id,
        supplier_org_id=supplier_org_id,
        ref=body.ref or encode_id("offer", offer_id),
        region=body.region,
        chip_model=chip.name,
        chip=chip,
        cards_per_node=body.cards_per_node,
        interconnect_gbps=body.interconnect_gbps,
        auto_accept=body.auto_accept,
        observed_at=now,
    )
    _set_prices(offer, new_prices(body))
    session.add(offer)
    await session.flush()
    await repository.set_capacity(session, offer_id, [(step.starts_at, step.cards) for step in body.capacity])
    return offer


async def edit_offer(
    session: WriteSession,
    caller: Caller,
    offer_id: UUID,
    body: OfferPatch,
    *,
    check_version: CheckVersion,
    now: datetime,
) -> Offer:
    """Change an offer's price, region, interconnect or acceptance.

    Raises:
        Problem: `not_found`, `forbidden`, what `check_version` refuses, `price_one_way`, `price_above_list`,
            `price_too_high`, `offer_committed`.
    """
    offer = await _lock_offer(session, caller, offer_id, check_version)
    if body.region is not None and body.region != offer.region:
        usage = await repository.load_usage(session, [offer_id], EARLIEST, LATEST)
        if usage[offer_id]:
            raise OFFER_COMMITTED.field("/region")
        offer.region = body.region
    if "interconnect_gbps" in body.model_fields_set:
        offer.interconnect_gbps = body.interconnect_gbps
    if body.auto_accept is not None:
        offer.auto_accept = body.auto_accept
    _set_prices(offer, patched_prices(offer, body))
    return await _edited(session, offer, now)


async def change_offer_state(
    session: WriteSession,
    caller: Caller,
    offer_id: UUID,
    wanted: OfferState,
    *,
    check_version: CheckVersion,
    now: datetime,
) -> Offer:
    """Withdraw an offer from booking, or open it again; what is reserved on it stays.

    Raises:
        Problem: `not_found`, `forbidden`, what `check_version` refuses, `offer_state`.
    """
    offer = await _lock_offer(session, caller, offer_id, check_version)
    if offer.state == wanted.value:
        raise OFFER_STATE.problem(state=offer.state)
    offer.state = wanted.value
    return await _edited(session, offer, now)


async def replace_capacity(
    session: WriteSession,
    caller: Caller,
    offer_id: UUID,
    steps: Sequence[CapacityStep],
    *,
    check_version: CheckVersion,
    now: datetime,
) -> CapacityOut:
    """Replace an offer's capacity.

    Raises:
        Problem: `not_found`, `forbidden`, what `check_version` refuses, `capacity_not_ascending`,
            `capacity_ends_at_zero`, `capacity_below_commitments`.
    """
    check_steps(steps, "/steps")
    offer = await _lock_offer(session, caller, offer_id, check_version)
    await repository.set_capacity(session, offer_id, [(step.starts_at, step.cards) for step in steps])
    await _edited(session, offer, now)
    return await capacity_of(session, offer, None, None)


async def capacity_of(session: ReadSession, offer: Offer, low: datetime | None, high: datetime | None) -> CapacityOut:
    """Return an offer's capacity and what is free of it, from its first step to its last unless bounded.

    Raises:
        Problem: `window_order`.
    """
    if low is not None and high is not None and high <= low:
        raise WINDOW_ORDER.field("to")
    steps = (await repository.load_steps(session, [offer.id]))[offer.id]
    shown: list[Segment] = []
    if steps:
        first, last = max(low or EARLIEST, steps[0][0]), min(high or LATEST, steps[-1][0])
        if first < last:
            usage = await repository.load_usage(session, [offer.id], first, last)
            shown = segments(steps, usage[offer.id], first, last)
    return CapacityOut(
        offer_id=offer.id,
        version=offer.version,
        observed_at=offer.observed_at,
        steps=steps_out(steps),
        segments=[SegmentOut.model_validate(segment) for segment in shown],
    )


def check_steps(steps: Sequence[CapacityStep], pointer: str) -> None:
    """Refuse capacity whose steps are out of order or do not end at 0 cards.

    Raises:
        Problem: `capacity_not_ascending`, `capacity_ends_at_zero`, naming the step under `pointer`.
    """
    for index, (before, step) in enumerate(pairwise(steps), start=1):
        if step.starts_at <= before.starts_at:
            raise CAPACITY_NOT_ASCENDING.field(f"{pointer}/{index}/starts_at")
    if steps[-1].cards != 0:
        raise CAPACITY_ENDS_AT_ZERO.field(f"{pointer}/{len(steps) - 1}/cards")


async def _lock_offer(session: WriteSession, caller: Caller, offer_id: UUID, check_version: CheckVersion) -> Offer:
    offer = await get_offer(session, caller, offer_id)
    # A lock on another's row would find nothing (row-level security), hence the right is asked for first.
    if not caller.is_desk and not (offer.supplier_org_id == caller.org_id and Role.SUPPLIER in caller.roles):
        raise FORBIDDEN.problem(roles="the offer's supplier, desk")
    locked = await repository.get_offer(session, caller, offer_id, lock=True)
    assert locked is not None  # noqa: S101  offers are never removed, and the caller may write this one
    check_version(locked.version)
    return locked


async def _edited(session: WriteSession, offer: Offer, now: datetime) -> Offer:
    offer.version += 1
    offer.observed_at = now
    await session.flush()
    return offer


def _set_prices(offer: Offer, prices: Prices) -> None:
    offer.price_fen = prices.price_fen
    offer.list_price_fen = prices.list_price_fen
    offer.price_unit = prices.unit.value
    offer.posted_fen_per_instance_month = prices.posted_month_fen
    offer.listed_fen_per_instance_month = prices.listed_month_fen
