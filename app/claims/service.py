"""Claims: submitted with all proofs over what a claimant's redemptions of a period come to.

A submission locks its redemptions in id order, before accounts; what a claim holds is no longer given back. A
claimant's request is checked with its own eyes; what follows from it is written as the system.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from app.accounts.callers import Caller
from app.accounts.models import Role
from app.claims import repository
from app.claims.errors import (
    ALREADY_CLAIMED,
    CLAIM_DIFFERS,
    CLAIM_LATE,
    CLAIMANT_NEEDED,
    NOT_CLAIMANT,
    NOTHING_TO_CLAIM,
    OTHER_PERIOD,
    OUTSIDE_PERIOD,
    PERIOD_NOT_OVER,
    PROOF_TWICE,
    PROOFS_MISSING,
    UNKNOWN_DOCUMENT,
    UNKNOWN_PROOF,
    UNKNOWN_REDEMPTION,
    VOUCHER_REVOKED,
)
from app.claims.models import Claim, ClaimState, LineState
from app.claims.periods import EXAMPLES, Period, parse_period
from app.claims.repository import Claimable
from app.claims.schemas import ClaimIn
from app.claims.signalling import signal_claim
from app.contracts import repository as contracts
from app.contracts.deciding import load_programme
from app.contracts.documents import UploadedDocument
from app.contracts.models import Document
from app.kit.db import ReadSession, WriteSession, acting_as_system
from app.kit.errors import NOT_FOUND
from app.kit.ids import new_id
from app.kit.time import format_rfc3339
from app.ledger import service as ledger
from app.ledger.models import Guard, TransferKind
from app.ledger.repository import NewAccount, NewTransfer
from app.vouchers import budgets as caps
from app.vouchers import service as programmes
from app.vouchers.models import VoucherState
from app.vouchers.policy import Programme

_ROLES_ZH: Final = {"supplier": "供应方", "buyer": "需求方"}


def not_claimant(programme: Programme) -> Exception:
    """Return the refusal of a claim by someone else than who claims under a programme."""
    by = programme.claim.by
    return NOT_CLAIMANT.problem(programme=programme.id, by=by, by_zh=_ROLES_ZH[by])


async def add_proof(
    session: WriteSession, caller: Caller, upload: UploadedDocument, claimant_org_id: UUID, now: datetime
) -> Document:
    """Store a file that a claim will be proved by; only its claimant, the desk and auditors see it."""
    row = {
        "id": new_id(),
        "contract_id": None,
        "buyer_org_id": claimant_org_id,
        "supplier_org_id": claimant_org_id,
        "uploaded_by_org_id": caller.org_id,
        "kind": upload.kind.value,
        "name": upload.name,
        "media_type": upload.media_type,
        "size_bytes": len(upload.content),
        "sha256": hashlib.sha256(upload.content).hexdigest(),
        "content": upload.content,
        "created_at": now,
    }
    async with acting_as_system(session, caller.scope):
        return await contracts.insert_document(session, row)


async def submit(session: WriteSession, caller: Caller, body: ClaimIn, now: datetime) -> Claim:
    """Submit a claim over all that was redeemed in a period and is not claimed, or over the redemptions named.

    Args:
        session: the request's transaction.
        caller: the claimant, or the desk for one.
        body: what is claimed, with the proofs.
        now: the present.

    Returns:
        The claim with its lines and proofs.

    Raises:
        Problem: `not_found` for the programme, `not_the_claimant`, `claimant_needed`, `other_period`,
            `claim_period_not_over`, `claim_late`, `outside_period`, `unknown_redemption`, `already_claimed`,
            `voucher_revoked`, `nothing_to_claim`, `claim_differs`, `proofs_missing`, `unknown_proof`,
            `unknown_document`, `proof_twice`.
    """
    claimant = body.claimant_org_id or caller.org_id
    async with acting_as_system(session, caller.scope):
        programme = await _programme(session, body, claimant)
        _require_claimant(caller, body, programme)
        period = _period(programme, body.period, now)
        documents = await _proofs(session, programme, body, claimant)
        claimed = await _claimed(session, programme, period, body, claimant)
        total = sum(row.left_fen for row in claimed)
        if body.amount_fen is not None and body.amount_fen != total:
            raise CLAIM_DIFFERS.field("/amount_fen", claimable_fen=total, amount_fen=body.amount_fen)
        signals = await signal_claim(session, programme, claimed, list(documents.values()), now)
        claim_id = new_id()
        transfers = await _reserve(session, programme, period, claimant, claim_id, claimed)
        await repository.insert_claim(
            session,
            {
                "id": claim_id,
                "programme_id": programme.id,
                "programme_version": programme.version,
                "claimant_org_id": claimant,
                "period": period.name,
                "period_start": period.start,
                "period_end": period.end,
                "state": ClaimState.SUBMITTED.value,
                "amount_fen": total,
                "signals": signals,
                "version": 1,
                "created_at": now,
            },
            [
                {
                    "id": new_id(),
                    "claim_id": claim_id,
                    "claimant_org_id": claimant,
                    "redemption_id": row.redemption.id,
                    "settlement_id": row.redemption.settlement_id,
                    "voucher_id": row.voucher.id,
                    "amount_fen": row.left_fen,
                    "state": LineState.SUBMITTED.value,
                    "transfer_id": transfer,
                }
                for row, transfer in zip(claimed, transfers, strict=True)
            ],
            [
                {
                    "claim_id": claim_id,
                    "document_id": proof.document_id,
                    "kind": proof.kind,
                    "claimant_org_id": claimant,
                }
                for proof in body.proofs
            ],
        )
        await repository.set_claim(session, [row.redemption.id for row in claimed], claim_id)
    return await get_claim(session, caller, claim_id)


async def get_claim(session: ReadSession, caller: Caller, claim_id: UUID) -> Claim:
    """Return a claim with its lines and proofs.

    Raises:
        Problem: `not_found`, also for another's.
    """
    row = await repository.get_claim(session, caller, claim_id)
    if row is None:
        raise NOT_FOUND.problem(what="claim")
    return row


async def get_proof(session: ReadSession, caller: Caller, claim_id: UUID, document_id: UUID) -> Document:
    """Return a proof of a claim with its content.

    Raises:
        Problem: `not_found`.
    """
    await get_claim(session, caller, claim_id)
    row = await repository.get_proof(session, claim_id, document_id)
    if row is None:
        raise NOT_FOUND.problem(what="proof")
    return row


async def _programme(session: ReadSession, body: ClaimIn, claimant: UUID) -> Programme:
    """Return the version that is claimed under: the one asked for, else of the oldest that is left to claim."""
    version = body.programme_version
    if version is None:
        version = await repository.oldest_unclaimed_version(session, body.programme, claimant)
    if version is None:
        version = (await programmes.get_programme(session, body.programme))[0].version
    try:
        return await load_programme(session, body.programme, version)
    except LookupError:
        raise NOT_FOUND.problem(what="programme") from None


def _require_claimant(caller: Caller, body: ClaimIn, programme: Programme) -> None:
    own = Role(programme.claim.by) in caller.roles
    if body.claimant_org_id is None and caller.is_desk and not own:
        raise CLAIMANT_NEEDED.field("/claimant_org_id")
    if not caller.is_desk and (not own or body.claimant_org_id not in (None, caller.org_id)):
        raise not_claimant(programme)


def _period(programme: Programme, name: str, now: datetime) -> Period:
    cadence = programme.claim.cadence
    try:
        period = parse_period(name, cadence, programme.zone)
    except ValueError:
        raise OTHER_PERIOD.field("/period", cadence=cadence, example=EXAMPLES[cadence]) from None
    if now < period.end:
        raise PERIOD_NOT_OVER.problem(period=period.name, end=format_rfc3339(period.end))
    until = period.until(programme.claim.within_days)
    if until is not None and now >= until:
        raise CLAIM_LATE.problem(period=period.name, until=format_rfc3339(until))
    return period


async def _proofs(session: ReadSession, programme: Programme, body: ClaimIn, claimant: UUID) -> dict[UUID, Document]:
    """Return the documents of a claim's proofs, of which each kind that the programme names has one."""
    kinds = programme.claim.proofs
    documents = await repository.find_documents(session, {proof.document_id for proof in body.proofs}, claimant)
    seen: set[tuple[str, UUID]] = set()
    for position, proof in enumerate(body.proofs):
        if proof.kind not in kinds:
            raise UNKNOWN_PROOF.field(f"/proofs/{position}/kind", kinds=", ".join(kinds) or "–")
        if proof.document_id not in documents:
            raise UNKNOWN_DOCUMENT.field(f"/proofs/{position}/document_id")
        if (proof.kind, proof.document_id) in seen:
            raise PROOF_TWICE.field(f"/proofs/{position}")
        seen.add((proof.kind, proof.document_id))
    missing = [kind for kind in kinds if kind not in {proof.kind for proof in body.proofs}]
    if missing:
        raise PROOFS_MISSING.field("/proofs", missing=", ".join(missing))
    return documents


async def _claimed(
    session: WriteSession, programme: Programme, period: Period, body: ClaimIn, claimant: UUID
) -> Sequence[Claimable]:
    """Return what is claimed, locked; never nothing."""
    if body.redemption_ids is None:
        found = await repository.lock_unclaimed(
            session, programme.id, programme.version, claimant, period.start, period.end
        )
        if not found:
            raise NOTHING_TO_CLAIM.problem(programme=programme.id, period=period.name)
        return found
    rows = await repository.lock_redemptions(session, set(body.redemption_ids))
    for position, wanted in enumerate(body.redemption_ids):
        _require_claimable(rows.get(wanted), f"/redemption_ids/{position}", programme, period, claimant)
    return [rows[wanted] for wanted in sorted(rows)]


def _require_claimable(
    row: Claimable | None, pointer: str, programme: Programme, period: Period, claimant: UUID
) -> None:
    """Refuse a redemption that a claimant can't claim with a period."""
    under = None if row is None else (row.redemption.programme_id, row.voucher.programme_version)
    if row is None or under != (programme.id, programme.version):
        raise UNKNOWN_REDEMPTION.field(pointer)
    redemption = row.redemption
    if redemption.claimant_org_id != claimant:
        # To a party of the settlement it is no news; nobody else learns that there is such a redemption.
        if claimant in (redemption.buyer_org_id, redemption.supplier_org_id):
            raise not_claimant(programme)
        raise UNKNOWN_REDEMPTION.field(pointer)
    if redemption.claim_id is not None:
        raise ALREADY_CLAIMED.field(pointer)
    if row.voucher.state == VoucherState.REVOKED:
        raise VOUCHER_REVOKED.field(pointer)
    if not period.start <= redemption.created_at < period.end:
        raise OUTSIDE_PERIOD.field(pointer, at=format_rfc3339(redemption.created_at), period=period.name)
    if not row.left_fen:
        raise NOTHING_TO_CLAIM.field(pointer, programme=programme.id, period=period.name)


async def _reserve(
    session: WriteSession,
    programme: Programme,
    period: Period,
    claimant: UUID,
    claim_id: UUID,
    claimed: Sequence[Claimable],
) -> list[UUID]:
    """Set aside what is claimed, a pending transfer for each redemption; return their ids in the same order."""
    claimable, paid = caps.claimable_name(programme.id, claimant), caps.paid_name(programme.id, period.year)
    await ledger.open_accounts(session, [NewAccount(paid, caps.PAID, Guard.NONE)])
    accounts = await ledger.accounts_by_name(session, [claimable, paid])
    transfers = [
        NewTransfer(
            id=new_id(),
            debit_id=accounts[claimable].id,
            credit_id=accounts[paid].id,
            amount_fen=row.left_fen,
            kind=TransferKind.PENDING,
            subject=claim_id,
        )
        for row in claimed
    ]
    await ledger.post_transfers(session, transfers)
    return [transfer.id for transfer in transfers]
