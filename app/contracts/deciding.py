"""What the rules say of a contract and a voucher that was set aside for it: facts as of the signing, budgets of now."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from app.contracts.models import Contract
from app.demand.models import ComputeRequest
from app.kit.db import ReadSession
from app.reservations.models import Reservation
from app.reservations.schemas import hours_between
from app.reservations.spending import contracts_of_year
from app.vouchers import repository as vouchers_repository
from app.vouchers import service as vouchers
from app.vouchers import standing
from app.vouchers.budgets import Budgets, programme_of
from app.vouchers.facts import ContractFacts, Facts, Item, OtherSubsidy, SupplierFacts
from app.vouchers.models import Voucher, VoucherState
from app.vouchers.policy import Programme
from app.vouchers.rules import Decision, Left, decide, signing_day

_GONE = (VoucherState.VOIDED, VoucherState.REJECTED, VoucherState.REVOKED)


@dataclass(frozen=True, slots=True)
class Case:
    """A contract and its reservation, before the rules."""

    contract: Contract
    reservation: Reservation


async def load_programme(session: ReadSession, programme: str, version: int) -> Programme:
    """Return a stored programme version.

    Raises:
        LookupError: if it is not stored; a voucher's always is.
    """
    row = await vouchers_repository.get_version(session, programme, version)
    if row is None:
        raise LookupError(f"{programme} version {version} is not stored")
    return programme_of(row.toml, row.sha256)


async def decide_case(
    session: ReadSession,
    case: Case,
    programme: Programme,
    tier: str | None,
    left: Left,
    *,
    applied_at: datetime,
    voucher_id: UUID | None = None,
) -> Decision:
    """Return what a tier gives for a contract (as the system).

    Args:
        session: sees everything.
        case: the contract, whose signing's day the facts are of, and its reservation.
        programme: under which rules.
        tier: under which the voucher was set aside; the best one where it is left out.
        left: of the budgets, with what is set aside for this very voucher counted as left.
        applied_at: when it was applied for.
        voucher_id: the voucher that is decided on, so that it is no other subsidy to itself.
    """
    contract = case.contract
    day = signing_day(programme, contract.signed_at)
    buyer = (await standing.load_buyers(session, [contract.buyer_org_id], day)).get(contract.buyer_org_id, Facts())
    return decide(
        programme,
        await _contract_facts(session, case, programme, applied_at, voucher_id),
        buyer,
        await _supplier_facts(session, contract, programme),
        left,
        tier=tier,
    )


async def _supplier_facts(session: ReadSession, contract: Contract, programme: Programme) -> SupplierFacts:
    day = signing_day(programme, contract.signed_at)
    supplier = contract.supplier_org_id
    found = (await standing.load_suppliers(session, [supplier], [programme.id], day)).get(supplier, SupplierFacts())
    groups = await standing.load_groups(session, day)
    return replace(found, affiliated=standing.affiliated(groups, supplier, contract.buyer_org_id))


async def _contract_facts(
    session: ReadSession, case: Case, programme: Programme, applied_at: datetime, voucher_id: UUID | None
) -> ContractFacts:
    contract, reservation = case.contract, case.reservation
    spent = await contracts_of_year(session, [contract.buyer_org_id], programme.zone, contract.signed_at)
    own = spent.get(contract.buyer_org_id, {})
    blocks = await session.scalar(select(ComputeRequest.blocks).where(ComputeRequest.id == reservation.request_id))
    others = await vouchers_repository.vouchers_of(session, [reservation.id])
    # Ended early, less is due than was signed; extended, the rest is not of this contract.
    share = min(contract.amount_fen, reservation.cost_fen)
    return ContractFacts(
        signed_at=contract.signed_at,
        items=_shared(contract, share),
        hours=hours_between(contract.starts_at, contract.ends_at),
        domestic=contract.domestic,
        blocks=blocks or 1,
        year_contracts_fen=sum(fen for request_id, fen in own.items() if request_id != reservation.request_id),
        others=tuple(
            OtherSubsidy(programme=other.programme_id, amount_fen=other.issued_fen or other.amount_fen)
            for other in others
            if other.id != voucher_id and other.programme_id != programme.id and other.state not in _GONE
        ),
        applied_at=applied_at,
    )


def _shared(contract: Contract, amount_fen: int) -> tuple[Item, ...]:
    """Return a contract's items, cut from the last to what is due in all."""
    items: list[Item] = []
    for item in contract.items:
        part = min(item.amount_fen, amount_fen)
        amount_fen -= part
        items.append(Item(item.kind, part))  # pyright: ignore[reportArgumentType]  a CHECK keeps it to these words
    return tuple(items)


async def left_with(session: ReadSession, voucher: Voucher) -> Left:
    """Return what is left of the budgets that a voucher was set aside from, itself counted as left (as the system)."""
    buyer = voucher.buyer_org_id
    found = await vouchers.load_budgets(session, voucher.programme_id, voucher.year, [buyer])
    return left_of(found, buyer, voucher.amount_fen, voucher.tier)


def left_of(found: Budgets, buyer: UUID, own_fen: int = 0, tier: str = "") -> Left:
    """Return budgets as the rules read them, with `own_fen` that is set aside under a tier counted as left."""

    def plus(fen: int | None) -> int | None:
        return None if fen is None else fen + own_fen

    return Left(
        pool_fen=plus(found.pool_fen),
        buyer_year_fen=plus(found.buyer_fen[buyer]),
        tier_fen={
            name: fen + (own_fen if name == tier else 0)
            for (name, org_id), fen in found.tier_fen.items()
            if org_id == buyer
        },
    )
