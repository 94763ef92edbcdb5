"""SQL of the catalogue. What not everyone may see takes the caller."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Select, Uuid, bindparam, func, or_, select, text
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import contains_eager

from app.accounts.callers import Caller
from app.accounts.models import Organisation, OrganisationRole, OrganisationState, Role
from app.catalog.models import CapacityStep, ChipModel, Offer, OfferState
from app.catalog.schemas import Supplier
from app.kit.db import ReadSession, WriteSession
from app.kit.pages import CursorSigner, PageRequest, Sort, fetch_page

Steps = list[tuple[datetime, int]]

_USAGE: Final = text("SELECT offer_id, at, cards FROM offer_usage(:ids, :low, :high)").bindparams(
    bindparam("ids", type_=ARRAY(Uuid())),
    bindparam("low", type_=DateTime(timezone=True)),
    bindparam("high", type_=DateTime(timezone=True)),
)
# One statement, since the guard looks at the state after each statement and half an edit may be below commitments.
_SET_CAPACITY: Final = text(
    """
    WITH wanted AS (SELECT * FROM unnest(:starts, :cards) AS w (starts_at, cards)),
    gone AS (
        DELETE FROM capacity_step c
        WHERE c.offer_id = :offer_id AND NOT EXISTS (SELECT FROM wanted w WHERE w.starts_at = c.starts_at)
    )
    INSERT INTO capacity_step (offer_id, starts_at, cards) SELECT :offer_id, starts_at, cards FROM wanted
    ON CONFLICT (offer_id, starts_at) DO UPDATE SET cards = excluded.cards WHERE capacity_step.cards <> excluded.cards
    """
).bindparams(
    bindparam("offer_id", type_=Uuid()),
    bindparam("starts", type_=ARRAY(DateTime(timezone=True))),
    bindparam("cards", type_=ARRAY(BigInteger())),
)


@dataclass(frozen=True, slots=True)
class ChipFilter:
    """Which chip models are wanted; None asks for nothing. A model with the fact unknown never meets a minimum."""

    vendor: str | None = None
    chip_class: str | None = None
    domestic: bool | None = None
    memory_gb_gte: Decimal | None = None
    fp16_tflops_gte: Decimal | None = None


@dataclass(frozen=True, slots=True)
class OfferFilter:
    """Which offers are wanted; None and empty ask for nothing. `suppliers` are references; prices per card-hour."""

    chip_models: tuple[str, ...] = ()
    chip_class: str | None = None
    vendor: str | None = None
    domestic: bool | None = None
    regions: tuple[str, ...] = ()
    suppliers: tuple[str, ...] = ()
    supplier_org_id: UUID | None = None
    price_fen_gte: int | None = None
    price_fen_lte: int | None = None
    interconnect_gbps_gte: int | None = None
    memory_gb_gte: Decimal | None = None
    fp16_tflops_gte: Decimal | None = None
    cards_per_node: int | None = None
    state: OfferState | None = OfferState.OPEN


def offer_statement(wanted: OfferFilter, caller: Caller | None = None) -> Select[Offer]:
    """Return the unordered select of the offers wanted, each with its chip.

    Args:
        wanted: the filter.
        caller: leaves out withdrawn offers that it may not see; None leaves out nothing.
    """
    statement = select(Offer).join(Offer.chip).options(contains_eager(Offer.chip))
    equals = (
        (ChipModel.chip_class, wanted.chip_class),
        (ChipModel.vendor, wanted.vendor),
        (ChipModel.domestic, wanted.domestic),
        (Offer.supplier_org_id, wanted.supplier_org_id),
        (Offer.cards_per_node, wanted.cards_per_node),
        (Offer.state, wanted.state.value if wanted.state else None),
    )
    at_least = (
        (Offer.price_fen, wanted.price_fen_gte),
        (Offer.interconnect_gbps, wanted.interconnect_gbps_gte),
        (ChipModel.memory_gb, wanted.memory_gb_gte),
        (ChipModel.fp16_tflops, wanted.fp16_tflops_gte),
    )
    among = ((Offer.chip_model, wanted.chip_models), (Offer.region, wanted.regions))
    statement = statement.where(
        *(column == value for column, value in equals if value is not None),
        *(column >= value for column, value in at_least if value is not None),
        *(column.in_(values) for column, values in among if values),
    )
    if wanted.price_fen_lte is not None:
        statement = statement.where(Offer.price_fen <= wanted.price_fen_lte)
    if wanted.state is OfferState.OPEN:
        # What a supplier that the desk has suspended lists is not for sale.
        approved = select(Organisation.id).where(Organisation.state == OrganisationState.APPROVED.value)
        statement = statement.where(Offer.supplier_org_id.in_(approved))
    if wanted.suppliers:
        suppliers = select(OrganisationRole.org_id).where(
            OrganisationRole.role == Role.SUPPLIER.value, OrganisationRole.ref.in_(wanted.suppliers)
        )
        statement = statement.where(Offer.supplier_org_id.in_(suppliers))
    if caller is not None and not caller.reads_all:
        own = Offer.supplier_org_id == caller.org_id
        statement = statement.where(or_(Offer.state == OfferState.OPEN.value, own))
    return statement


async def find_offers(
    session: ReadSession,
    wanted: OfferFilter,
    limit_ids: Sequence[UUID] | None = None,
    *,
    caller: Caller | None = None,
) -> list[Offer]:
    """Return the offers that pass the filter, each with its chip, by id.

    Args:
        session: an open transaction.
        wanted: the filter.
        limit_ids: only among these.
        caller: leaves out withdrawn offers that it may not see; None leaves out nothing.
    """
    statement = offer_statement(wanted, caller).order_by(Offer.id)
    if limit_ids is not None:
        statement = statement.where(Offer.id.in_(limit_ids))
    return list(await session.scalars(statement))


async def get_offer(session: ReadSession, caller: Caller, offer_id: UUID, *, lock: bool = False) -> Offer | None:
    """Return an offer that the caller may see, with its chip; `lock` keeps others from changing it."""
    statement = offer_statement(OfferFilter(state=None), caller).where(Offer.id == offer_id)
    if lock:
        statement = statement.with_for_update(key_share=True, of=Offer).execution_options(populate_existing=True)
    return await session.scalar(statement)


async def load_steps(session: ReadSession, offer_ids: Sequence[UUID]) -> dict[UUID, Steps]:
    """Return the capacity of offers: from each moment on, so many cards, ascending. Every id is in the answer."""
    steps: dict[UUID, Steps] = {offer_id: [] for offer_id in offer_ids}
    rows = await session.execute(
        select(CapacityStep.offer_id, CapacityStep.starts_at, CapacityStep.cards)
        .where(CapacityStep.offer_id.in_(offer_ids))
        .order_by(CapacityStep.offer_id, CapacityStep.starts_at)
    )
    for offer_id, starts_at, cards in rows:
        steps[offer_id].append((starts_at, cards))
    return steps


async def load_usage(
    session: ReadSession, offer_ids: Sequence[UUID], low: datetime, high: datetime
) -> dict[UUID, Steps]:
    """Return what live reservations of anyone take of offers within `[low, high)`.

    Returns:
        Per offer: from each moment on, so many cards are taken, ascending; before the first, and for an offer
        without reservations there, none. Every id is in the answer.
    """
    changes: dict[UUID, Steps] = defaultdict(list)
    rows = await session.execute(_USAGE, {"ids": list(offer_ids), "low": low, "high": high})
    for offer_id, at, change in rows:
        changes[offer_id].append((at, change))
    usage: dict[UUID, Steps] = {}
    for offer_id in offer_ids:
        level = 0
        steps = usage[offer_id] = []
        for at, change in changes[offer_id]:
            level += change
            steps.append((at, level))
    return usage


async def set_capacity(session: WriteSession, offer_id: UUID, steps: Sequence[tuple[datetime, int]]) -> None:
    """Replace an offer's capacity, in one statement for the guard's sake.

    Raises:
        DBAPIError: `capacity_covers_commitments`, `capacity_ends_at_zero` (translated at the transaction's edge).
    """
    await session.execute(
        _SET_CAPACITY,
        {"offer_id": offer_id, "starts": [at for at, _ in steps], "cards": [cards for _, cards in steps]},
    )


async def get_chip(session: ReadSession, name: str, *, lock: bool = False) -> ChipModel | None:
    """Return a chip model by its name."""
    statement = select(ChipModel).where(ChipModel.name == name)
    if lock:
        statement = statement.with_for_update(key_share=True)
    return await session.scalar(statement)


async def find_chips(session: ReadSession, names: Sequence[str] | None = None) -> list[ChipModel]:
    """Return chip models, by name: these, or all."""
    statement = select(ChipModel).order_by(ChipModel.name)
    if names is not None:
        statement = statement.where(ChipModel.name.in_(names))
    return list(await session.scalars(statement))


async def list_chips(
    session: ReadSession, page: PageRequest, wanted: ChipFilter, *, signer: CursorSigner, listing: str
) -> tuple[list[ChipModel], bool, tuple[str, str] | None]:
    """Return a page of the chip models that pass a filter, by name."""
    statement = select(ChipModel)
    equals = (
        (ChipModel.vendor, wanted.vendor),
        (ChipModel.chip_class, wanted.chip_class),
        (ChipModel.domestic, wanted.domestic),
    )
    at_least = ((ChipModel.memory_gb, wanted.memory_gb_gte), (ChipModel.fp16_tflops, wanted.fp16_tflops_gte))
    statement = statement.where(
        *(column == value for column, value in equals if value is not None),
        *(column >= value for column, value in at_least if value is not None),
    )
    sort = Sort[ChipModel](
        columns=(ChipModel.name.expression,),
        values=lambda row: (row.name,),
        parse=lambda values: (str(values[0]),),
    )
    return await fetch_page(session, statement, sort, page, signer=signer, listing=listing)


async def add_missing_chips(session: WriteSession, chips: Sequence[ChipModel]) -> list[str]:
    """Add the chip models that are not there, leave the others alone; return the names added."""
    columns = ("name", "vendor", "fp16_tflops", "memory_gb", "domestic", "chip_class", "source")
    values = [{column: getattr(chip, column) for column in columns} for chip in chips]
    result = await session.scalars(insert(ChipModel).values(values).on_conflict_do_nothing().returning(ChipModel.name))
    return sorted(result)


async def load_suppliers(session: ReadSession, org_ids: Collection[UUID]) -> dict[UUID, Supplier]:
    """Return how suppliers are shown: their reference and name, by organisation."""
    rows = await session.execute(
        select(Organisation.id, OrganisationRole.ref, Organisation.name)
        .join(OrganisationRole, OrganisationRole.org_id == Organisation.id)
        .where(OrganisationRole.role == Role.SUPPLIER.value, Organisation.id.in_(set(org_ids)))
    )
    return {org_id: Supplier(ref, name) for org_id, ref, name in rows}


async def largest_by_chip(session: ReadSession) -> dict[str, int]:
    """Return, per chip model with an open offer, the most cards that one offer of it ever has."""
    rows = await session.execute(
        select(Offer.chip_model, func.max(CapacityStep.cards))
        .join(CapacityStep, CapacityStep.offer_id == Offer.id)
        .where(Offer.state == OfferState.OPEN.value)
        .group_by(Offer.chip_model)
    )
    return dict(rows.all())


async def known_suppliers(session: ReadSession, refs: Collection[str]) -> set[str]:
    """Return those of the references that are suppliers'."""
    rows = await session.scalars(
        select(OrganisationRole.ref).where(
            OrganisationRole.role == Role.SUPPLIER.value, OrganisationRole.ref.in_(set(refs))
        )
    )
    return set(rows)
