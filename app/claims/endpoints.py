"""Endpoints of claims and of advances of reserve funds."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response

from app.accounts.callers import Caller
from app.accounts.dependencies import Anyone, Context, Desk, KeyedWriting, Party, Reading, Writing
from app.accounts.errors import NOT_APPROVED
from app.accounts.schemas import OrgId
from app.claims import advances, deciding, repository, service
from app.claims.deciding import Payable
from app.claims.errors import (
    ADVANCE_ABOVE_CAP,
    ALL_REJECTED,
    ALREADY_CLAIMED,
    CLAIM_DIFFERS,
    CLAIM_LATE,
    CLAIM_PAYMENT_DIFFERS,
    CLAIM_STATE,
    NO_RESERVE_FUND,
    NOT_A_SUPPLIER,
    NOT_CLAIMANT,
    NOT_OPENED,
    NOTHING_TO_CLAIM,
    OUTSIDE_PERIOD,
    PERIOD_NOT_OVER,
    PROOFS_MISSING,
    UNKNOWN_LINE,
    VOUCHER_REVOKED,
)
from app.claims.models import Claim, ClaimState
from app.claims.repository import ClaimFilter
from app.claims.schemas import (
    AdvancedOut,
    AdvanceIn,
    AdvanceOut,
    ApproveClaimIn,
    ClaimDetail,
    ClaimId,
    ClaimIn,
    ClaimOut,
    PayClaimIn,
    RejectClaimIn,
    advance_out,
    claim_out,
    line_out,
    proof_out,
)
from app.contracts.documents import read_document, upload_form
from app.contracts.errors import DOCUMENT_TYPE, ONE_FILE
from app.contracts.models import DocumentKind
from app.contracts.schemas import DocumentId, DocumentOut, document_out
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
from app.settlements.errors import PAID_LATER
from app.vouchers.endpoints import ProgrammeId

router = APIRouter(tags=["claims"])

_READ: Final = (UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND)
_WRITE: Final = (*_READ, FORBIDDEN)
_KEYED: Final = (IDEMPOTENCY_REQUIRED, IDEMPOTENCY_IN_FLIGHT, IDEMPOTENCY_MISMATCH)
_CHANGE: Final = (*_WRITE, *_KEYED, PRECONDITION_REQUIRED, STALE, CLAIM_STATE)
_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("application/pdf", "image/png", "image/jpeg")
        },
        "description": "the proof, as it was uploaded",
    }
}
# What others uploaded is never run by whoever looks at it.
_SAFE: Final = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}


def _detail(claim: Claim, payable: Payable | None, request: Request, caller: Caller) -> ClaimDetail:
    language = language_of(request.headers.get("accept-language"))
    shown = dict(claim_out(claim, language, signals=caller.reads_all))
    if payable is not None:
        shown |= {
            "netted_fen": payable.netted_fen,
            "recovered_fen": payable.recovered_fen,
            "cash_fen": payable.cash_fen,
        }
    return ClaimDetail(
        **shown,
        lines=[line_out(row) for row in claim.lines],
        proofs=[proof_out(row) for row in claim.proofs],
    )


@router.post(
    "/claim-proofs",
    summary="Upload a proof",
    description="A PDF, PNG or JPEG of at most 10 MiB that a claim will name; its SHA-256 is stored with it. Only its "
    "claimant, the desk and auditors see it.",
    status_code=201,
    response_model=DocumentOut,
    responses=problems(
        UNAUTHENTICATED, FORBIDDEN, NOT_APPROVED, MALFORMED, NOT_MULTIPART, UPLOAD_TOO_LARGE, ONE_FILE, DOCUMENT_TYPE
    ),
    openapi_extra=upload_form(DocumentKind.CLAIM_PROOF),
)
async def upload_proof(
    request: Request,
    caller: Party,
    write: Writing,
    context: Context,
    claimant_org_id: Annotated[OrgId | None, Query(description="whose claim it proves, where the desk uploads")] = None,
) -> Response:
    """Store a proof (the claimant, the desk)."""
    if claimant_org_id not in (None, caller.org_id) and not caller.is_desk:
        raise FORBIDDEN.problem(roles="desk")
    upload = await read_document(request, DocumentKind.CLAIM_PROOF)

    async def work(session: WriteSession) -> Answer:
        claimant = claimant_org_id or caller.org_id
        return Answer(document_out(await service.add_proof(session, caller, upload, claimant, context.clock())), 201)

    return await write.run(work, body=upload.digest)


@router.post(
    "/claims",
    summary="Submit a claim",
    description="Over everything that vouchers of a programme redeemed in a period for the claimant and that no claim "
    "holds, or over the redemptions named; after the period's end, with a proof of each kind that the programme names. "
    "What a claim holds is in no other claim and is not given back.",
    status_code=201,
    response_model=ClaimDetail,
    responses=problems(
        *_WRITE,
        *_KEYED,
        NOT_CLAIMANT,
        PERIOD_NOT_OVER,
        CLAIM_LATE,
        OUTSIDE_PERIOD,
        ALREADY_CLAIMED,
        VOUCHER_REVOKED,
        NOTHING_TO_CLAIM,
        CLAIM_DIFFERS,
        PROOFS_MISSING,
    ),
)
async def submit_claim(
    body: ClaimIn, request: Request, caller: Party, write: KeyedWriting, context: Context
) -> Response:
    """Submit a claim (the claimant, the desk for one)."""

    async def work(session: WriteSession) -> Answer:
        claim = await service.submit(session, caller, body, context.clock())
        headers = {"Location": f"/v1/claims/{encode_id('clm', claim.id)}", "ETag": etag(claim.version)}
        return Answer(_detail(claim, None, request, caller), 201, headers)

    return await write.run(work)


@router.get(
    "/claims",
    summary="List claims",
    description="One's own, in the order they were submitted; all for the desk, whose queue is `state=submitted`.",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, BAD_CURSOR, ONE_CURSOR),
)
async def list_claims(
    caller: Anyone,
    session: Reading,
    context: Context,
    page: Paging,
    request: Request,
    state: Annotated[ClaimState | None, Query(description="only in this state")] = None,
    programme: Annotated[str | None, Query(max_length=60, description="only of this programme")] = None,
    period: Annotated[str | None, Query(max_length=20, description="only of this period, such as `2026-Q4`")] = None,
) -> Page[ClaimOut]:
    """Return a page of claims."""
    query = {"state": state, "programme": programme, "period": period}
    rows, has_more, cursors = await repository.list_claims(
        session,
        caller,
        page,
        ClaimFilter(state, programme, period),
        signer=context.signer,
        listing=listing_name("claims", query),
    )
    language = language_of(request.headers.get("accept-language"))
    items = [claim_out(row, language, signals=caller.reads_all) for row in rows]
    return page_of(items, has_more=has_more, cursors=cursors, query=query | {"limit": page.limit})


@router.get("/claims/{claim_id}", summary="Read a claim", responses=problems(*_READ))
async def read_claim(
    claim_id: ClaimId, caller: Anyone, session: Reading, request: Request, response: Response
) -> ClaimDetail:
    """Return a claim with its lines and proofs."""
    claim, payable = await deciding.show(session, caller, claim_id)
    response.headers["ETag"] = etag(claim.version)
    return _detail(claim, payable, request, caller)


@router.get(
    "/claims/{claim_id}/proofs/{document_id}",
    summary="Download a proof",
    response_class=Response,
    responses=_FILE | problems(*_READ),
)
async def read_proof(claim_id: ClaimId, document_id: DocumentId, caller: Anyone, session: Reading) -> Response:
    """Return a proof's content."""
    row = await service.get_proof(session, caller, claim_id, document_id)
    headers = _SAFE | {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(row.name, safe='')}",
        "ETag": f'"{row.sha256}"',
    }
    return Response(row.content, media_type=row.media_type, headers=headers)


async def _decided(
    write: Writer, request: Request, caller: Caller, change: Callable[[WriteSession], Awaitable[Claim]]
) -> Response:
    async def work(session: WriteSession) -> Answer:
        changed = await change(session)
        claim, payable = await deciding.show(session, caller, changed.id)
        return Answer(_detail(claim, payable, request, caller), headers={"ETag": etag(claim.version)})

    return await write.run(work)


@router.post(
    "/claims/{claim_id}/approve",
    summary="Approve a claim",
    description="But for the lines in `rejected`, each with its reason; what those hold can be claimed again.",
    response_model=ClaimDetail,
    responses=problems(*_CHANGE, UNKNOWN_LINE, ALL_REJECTED),
)
async def approve_claim(
    claim_id: ClaimId, body: ApproveClaimIn, request: Request, caller: Desk, write: KeyedWriting, context: Context
) -> Response:
    """Approve a claim, in whole or in part (the desk)."""
    check = partial(check_if_match, request)
    return await _decided(
        write, request, caller, lambda s: deciding.approve(s, caller, claim_id, body, check, context.clock())
    )


@router.post(
    "/claims/{claim_id}/reject",
    summary="Reject a claim",
    description="With all of its lines; what they hold can be claimed again.",
    response_model=ClaimDetail,
    responses=problems(*_CHANGE),
)
async def reject_claim(
    claim_id: ClaimId, body: RejectClaimIn, request: Request, caller: Desk, write: KeyedWriting, context: Context
) -> Response:
    """Reject a claim (the desk)."""
    check = partial(check_if_match, request)
    return await _decided(
        write, request, caller, lambda s: deciding.reject(s, caller, claim_id, body, check, context.clock())
    )


@router.post(
    "/claims/{claim_id}/pay",
    summary="Record a claim's payment",
    description="Exactly `cash_fen`: what was approved, less what was recovered for vouchers revoked after they were "
    "paid and less what was netted for advances. What turns out wrong afterwards is corrected forward.",
    response_model=ClaimDetail,
    responses=problems(*_CHANGE, CLAIM_PAYMENT_DIFFERS, PAID_LATER),
)
async def pay_claim(
    claim_id: ClaimId, body: PayClaimIn, request: Request, caller: Desk, write: KeyedWriting, context: Context
) -> Response:
    """Record that a claim was paid (the desk)."""
    check = partial(check_if_match, request)
    return await _decided(
        write, request, caller, lambda s: deciding.pay(s, caller, claim_id, body, check, context.clock())
    )


@router.post(
    "/programmes/{programme_id}/advances",
    summary="Advance money of a reserve fund",
    description="To a supplier, ahead of its claims, whose payments make up for it; only of programmes with a reserve "
    "fund, up to their limit per supplier.",
    status_code=201,
    response_model=AdvancedOut,
    responses=problems(*_WRITE, *_KEYED, NO_RESERVE_FUND, NOT_OPENED, NOT_A_SUPPLIER, ADVANCE_ABOVE_CAP),
)
async def make_advance(
    programme_id: ProgrammeId, body: AdvanceIn, caller: Desk, write: KeyedWriting, context: Context
) -> Response:
    """Advance money to a supplier (the desk)."""

    async def work(session: WriteSession) -> Answer:
        row, outstanding, cap = await advances.advance(session, caller, programme_id, body, context.clock())
        return Answer(AdvancedOut(**dict(advance_out(row)), outstanding_fen=outstanding, cap_fen=cap), 201)

    return await write.run(work)


@router.get(
    "/programmes/{programme_id}/advances",
    summary="List advances of a reserve fund",
    description="One's own, in the order they were made; all for the desk and auditors.",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, BAD_CURSOR, ONE_CURSOR),
)
async def list_advances(
    programme_id: ProgrammeId, caller: Anyone, session: Reading, context: Context, page: Paging
) -> Page[AdvanceOut]:
    """Return a page of a programme's advances."""
    rows, has_more, cursors = await repository.list_advances(
        session,
        caller,
        programme_id,
        page,
        signer=context.signer,
        listing=listing_name("advances", {"programme": programme_id}),
    )
    items = [advance_out(row) for row in rows]
    return page_of(items, has_more=has_more, cursors=cursors, query={"limit": page.limit})
