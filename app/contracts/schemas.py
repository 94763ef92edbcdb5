"""What goes in and out of the contracts' and applications' endpoints."""

from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from app.accounts.schemas import OrgId
from app.contracts.errors import REASONS
from app.contracts.models import (
    ApplicationState,
    Choice,
    Contract,
    DecidedBy,
    Document,
    DocumentKind,
    Evaluation,
    ItemKind,
    Payment,
    VoucherApplication,
)
from app.contracts.signals import Signal, SignalCode, tell_signal
from app.kit.errors import CHINESE
from app.kit.ids import TypeId
from app.kit.schemas import Fen, Input, LongText, Moment, Output
from app.reservations.schemas import ReservationId
from app.vouchers.findings import Finding, Step, tell_finding, tell_step
from app.vouchers.schemas import VoucherId, VoucherOut

ContractId = Annotated[UUID, TypeId("ctr")]
DocumentId = Annotated[UUID, TypeId("doc")]
ApplicationId = Annotated[UUID, TypeId("vap")]


class RejectReason(StrEnum):
    """Why the desk rejects an application."""

    DESK_CHECK_FAILED = "desk_check_failed"
    DOCUMENTS_INSUFFICIENT = "documents_insufficient"
    FALSE_STATEMENT = "false_statement"
    DESK_DECISION = "desk_decision"


class RevokeReason(StrEnum):
    """Why the desk revokes a voucher."""

    FALSE_STATEMENT = "false_statement"
    MISUSE = "misuse"
    NOT_DELIVERED = "not_delivered"
    DESK_DECISION = "desk_decision"


class ItemOut(Output):
    """A part of a contract's amount."""

    kind: ItemKind
    amount_fen: int = Field(examples=[163_200])


class ContractOut(Output):
    """What a confirmed reservation is under, as both sides accepted it."""

    id: ContractId
    reservation_id: ReservationId
    buyer_org_id: OrgId
    supplier_org_id: OrgId
    chip_model: str = Field(examples=["Ascend 910B"])
    domestic: bool | None = Field(description="whether the chip is a domestic one; null: not known")
    region: str
    cards: int = Field(examples=[8])
    starts_at: Moment
    ends_at: Moment
    price_fen: int = Field(description="fen per card-hour", examples=[850])
    amount_fen: int = Field(description="as signed: the sum of its items", examples=[163_200])
    currency: Literal["CNY"] = "CNY"
    items: list[ItemOut]
    payment: Payment = Field(description="`prepaid`: before each period; `arrears`: after it")
    signed_at: Moment = Field(description="when the second side accepted")
    version: int = Field(description="what the ETag is made of", examples=[1])


class DocumentOut(Output):
    """A document of a contract; its content is at `…/documents/{id}`."""

    id: DocumentId
    contract_id: ContractId | None
    kind: DocumentKind
    name: str = Field(examples=["contract.pdf"])
    media_type: Literal["application/pdf", "image/png", "image/jpeg"]
    size_bytes: int = Field(examples=[48_213])
    sha256: str = Field(description="of the content, in hexadecimal")
    uploaded_by_org_id: OrgId
    created_at: Moment


class DocumentList(Output):
    """A contract's documents, in the order they came."""

    data: list[DocumentOut]


class ClauseOut(Output):
    """A clause of the programme as the rules found it."""

    name: str = Field(examples=["integrity"])
    met: bool
    needed: str = Field(examples=["clean"])
    found: str | None = Field(description="null: not known", examples=["clean"])
    told: str = Field(description="in a sentence, English or Chinese by Accept-Language")


class StepOut(Output):
    """A step of the amount's arithmetic."""

    name: str = Field(examples=["rate"])
    amount_fen: int
    detail: str
    told: str


class ReasonOut(Output):
    """Why an application was rejected or withdrawn."""

    code: str = Field(examples=["clause_unmet"])
    told: str
    detail: str | None = Field(description="the desk's own words")


class SignalOut(Output):
    """A sign of abuse; it decides nothing."""

    code: SignalCode
    of: str = Field(description="the id of what it is about", examples=["ctr_01kawx5s9ge3wbqk1m6x1s8v9a"])
    found: str
    against: str = Field(description="what it was held against")
    told: str = Field(description="in a sentence, English or Chinese by Accept-Language")


class ApplicationOut(Output):
    """A contract's application for a voucher, with each clause and the arithmetic of the amount."""

    id: ApplicationId
    state: ApplicationState
    contract_id: ContractId
    programme: str = Field(examples=["chengdu-2023"])
    voucher_id: VoucherId
    buyer_org_id: OrgId
    supplier_org_id: OrgId
    amount_fen: int = Field(description="what the rules give, at most the earmark; once approved, what was issued")
    clauses: list[ClauseOut]
    arithmetic: list[StepOut]
    desk_checks: list[str] = Field(description="what the facts can't tell: with any, the desk decides")
    signals: list[SignalOut] | None = Field(description="signs of abuse, for the desk and auditors; null for others")
    decided_by: DecidedBy | None
    decided_at: Moment | None
    reason: ReasonOut | None
    choice: Choice | None = Field(
        description="after a rejection: what came of the buyer's choice; null while it is open"
    )
    choice_ends_at: Moment | None = Field(description="until when the buyer can accept the full price")
    version: int = Field(description="what the ETag is made of", examples=[1])
    created_at: Moment


class ApplicationList(Output):
    """Applications that were made together."""

    data: list[ApplicationOut]


class EvaluationOut(Output):
    """What the desk found that a contract achieved."""

    score: int = Field(examples=[85])
    remarks: str
    created_at: Moment


class EvaluatedOut(EvaluationOut):
    """An evaluation, and the bonus vouchers that it earned."""

    bonuses: list[VoucherOut]


class ContractDetail(ContractOut):
    """A contract with its applications, documents and evaluation."""

    applications: list[ApplicationOut]
    documents: list[DocumentOut]
    evaluation: EvaluationOut | None


class PaymentIn(Input):
    """When a contract is paid for."""

    payment: Annotated[Payment, Field(strict=False)] = Field(examples=["prepaid"])


class ApplyIn(Input):
    """Apply for the vouchers that are set aside for a contract."""

    contract_id: ContractId


class ApproveIn(Input):
    """Approve an application."""

    amount_fen: Annotated[Fen, Field(ge=1)] | None = Field(
        default=None, description="less than the rules give; left out, all of it"
    )


class RejectIn(Input):
    """Reject an application."""

    reason: Annotated[RejectReason, Field(strict=False)] = Field(examples=["desk_check_failed"])
    detail: LongText = Field(
        description="in the desk's own words; both sides see it", examples=["The project was not won."]
    )


class WithdrawIn(Input):
    """Withdraw an application. Takes no fields."""


class FullPriceIn(Input):
    """Accept the full price after a rejection. Takes no fields."""


class EvaluationIn(Input):
    """What a completed contract achieved."""

    score: int = Field(ge=0, le=100, examples=[85])
    remarks: LongText = Field(examples=["The model was trained and published."])


class RevokeIn(Input):
    """Revoke a voucher."""

    reason: Annotated[RevokeReason, Field(strict=False)] = Field(examples=["false_statement"])
    detail: LongText = Field(
        description="in the desk's own words; both sides see it", examples=["Revenue was misstated."]
    )


class UseIn(Input):
    """Put a bonus voucher on a contract."""

    contract_id: ContractId


def contract_out(row: Contract) -> ContractOut:
    """Return a contract, loaded with its items, as shown."""
    return ContractOut.model_validate(row)


def contract_detail(
    row: Contract,
    applications: list[VoucherApplication],
    documents: list[Document],
    evaluation: Evaluation | None,
    language: str,
    *,
    signals: bool,
) -> ContractDetail:
    """Return a contract with all that belongs to it."""
    return ContractDetail(
        **dict(contract_out(row)),
        applications=[application_out(each, language, signals=signals) for each in applications],
        documents=[document_out(each) for each in documents],
        evaluation=None if evaluation is None else EvaluationOut.model_validate(evaluation),
    )


def document_out(row: Document) -> DocumentOut:
    """Return a document without its content."""
    return DocumentOut.model_validate(row)


def signals_out(kept: list[Any], language: str) -> list[SignalOut]:
    """Return signals as they are kept, told in `en` or `zh-CN`."""
    found = [Signal(SignalCode(each["code"]), each["of"], each["found"], each["against"]) for each in kept]
    return [
        SignalOut(code=each.code, of=each.of, found=each.found, against=each.against, told=tell_signal(each, language))
        for each in found
    ]


def application_out(row: VoucherApplication, language: str, *, signals: bool) -> ApplicationOut:
    """Return an application, its sentences in `en` or `zh-CN`, with signals where they are asked for."""
    return ApplicationOut(
        id=row.id,
        state=ApplicationState(row.state),
        contract_id=row.contract_id,
        programme=row.programme_id,
        voucher_id=row.voucher_id,
        buyer_org_id=row.buyer_org_id,
        supplier_org_id=row.supplier_org_id,
        amount_fen=row.amount_fen,
        clauses=[_clause(each, language) for each in row.clauses],
        arithmetic=[_step(each, language) for each in row.arithmetic],
        desk_checks=[each["zh" if language == CHINESE else "en"] for each in row.desk_checks],
        signals=signals_out(row.signals, language) if signals else None,
        decided_by=None if row.decided_by is None else DecidedBy(row.decided_by),
        decided_at=row.decided_at,
        reason=_reason(row, language),
        choice=None if row.choice is None else Choice(row.choice),
        choice_ends_at=row.choice_ends_at,
        version=row.version,
        created_at=row.created_at,
    )


def _clause(kept: dict[str, Any], language: str) -> ClauseOut:
    return ClauseOut(**kept, told=tell_finding(Finding(**kept), language))


def _step(kept: dict[str, Any], language: str) -> StepOut:
    return StepOut(**kept, told=tell_step(Step(**kept), language))


def _reason(row: VoucherApplication, language: str) -> ReasonOut | None:
    if row.reason_code is None:
        return None
    unmet = ", ".join(tell_finding(Finding(**each), language) for each in row.clauses if not each["met"])
    told = REASONS[row.reason_code].problem(clauses=unmet).detail(language)
    return ReasonOut(code=row.reason_code, told=told, detail=row.reason_detail)


def evaluated_out(row: Evaluation, bonuses: list[VoucherOut]) -> EvaluatedOut:
    """Return an evaluation with what it earned."""
    return EvaluatedOut(**dict(EvaluationOut.model_validate(row)), bonuses=bonuses)
