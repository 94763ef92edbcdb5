"""SQL of claims and advances. What someone asks takes the caller; the service's books are kept as the system."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Select, Uuid, bindparam, cast, exists, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased, selectinload, undefer

from app.accounts.callers import Caller
from app.accounts.models import Organisation, OrganisationRole, OrganisationState, Role
from app.claims.models import Advance, Claim, ClaimLine, ClaimProof, ClaimState, LineState
from app.contracts.models import Contract, Document
from app.kit.db import ReadSession, WriteSession
from app.kit.pages import CursorSigner, PageRequest, Sort, fetch_page
from app.settlements.models import Redemption, RedemptionKind, Settlement
from app.vouchers.models import Voucher, VoucherState


@dataclass(frozen=True, slots=True)
class ClaimFilter:
    """Which claims are wanted; None asks for nothing."""

    state: ClaimState | None = None
    programme: str | None = None
    period: str | None = None


@dataclass(frozen=True, slots=True)
class Claimable:
    """A redemption, locked, with its voucher and what is left of it after give-backs, in fen."""

    redemption: Redemption
    voucher: Voucher
    left_fen: int


def _ids(ids: Collection[UUID]) -> Any:
    return func.any(bindparam(None, list(ids), type_=ARRAY(Uuid())))


async def oldest_unclaimed_version(session: ReadSession, programme: str, claimant: UUID) -> int | None:
    """Return the programme version of a claimant's oldest redemption that no claim holds (as the system)."""
    statement = (
        select(Voucher.programme_version)
        .join(Redemption, Redemption.voucher_id == Voucher.id)
        .where(
            Redemption.programme_id == programme,
            Redemption.claimant_org_id == claimant,
            Redemption.kind == RedemptionKind.REDEEMED.value,
            Redemption.claim_id.is_(None),
        )
        .order_by(Redemption.id)
        .limit(1)
    )
    return await session.scalar(statement)


async def lock_unclaimed(
    session: WriteSession, programme: str, version: int, claimant: UUID, start: datetime, end: datetime
) -> list[Claimable]:
    """Return a claimant's redemptions of `[start, end)` that can be claimed, locked in id order (as the system)."""
    statement = (
        select(Redemption.id)
        .join(Voucher, Voucher.id == Redemption.voucher_id)
        .where(
            Redemption.programme_id == programme,
            Redemption.claimant_org_id == claimant,
            Redemption.kind == RedemptionKind.REDEEMED.value,
            Redemption.claim_id.is_(None),
            Redemption.created_at >= start,
            Redemption.created_at < end,
            Voucher.programme_version == version,
        )
        .order_by(Redemption.id)
        .with_for_update(of=Redemption, key_share=True)
    )
    found = await _claimable(session, list(await session.scalars(statement)))
    return [row for row in found if row.left_fen and row.voucher.state != VoucherState.REVOKED]


async def lock_redemptions(session: WriteSession, ids: Collection[UUID]) -> dict[UUID, Claimable]:
    """Return those of these redemptions that exist, give-backs left out, locked in id order (as the system)."""
    statement = (
        select(Redemption.id)
        .where(Redemption.id == _ids(ids), Redemption.kind == RedemptionKind.REDEEMED.value)
        .order_by(Redemption.id)
        .with_for_update(key_share=True)
    )
    found = await _claimable(session, list(await session.scalars(statement)))
    return {row.redemption.id: row for row in found}


async def _claimable(session: WriteSession, ids: Collection[UUID]) -> list[Claimable]:
    """Read again what was just locked: give-backs and states as they are now."""
    back = aliased(Redemption)
    given = select(func.coalesce(func.sum(back.amount_fen), 0)).where(back.of_id == Redemption.id).scalar_subquery()
    statement = (
        select(Redemption, Voucher, cast(Redemption.amount_fen - given, BigInteger))
        .join(Voucher, Voucher.id == Redemption.voucher_id)
        .where(Redemption.id == _ids(ids))
        .order_by(Redemption.id)
        .execution_options(populate_existing=True)
    )
    return [Claimable(row[0], row[1], int(row[2])) for row in await session.execute(statement)]


async def set_claim(session: WriteSession, redemption_ids: Collection[UUID], claim_id: UUID | None) -> None:
    """Note which claim holds redemptions that were locked before, or that none does (as the system)."""
    await session.execute(
        update(Redemption)
        .where(Redemption.id == _ids(redemption_ids))
        .values(claim_id=claim_id)
        .execution_options(synchronize_session=False)
    )


async def insert_claim(
    session: WriteSession,
    claim: dict[str, Any],
    lines: Sequence[dict[str, Any]],
    proofs: Sequence[dict[str, Any]],
) -> None:
    """Add a claim with its lines and proofs (as the system).

    Raises:
        DBAPIError: `claim_line_one_live_claim` (translated at the edge).
    """
    await session.execute(insert(Claim).values(**claim))
    await session.execute(insert(ClaimLine), list(lines))
    if proofs:
        await session.execute(insert(ClaimProof), list(proofs))


def _claims_of(caller: Caller) -> Select[Claim]:
    statement = select(Claim)
    return statement if caller.reads_all else statement.where(Claim.claimant_org_id == caller.org_id)


async def get_claim(session: ReadSession, caller: Caller, claim_id: UUID) -> Claim | None:
    """Return the caller's claim (any, for the desk and auditors) with its lines and proofs."""
    statement = _claims_of(caller).where(Claim.id == claim_id)
    whole = (selectinload(Claim.lines), selectinload(Claim.proofs).selectinload(ClaimProof.document))
    return await session.scalar(statement.options(*whole).execution_options(populate_existing=True))


async def lock_claim(session: WriteSession, claim_id: UUID) -> Claim:
    """Return a claim with its lines, locked (as the system)."""
    statement = select(Claim).where(Claim.id == claim_id).options(selectinload(Claim.lines))
    statement = statement.with_for_update(of=Claim, key_share=True).execution_options(populate_existing=True)
    return (await session.scalars(statement)).one()


async def list_claims(
    session: ReadSession,
    caller: Caller,
    page: PageRequest,
    wanted: ClaimFilter,
    *,
    signer: CursorSigner,
    listing: str,
) -> tuple[list[Claim], bool, tuple[str, str] | None]:
    """Return a page of the claims that the caller may see, in the order they were submitted."""
    equals = (
        (Claim.state, wanted.state.value if wanted.state else None),
        (Claim.programme_id, wanted.programme),
        (Claim.period, wanted.period),
    )
    statement = _claims_of(caller).where(*(column == value for column, value in equals if value is not None))
    sort = Sort[Claim](
        columns=(Claim.id.expression,),
        values=lambda row: (str(row.id),),
        parse=lambda values: (UUID(values[0]),),
    )
    return await fetch_page(session, statement, sort, page, signer=signer, listing=listing)


async def reservations_of(session: ReadSession, settlement_ids: Collection[UUID]) -> list[UUID]:
    """Return the reservations that settlements are of (as the system)."""
    statement = select(Settlement.reservation_id).where(Settlement.id == _ids(settlement_ids)).distinct()
    return list(await session.scalars(statement))


async def contracts_of(session: ReadSession, settlement_ids: Collection[UUID]) -> list[Contract]:
    """Return the contracts that settlements are of with their items, by id (as the system)."""
    contracts = select(Settlement.contract_id).where(Settlement.id == _ids(settlement_ids))
    statement = select(Contract).where(Contract.id.in_(contracts)).order_by(Contract.id)
    return list(await session.scalars(statement.options(selectinload(Contract.items))))


async def claimed_fen(session: ReadSession, voucher_ids: Collection[UUID]) -> dict[UUID, int]:
    """Return what live claims hold or were paid of vouchers, in fen (as the system)."""
    statement = (
        select(ClaimLine.voucher_id, cast(func.sum(ClaimLine.amount_fen), BigInteger))
        .where(ClaimLine.voucher_id == _ids(voucher_ids), ClaimLine.state != LineState.REJECTED.value)
        .group_by(ClaimLine.voucher_id)
    )
    return {row[0]: int(row[1]) for row in await session.execute(statement)}


async def find_documents(session: ReadSession, ids: Collection[UUID], claimant: UUID) -> dict[UUID, Document]:
    """Return those of these documents that a claimant may see, without their content (as the system)."""
    statement = select(Document).where(
        Document.id == _ids(ids), or_(Document.buyer_org_id == claimant, Document.supplier_org_id == claimant)
    )
    return {row.id: row for row in await session.scalars(statement)}


async def get_proof(session: ReadSession, claim_id: UUID, document_id: UUID) -> Document | None:
    """Return a document that proves a claim, with its content."""
    proof = exists().where(ClaimProof.claim_id == claim_id, ClaimProof.document_id == Document.id)
    statement = select(Document).where(Document.id == document_id, proof).options(undefer(Document.content))
    return await session.scalar(statement)


async def claims_proved_by(session: ReadSession, hashes: Collection[str]) -> list[tuple[str, UUID]]:
    """Return `(sha256, claim)` of the claims, not rejected, that files of these contents prove (as the system)."""
    statement = (
        select(Document.sha256, Claim.id)
        .join(ClaimProof, ClaimProof.document_id == Document.id)
        .join(Claim, Claim.id == ClaimProof.claim_id)
        .where(Document.sha256.in_(hashes), Claim.state != ClaimState.REJECTED.value)
        .distinct()
        .order_by(Claim.id)
    )
    return [(row[0], row[1]) for row in await session.execute(statement)]


async def revoked_unpaid_fen(session: ReadSession, programme: str, claimant: UUID, claim_id: UUID) -> int:
    """Return what revoked vouchers redeemed for a claimant that no other claim was paid for, in fen (as the system).

    What the claim itself has approved counts as paid: it is being paid.
    """
    back = aliased(Redemption)
    given = select(func.coalesce(func.sum(back.amount_fen), 0)).where(back.of_id == Redemption.id).scalar_subquery()
    paid = exists().where(
        Claim.id == Redemption.claim_id, or_(Claim.state == ClaimState.PAID.value, Claim.id == claim_id)
    )
    statement = (
        select(cast(func.coalesce(func.sum(Redemption.amount_fen - given), 0), BigInteger))
        .join(Voucher, Voucher.id == Redemption.voucher_id)
        .where(
            Redemption.programme_id == programme,
            Redemption.claimant_org_id == claimant,
            Redemption.kind == RedemptionKind.REDEEMED.value,
            Voucher.state == VoucherState.REVOKED.value,
            ~paid,
        )
    )
    return int(await session.scalar(statement) or 0)


async def is_supplier(session: ReadSession, org_id: UUID) -> bool:
    """Tell whether an organisation is an approved supplier (as the system, or one who reads all)."""
    role = exists().where(OrganisationRole.org_id == Organisation.id, OrganisationRole.role == Role.SUPPLIER.value)
    statement = select(
        exists().where(Organisation.id == org_id, Organisation.state == OrganisationState.APPROVED.value, role)
    )
    return bool(await session.scalar(statement))


async def insert_advance(session: WriteSession, row: dict[str, Any]) -> Advance:
    """Record an advance (as the system)."""
    return (await session.scalars(insert(Advance).values(**row).returning(Advance))).one()


async def list_advances(
    session: ReadSession,
    caller: Caller,
    programme: str,
    page: PageRequest,
    *,
    signer: CursorSigner,
    listing: str,
) -> tuple[list[Advance], bool, tuple[str, str] | None]:
    """Return a page of a programme's advances, the caller's own or all, in the order they were made."""
    statement = select(Advance).where(Advance.programme_id == programme)
    if not caller.reads_all:
        statement = statement.where(Advance.supplier_org_id == caller.org_id)
    sort = Sort[Advance](
        columns=(Advance.id.expression,),
        values=lambda row: (str(row.id),),
        parse=lambda values: (UUID(values[0]),),
    )
    return await fetch_page(session, statement, sort, page, signer=signer, listing=listing)
