"""What goes in and out of the endpoints of claims and advances."""

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.accounts.schemas import OrgId
from app.claims.models import Advance, Claim, ClaimLine, ClaimProof, ClaimState, LineState
from app.contracts.schemas import DocumentId, SignalOut, signals_out
from app.kit.ids import TypeId
from app.kit.schemas import Fen, Input, LongText, Moment, Output, Text
from app.settlements.schemas import RedemptionId, SettlementId
from app.vouchers.schemas import VoucherId

ClaimId = Annotated[UUID, TypeId("clm")]
LineId = Annotated[UUID, TypeId("cll")]
AdvanceId = Annotated[UUID, TypeId("adv")]
MOST_LINES = 5_000


class ClaimReason(StrEnum):
    """Why the desk rejects a claim or a line of it."""

    PROOF_INSUFFICIENT = "proof_insufficient"
    NOT_DELIVERED = "not_delivered"
    WRONG_AMOUNT = "wrong_amount"
    INELIGIBLE = "ineligible"
    DESK_DECISION = "desk_decision"


Reason = Annotated[ClaimReason, Field(strict=False, examples=["proof_insufficient"])]


class ProofIn(Input):
    """A document that proves the claim: uploaded by `POST /v1/claim-proofs`, or a contract's."""

    kind: Text = Field(description="one that the programme names", examples=["delivery record"])
    document_id: DocumentId


class ClaimIn(Input):
    """What is claimed: all that was redeemed in a period and is not claimed yet, or the redemptions named."""

    programme: Annotated[str, Field(min_length=1, max_length=60, examples=["chengdu-2023"])]
    programme_version: int | None = Field(
        default=None, ge=1, description="by default that of the oldest redemption that is not claimed"
    )
    period: Text = Field(
        description="a calendar period in the programme's time zone, of its cadence: `2026-12`, `2026-Q4`, `2026-H2`,"
        " `2026`",
        examples=["2026-Q4"],
    )
    proofs: list[ProofIn] = Field(
        default_factory=list[ProofIn], max_length=200, description="at least one of each kind that the programme names"
    )
    redemption_ids: list[RedemptionId] | None = Field(
        default=None, min_length=1, max_length=MOST_LINES, description="only these; by default all"
    )
    amount_fen: Fen | None = Field(
        default=None, description="what this must come to, in integer fen; else it is refused"
    )
    claimant_org_id: OrgId | None = Field(default=None, description="for whom, where the desk claims")


class RejectedLineIn(Input):
    """A line that is not approved."""

    line_id: LineId
    reason: Reason
    detail: LongText = Field(description="in the desk's own words; the claimant sees it")


class ApproveClaimIn(Input):
    """Approve a claim, but for the lines named."""

    rejected: list[RejectedLineIn] = Field(default_factory=list[RejectedLineIn], max_length=MOST_LINES)


class RejectClaimIn(Input):
    """Reject a claim with all of its lines."""

    reason: Reason
    detail: LongText = Field(
        description="in the desk's own words; the claimant sees it", examples=["The delivery record is unsigned."]
    )


class PayClaimIn(Input):
    """That a claim was paid."""

    amount_fen: Fen = Field(description="what was paid, in integer fen: exactly `cash_fen`")
    paid_at: Moment | None = Field(default=None, description="when; by default now")
    reference: Text | None = Field(default=None, description="of the transfer", examples=["ICBC 2027-01-31 0007"])


class AdvanceIn(Input):
    """Money of the reserve fund that a supplier is given ahead of its claims."""

    supplier_org_id: OrgId
    amount_fen: Annotated[Fen, Field(ge=1, examples=[30_000_000])]
    reference: Text | None = Field(default=None, description="of the transfer")


class ClaimLineOut(Output):
    """A redemption that is claimed."""

    id: LineId
    redemption_id: RedemptionId
    settlement_id: SettlementId
    voucher_id: VoucherId
    amount_fen: int = Field(examples=[37_500_000])
    state: LineState
    reason: ClaimReason | None = Field(description="of a rejected one")
    detail: str | None


class ProofOut(Output):
    """A document that proves the claim; its content is at `…/proofs/{document_id}`."""

    kind: str = Field(examples=["delivery record"])
    document_id: DocumentId
    name: str
    media_type: str
    size_bytes: int
    sha256: str


class ClaimOut(Output):
    """What a claimant asks of a programme for a period."""

    id: ClaimId
    state: ClaimState
    programme: str = Field(examples=["chengdu-2023"])
    programme_version: int
    claimant_org_id: OrgId
    period: str = Field(examples=["2026-Q4"])
    period_start: Moment
    period_end: Moment
    amount_fen: int = Field(description="the sum of its lines", examples=[100_000_000])
    approved_fen: int | None = Field(description="the sum of the approved lines; null before the decision")
    netted_fen: int | None = Field(description="taken off at payment for advances of the reserve fund")
    recovered_fen: int | None = Field(description="taken off at payment for vouchers revoked after they were paid")
    cash_fen: int | None = Field(description="what is left to pay: approved less netted less recovered")
    currency: Literal["CNY"] = "CNY"
    decided_at: Moment | None
    paid_at: Moment | None
    payment_reference: str | None
    signals: list[SignalOut] | None = Field(description="signs of abuse, for the desk and auditors; null for others")
    version: int = Field(description="what the ETag is made of", examples=[1])
    created_at: Moment


class ClaimDetail(ClaimOut):
    """A claim with its lines and proofs; of an approved one the amounts are those of a payment now."""

    lines: list[ClaimLineOut]
    proofs: list[ProofOut]


class AdvanceOut(Output):
    """An advance of a programme's reserve fund."""

    id: AdvanceId
    programme: str = Field(examples=["chengdu-2023"])
    programme_version: int
    supplier_org_id: OrgId
    amount_fen: int = Field(examples=[30_000_000])
    currency: Literal["CNY"] = "CNY"
    reference: str | None
    created_at: Moment


class AdvancedOut(AdvanceOut):
    """An advance that was just made, and what the supplier's claims did not make up for yet, this one included."""

    outstanding_fen: int = Field(examples=[30_000_000])
    cap_fen: int | None = Field(description="most that a supplier has in advance; null: the programme names no limit")


def claim_out(row: Claim, language: str, *, signals: bool) -> ClaimOut:
    """Return a claim, its sentences in `en` or `zh-CN`, with signals where they are asked for."""
    return ClaimOut(
        id=row.id,
        state=ClaimState(row.state),
        programme=row.programme_id,
        programme_version=row.programme_version,
        claimant_org_id=row.claimant_org_id,
        period=row.period,
        period_start=row.period_start,
        period_end=row.period_end,
        amount_fen=row.amount_fen,
        approved_fen=row.approved_fen,
        netted_fen=row.netted_fen,
        recovered_fen=row.recovered_fen,
        cash_fen=row.cash_fen,
        decided_at=row.decided_at,
        paid_at=row.paid_at,
        payment_reference=row.payment_reference,
        signals=signals_out(row.signals, language) if signals else None,
        version=row.version,
        created_at=row.created_at,
    )


def line_out(row: ClaimLine) -> ClaimLineOut:
    """Return a line as shown."""
    return ClaimLineOut(
        id=row.id,
        redemption_id=row.redemption_id,
        settlement_id=row.settlement_id,
        voucher_id=row.voucher_id,
        amount_fen=row.amount_fen,
        state=LineState(row.state),
        reason=None if row.reason_code is None else ClaimReason(row.reason_code),
        detail=row.reason_detail,
    )


def proof_out(row: ClaimProof) -> ProofOut:
    """Return a proof, loaded with its document, as shown."""
    document = row.document
    return ProofOut(
        kind=row.kind,
        document_id=row.document_id,
        name=document.name,
        media_type=document.media_type,
        size_bytes=document.size_bytes,
        sha256=document.sha256,
    )


def advance_out(row: Advance) -> AdvanceOut:
    """Return an advance as shown."""
    return AdvanceOut(
        id=row.id,
        programme=row.programme_id,
        programme_version=row.programme_version,
        supplier_org_id=row.supplier_org_id,
        amount_fen=row.amount_fen,
        reference=row.reference,
        created_at=row.created_at,
    )
