"""What comes out of the ledger's endpoints."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.accounts.schemas import OrgId
from app.kit.ids import TypeId
from app.kit.money import MAX_FEN
from app.kit.schemas import Input, Moment, Output
from app.ledger.models import Correction, Guard, Line, Transfer, TransferKind

AccountId = Annotated[UUID, TypeId("acct")]
TransferId = Annotated[UUID, TypeId("xfer")]


class AccountOut(Output):
    """An account of the ledger; balances in integer fen."""

    id: AccountId
    name: str = Field(examples=["open-example/pool/2026"])
    kind: str = Field(examples=["pool"])
    guard: Guard = Field(description="which side may never exceed the other")
    owner_org_id: OrgId | None
    debits_pending: int = Field(examples=[100_000])
    debits_posted: int = Field(examples=[0])
    credits_pending: int = Field(examples=[0])
    credits_posted: int = Field(examples=[20_000_000])
    created_at: Moment


class TransferOut(Output):
    """An amount in fen from one account to another."""

    id: TransferId
    seq: int = Field(description="the order of record", examples=[1])
    debit_id: AccountId
    credit_id: AccountId
    amount_fen: int = Field(description="0 for void and expire, which release all that was pending", examples=[500])
    kind: TransferKind
    pending_id: TransferId | None = Field(description="the pending transfer that this one resolves")
    subject: UUID | None = Field(description="what it is about: a voucher's id, as a plain UUID")
    created_at: Moment


class Sums(Output):
    """Debits and credits in integer fen."""

    debits_pending: int = Field(examples=[100_000])
    debits_posted: int = Field(examples=[0])
    credits_pending: int = Field(examples=[0])
    credits_posted: int = Field(examples=[20_000_000])


class KindSums(Sums):
    """The sums of one kind of accounts."""

    kind: str = Field(examples=["pool"])
    accounts: int = Field(examples=[1])


class TrialBalanceOut(Output):
    """What was debited and credited, by kind of account and in all."""

    programme: str | None
    owner_org_id: OrgId | None
    kinds: list[KindSums]
    total: Sums
    currency: Literal["CNY"] = "CNY"
    balanced: bool | None = Field(
        description="whether debits equal credits, posted and pending; null where only some of the accounts are shown,"
        " since the other side of a transfer is then left out"
    )


class LineOut(Output):
    """A transfer as one account sees it, with that account's balances after it."""

    transfer_id: TransferId
    seq: int = Field(description="the order of record", examples=[1])
    created_at: Moment
    kind: TransferKind
    side: Literal["debit", "credit"]
    other_account_id: AccountId
    other_account: str | None = Field(description="the other account's name; null where it is not one's own")
    subject: UUID | None = Field(description="what it is about: a voucher's id, as a plain UUID")
    pending_fen: int = Field(description="what it adds to what is pending; negative where it resolves", examples=[0])
    posted_fen: int = Field(description="what it posts", examples=[500])
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int
    left_fen: int = Field(description="credits posted less debits posted and pending, after this line")
    pending_id: TransferId | None = Field(description="the pending transfer that this one resolves")
    corrects_id: TransferId | None = Field(description="the transfer that this one corrects")
    reason: str | None = Field(description="why it was corrected")


class CorrectionIn(Input):
    """A posted transfer to take back, in whole or in part."""

    transfer_id: TransferId
    amount_fen: int = Field(ge=1, le=MAX_FEN, description="at most what it posted less earlier corrections")
    reason: str = Field(min_length=1, max_length=500, examples=["Supplier invoiced one card too many."])


class CorrectionOut(Output):
    """A correction: the new transfer goes the other way."""

    transfer: TransferOut
    corrects_id: TransferId
    reason: str
    created_at: Moment


def line_out(row: Line) -> LineOut:
    """Return a line of a statement as it is shown."""
    return LineOut(
        transfer_id=row.transfer_id,
        seq=row.seq,
        created_at=row.created_at,
        kind=TransferKind(row.kind),
        side="debit" if row.side == "debit" else "credit",
        other_account_id=row.other_id,
        other_account=row.other_name,
        subject=row.subject,
        pending_fen=row.pending_fen,
        posted_fen=row.posted_fen,
        debits_pending=row.debits_pending,
        debits_posted=row.debits_posted,
        credits_pending=row.credits_pending,
        credits_posted=row.credits_posted,
        left_fen=row.left_fen,
        pending_id=row.pending_id,
        corrects_id=row.corrects_id,
        reason=row.reason,
    )


def correction_out(transfer: Transfer, correction: Correction) -> CorrectionOut:
    """Return a correction as it is shown."""
    return CorrectionOut(
        transfer=TransferOut.model_validate(transfer),
        corrects_id=correction.corrects_id,
        reason=correction.reason,
        created_at=correction.created_at,
    )
