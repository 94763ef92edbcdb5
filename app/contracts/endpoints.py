"""Endpoints of contracts and their documents, applications for vouchers, and vouchers as people turn them."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response

from app.accounts.callers import Caller
from app.accounts.dependencies import (
    Anyone,
    BuyerOrDesk,
    Context,
    Desk,
    KeyedWriting,
    Party,
    Reading,
    SupplierOrDesk,
    Writing,
)
from app.accounts.errors import NOT_APPROVED
from app.contracts import repository, service
from app.contracts.documents import contract_document, read_document, upload_form
from app.contracts.errors import (
    AMOUNT_ABOVE_RULE,
    APPLICATION_EXISTS,
    APPLICATION_STATE,
    CHOICE_OVER,
    DOCUMENT_TYPE,
    EVALUATED,
    EVALUATION_LATE,
    NOT_A_FREE_BONUS,
    NOT_OVER,
    NOTHING_TO_APPLY_FOR,
    ONE_FILE,
    OTHER_BUYER,
    PAYMENT_FIXED,
    RULE_REFUSES,
    VOUCHER_STATE,
)
from app.contracts.models import ApplicationState, DocumentKind, VoucherApplication
from app.contracts.repository import ApplicationFilter, ContractFilter
from app.contracts.schemas import (
    ApplicationId,
    ApplicationList,
    ApplicationOut,
    ApplyIn,
    ApproveIn,
    ContractDetail,
    ContractId,
    ContractOut,
    DocumentId,
    DocumentList,
    DocumentOut,
    EvaluatedOut,
    EvaluationIn,
    FullPriceIn,
    PaymentIn,
    RejectIn,
    RevokeIn,
    UseIn,
    WithdrawIn,
    application_out,
    contract_detail,
    contract_out,
    document_out,
    evaluated_out,
)
from app.contracts.service import VoucherWhole
from app.kit.db import WriteSession
from app.kit.errors import (
    FORBIDDEN,
    IDEMPOTENCY_IN_FLIGHT,
    IDEMPOTENCY_MISMATCH,
    IDEMPOTENCY_REQUIRED,
    MALFORMED,
    NOT_FOUND,
    PRECONDITION_REQUIRED,
    STALE,
    UNAUTHENTICATED,
)
from app.kit.ids import encode_id
from app.kit.pages import BAD_CURSOR, ONE_CURSOR, Page, Paging, listing_name, page_of
from app.kit.problems import language_of, problems
from app.kit.uploads import NOT_MULTIPART, UPLOAD_TOO_LARGE
from app.kit.writes import Answer, Writer, check_if_match, etag
from app.ledger.errors import FUNDS_EXHAUSTED
from app.reservations.errors import WRONG_STATE
from app.reservations.schemas import ReservationId
from app.vouchers.errors import VOUCHER_TAKEN
from app.vouchers.schemas import VoucherDetail, VoucherId, voucher_detail, voucher_out

router = APIRouter(tags=["contracts"])

_READ: Final = (UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND)
_WRITE: Final = (UNAUTHENTICATED, FORBIDDEN, NOT_APPROVED, NOT_FOUND)
_CHANGE: Final = (*_WRITE, PRECONDITION_REQUIRED, STALE)
_KEYED: Final = (IDEMPOTENCY_REQUIRED, IDEMPOTENCY_IN_FLIGHT, IDEMPOTENCY_MISMATCH)
_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("application/pdf", "image/png", "image/jpeg")
        },
        "description": "the document, as it was uploaded",
    }
}
_HTML: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/html": {"schema": {"type": "string"}}}, "description": "the document"}
}
# What others uploaded is never run by whoever looks at it.
_SAFE: Final = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}


def _language(request: Request) -> str:
    return language_of(request.headers.get("accept-language"))


@router.get(
    "/contracts",
    summary="List contracts",
    description="One's own, as buyer or supplier; all for the desk and auditors.",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, BAD_CURSOR, ONE_CURSOR),
)
async def list_contracts(
    caller: Anyone,
    session: Reading,
    context: Context,
    page: Paging,
    reservation_id: Annotated[ReservationId | None, Query(description="only of this reservation")] = None,
) -> Page[ContractOut]:
    """Return a page of contracts."""
    query = {"reservation_id": None if reservation_id is None else encode_id("rsv", reservation_id)}
    rows, has_more, cursors = await repository.list_contracts(
        session,
        caller,
        page,
        ContractFilter(reservation_id),
        signer=context.signer,
        listing=listing_name("contracts", query),
    )
    items = [contract_out(row) for row in rows]
    return page_of(items, has_more=has_more, cursors=cursors, query=query | {"limit": page.limit})


@router.get("/contracts/{contract_id}", summary="Read a contract", responses=problems(*_READ))
async def read_contract(
    contract_id: ContractId, caller: Anyone, session: Reading, request: Request, response: Response
) -> ContractDetail:
    """Return a contract with its applications, documents and evaluation."""
    whole = await service.get_contract_whole(session, caller, contract_id)
    response.headers["ETag"] = etag(whole[0].version)
    return contract_detail(*whole, _language(request), signals=caller.reads_all)


@router.patch(
    "/contracts/{contract_id}",
    summary="Say when a contract is paid for",
    description="Before it begins: `prepaid` or, unless said otherwise, in `arrears`.",
    response_model=ContractOut,
    responses=problems(*_CHANGE, PAYMENT_FIXED),
)
async def set_payment(
    contract_id: ContractId, body: PaymentIn, request: Request, caller: SupplierOrDesk, write: Writing
) -> Response:
    """Set how a contract is paid for (the supplier, the desk)."""

    async def work(session: WriteSession) -> Answer:
        check = partial(check_if_match, request)
        row = await service.set_payment(session, caller, contract_id, body, check)
        return Answer(contract_out(row), headers={"ETag": etag(row.version)})

    return await write.run(work)


@router.get(
    "/contracts/{contract_id}/generated-document",
    summary="Get a contract as a document",
    description="HTML in Chinese and English, made from the contract as it was signed; always the same.",
    response_class=Response,
    responses=_HTML | problems(*_READ),
)
async def read_generated_document(contract_id: ContractId, caller: Anyone, session: Reading) -> Response:
    """Return a contract as a readable document."""
    contract = await service.get_contract(session, caller, contract_id)
    text = contract_document(contract, *await service.names_of_parties(session, contract))
    policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    headers = _SAFE | {"Content-Security-Policy": policy}
    return Response(text.encode(), media_type="text/html; charset=utf-8", headers=headers)


@router.get("/contracts/{contract_id}/documents", summary="List a contract's documents", responses=problems(*_READ))
async def list_documents(contract_id: ContractId, caller: Anyone, session: Reading) -> DocumentList:
    """Return a contract's documents without their content."""
    await service.get_contract(session, caller, contract_id)
    return DocumentList(data=[document_out(row) for row in await repository.list_documents(session, contract_id)])


@router.post(
    "/contracts/{contract_id}/documents",
    summary="Upload a document of a contract",
    description="A PDF, PNG or JPEG of at most 10 MiB; its SHA-256 is stored with it. It is never changed or removed.",
    status_code=201,
    response_model=DocumentOut,
    responses=problems(*_WRITE, MALFORMED, NOT_MULTIPART, UPLOAD_TOO_LARGE, ONE_FILE, DOCUMENT_TYPE),
    openapi_extra=upload_form(DocumentKind.CONTRACT),
)
async def upload_document(
    contract_id: ContractId, request: Request, caller: Party, write: Writing, context: Context
) -> Response:
    """Store a document (the contract's sides, the desk)."""
    # A stranger's body is not read at all.
    async with context.database.read(caller.scope) as session:
        await service.get_contract(session, caller, contract_id)
    upload = await read_document(request)

    async def work(session: WriteSession) -> Answer:
        row = await service.add_document(
            session,
            caller,
            contract_id,
            kind=upload.kind,
            name=upload.name,
            media_type=upload.media_type,
            content=upload.content,
            now=context.clock(),
        )
        location = f"/v1/contracts/{encode_id('ctr', contract_id)}/documents/{encode_id('doc', row.id)}"
        return Answer(document_out(row), 201, {"Location": location})

    return await write.run(work, body=upload.digest)


@router.get(
    "/contracts/{contract_id}/documents/{document_id}",
    summary="Download a document of a contract",
    response_class=Response,
    responses=_FILE | problems(*_READ),
)
async def read_document_content(
    contract_id: ContractId, document_id: DocumentId, caller: Anyone, session: Reading
) -> Response:
    """Return a document's content."""
    row = await service.get_document(session, caller, contract_id, document_id)
    headers = _SAFE | {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(row.name, safe='')}",
        "ETag": f'"{row.sha256}"',
    }
    return Response(row.content, media_type=row.media_type, headers=headers)


@router.post(
    "/contracts/{contract_id}/evaluation",
    summary="Evaluate a completed contract",
    description="Once. A good score earns the bonus vouchers of the programmes that give any; they are issued at once.",
    status_code=201,
    response_model=EvaluatedOut,
    responses=problems(*_WRITE, *_KEYED, NOT_OVER, EVALUATED, EVALUATION_LATE),
)
async def evaluate(
    contract_id: ContractId, body: EvaluationIn, caller: Desk, write: KeyedWriting, context: Context
) -> Response:
    """Record what a contract achieved (the desk)."""

    async def work(session: WriteSession) -> Answer:
        row, bonuses = await service.evaluate(session, caller, contract_id, body, context.clock())
        return Answer(evaluated_out(row, [voucher_out(each) for each in bonuses]), 201)

    return await write.run(work)


@router.get(
    "/voucher-applications",
    summary="List applications for vouchers",
    description="In the order they were made; `state=submitted` is the desk's queue.",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, BAD_CURSOR, ONE_CURSOR),
)
async def list_applications(
    caller: Anyone,
    session: Reading,
    context: Context,
    page: Paging,
    request: Request,
    state: Annotated[ApplicationState | None, Query(description="only in this state")] = None,
    programme: Annotated[str | None, Query(max_length=60, description="only under this programme")] = None,
    contract_id: Annotated[ContractId | None, Query(description="only of this contract")] = None,
) -> Page[ApplicationOut]:
    """Return a page of applications."""
    query = {
        "state": state,
        "programme": programme,
        "contract_id": None if contract_id is None else encode_id("ctr", contract_id),
    }
    rows, has_more, cursors = await repository.list_applications(
        session,
        caller,
        page,
        ApplicationFilter(state, programme, contract_id),
        signer=context.signer,
        listing=listing_name("voucher-applications", query),
    )
    items = [application_out(row, _language(request), signals=caller.reads_all) for row in rows]
    return page_of(items, has_more=has_more, cursors=cursors, query=query | {"limit": page.limit})


@router.post(
    "/voucher-applications",
    summary="Apply for a contract's vouchers",
    description="For all that is set aside for it, at once. At a confirmation the service does so itself; here it "
    "is for contracts that were confirmed before their programme took applications.",
    status_code=201,
    response_model=ApplicationList,
    responses=problems(*_WRITE, *_KEYED, APPLICATION_EXISTS, NOTHING_TO_APPLY_FOR, WRONG_STATE),
)
async def apply(
    body: ApplyIn, caller: BuyerOrDesk, write: KeyedWriting, context: Context, request: Request
) -> Response:
    """Apply for a contract's vouchers (its buyer, the desk)."""

    async def work(session: WriteSession) -> Answer:
        rows = await service.apply(session, caller, body.contract_id, context.clock())
        return Answer(
            ApplicationList(data=[application_out(row, _language(request), signals=caller.reads_all) for row in rows]),
            201,
        )

    return await write.run(work)


@router.get(
    "/voucher-applications/{application_id}", summary="Read an application for a voucher", responses=problems(*_READ)
)
async def read_application(
    application_id: ApplicationId, caller: Anyone, session: Reading, request: Request, response: Response
) -> ApplicationOut:
    """Return an application."""
    row = await service.get_application(session, caller, application_id)
    response.headers["ETag"] = etag(row.version)
    return application_out(row, _language(request), signals=caller.reads_all)


async def _change(
    write: Writer, request: Request, caller: Caller, change: Callable[[WriteSession], Awaitable[VoucherApplication]]
) -> Response:
    async def work(session: WriteSession) -> Answer:
        row = await change(session)
        return Answer(
            application_out(row, _language(request), signals=caller.reads_all), headers={"ETag": etag(row.version)}
        )

    return await write.run(work)


@router.post(
    "/voucher-applications/{application_id}/approve",
    summary="Approve an application for a voucher",
    description="The rules are asked again, with facts as of the signing, and bind the desk; the voucher is issued.",
    response_model=ApplicationOut,
    responses=problems(*_CHANGE, *_KEYED, APPLICATION_STATE, RULE_REFUSES, FUNDS_EXHAUSTED, AMOUNT_ABOVE_RULE),
)
async def approve(
    application_id: ApplicationId,
    body: ApproveIn,
    request: Request,
    caller: Desk,
    write: KeyedWriting,
    context: Context,
) -> Response:
    """Approve an application (the desk)."""
    check = partial(check_if_match, request)
    return await _change(
        write,
        request,
        caller,
        lambda session: service.approve(session, caller, application_id, body, check, context.clock()),
    )


@router.post(
    "/voucher-applications/{application_id}/reject",
    summary="Reject an application for a voucher",
    description="The buyer has 48 hours, and until the start, to accept the full price; else the reservation is "
    "cancelled (`voucher_rejected`), free.",
    response_model=ApplicationOut,
    responses=problems(*_CHANGE, *_KEYED, APPLICATION_STATE),
)
async def reject(
    application_id: ApplicationId,
    body: RejectIn,
    request: Request,
    caller: Desk,
    write: KeyedWriting,
    context: Context,
) -> Response:
    """Reject an application with a reason (the desk)."""
    check = partial(check_if_match, request)
    return await _change(
        write,
        request,
        caller,
        lambda session: service.reject(session, caller, application_id, body, check, context.clock()),
    )


@router.post(
    "/voucher-applications/{application_id}/withdraw",
    summary="Withdraw an application for a voucher",
    description="One that is not decided yet: the voucher is given back, and the full price is paid.",
    response_model=ApplicationOut,
    responses=problems(*_CHANGE, *_KEYED, APPLICATION_STATE),
)
async def withdraw(
    application_id: ApplicationId,
    _: WithdrawIn,
    request: Request,
    caller: BuyerOrDesk,
    write: KeyedWriting,
    context: Context,
) -> Response:
    """Withdraw an application (its buyer, the desk)."""
    check = partial(check_if_match, request)
    return await _change(
        write,
        request,
        caller,
        lambda session: service.withdraw(session, caller, application_id, check, context.clock()),
    )


@router.post(
    "/voucher-applications/{application_id}/accept-full-price",
    summary="Accept the full price after a rejection",
    description="Within 48 hours, and before the start. Accepting again changes nothing.",
    response_model=ApplicationOut,
    responses=problems(*_CHANGE, *_KEYED, APPLICATION_STATE, CHOICE_OVER, WRONG_STATE),
)
async def accept_full_price(
    application_id: ApplicationId,
    _: FullPriceIn,
    request: Request,
    caller: BuyerOrDesk,
    write: KeyedWriting,
    context: Context,
) -> Response:
    """Keep the reservation at its full price (its buyer, the desk)."""
    check = partial(check_if_match, request)
    return await _change(
        write,
        request,
        caller,
        lambda session: service.accept_full_price(session, caller, application_id, check, context.clock()),
    )


def _voucher_detail(whole: VoucherWhole) -> VoucherDetail:
    return voucher_detail(whole.voucher, whole.journal, redeemed_fen=whole.redeemed_fen, left_fen=whole.left_fen)


async def _change_voucher(write: Writer, change: Callable[[WriteSession], Awaitable[VoucherWhole]]) -> Response:
    async def work(session: WriteSession) -> Answer:
        whole = await change(session)
        return Answer(_voucher_detail(whole), headers={"ETag": etag(whole.voucher.version)})

    return await write.run(work)


@router.get("/vouchers/{voucher_id}", summary="Read a voucher", responses=problems(*_READ), tags=["vouchers"])
async def read_voucher(voucher_id: VoucherId, caller: Anyone, session: Reading, response: Response) -> VoucherDetail:
    """Return a voucher with what was redeemed of it, what is left, and its life so far."""
    whole = await service.get_voucher(session, caller, voucher_id)
    response.headers["ETag"] = etag(whole.voucher.version)
    return _voucher_detail(whole)


@router.post(
    "/vouchers/{voucher_id}/revoke",
    summary="Revoke a voucher",
    description="One that was issued: what is left goes back to its budgets; what was redeemed and paid is claimed "
    "back from the claimant. All by new transfers.",
    response_model=VoucherDetail,
    responses=problems(*_CHANGE, *_KEYED, VOUCHER_STATE),
    tags=["vouchers"],
)
async def revoke(
    voucher_id: VoucherId, body: RevokeIn, request: Request, caller: Desk, write: KeyedWriting, context: Context
) -> Response:
    """Revoke a voucher with a reason (the desk)."""
    check = partial(check_if_match, request)
    return await _change_voucher(
        write, lambda session: service.revoke(session, caller, voucher_id, body, check, context.clock())
    )


@router.post(
    "/vouchers/{voucher_id}/use",
    summary="Put a bonus voucher on a contract",
    description="Once, on a contract of its buyer that is not over and that the programme's clauses allow.",
    response_model=VoucherDetail,
    responses=problems(
        *_CHANGE,
        *_KEYED,
        VOUCHER_STATE,
        NOT_A_FREE_BONUS,
        OTHER_BUYER,
        WRONG_STATE,
        RULE_REFUSES,
        VOUCHER_TAKEN,
    ),
    tags=["vouchers"],
)
async def use_bonus(
    voucher_id: VoucherId,
    body: UseIn,
    request: Request,
    caller: BuyerOrDesk,
    write: KeyedWriting,
    context: Context,
) -> Response:
    """Use a bonus voucher (its buyer, the desk)."""
    check = partial(check_if_match, request)
    return await _change_voucher(
        write,
        lambda session: service.use_bonus(session, caller, voucher_id, body.contract_id, check, context.clock()),
    )
