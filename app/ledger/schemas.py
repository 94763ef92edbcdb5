"""What comes out of the ledger's endpoints."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.accounts.schemas import OrgId
from app.kit.ids import TypeId
from app.kit.schemas import Moment, Output
from app.ledger.models import Guard, TransferKind

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
