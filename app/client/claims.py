"""Claims, their proofs, and advances of reserve funds."""

from datetime import datetime

from app.client.core import AsyncResource, Call, Resource, SyncResource, etag_of, id_of, method, rows
from app.client.types import (
    AdvancedOut,
    AdvanceIn,
    AdvanceOut,
    ApproveClaimIn,
    ClaimDetail,
    ClaimIn,
    ClaimOut,
    ClaimReason,
    ClaimState,
    DocumentOut,
    PageAdvanceOut,
    PageClaimOut,
    RejectClaimIn,
    RejectedLineIn,
)

_CLAIMS = "/v1/claims"


class ClaimMethods(Resource):
    """How claimants are paid what vouchers redeemed."""

    def _list(
        self,
        *,
        state: ClaimState | None = None,
        programme: str | None = None,
        period: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> Call[PageClaimOut]:
        """One page of the claims: one's own; all for the desk, whose queue is those `submitted`."""
        query = {
            "state": state,
            "programme": programme,
            "period": period,
            "limit": limit,
            "after": after,
            "before": before,
        }
        return Call("GET", _CLAIMS, query)

    page = method(_list)
    each = rows(_list, ClaimOut)

    @method
    def read(self, claim_id: str) -> Call[ClaimDetail]:
        """A claim with its lines and proofs; of an approved one the amounts are those of a payment now."""
        return Call("GET", f"{_CLAIMS}/{claim_id}")

    @method
    def upload_proof(self, name: str, content: bytes = b"", *, claimant_org_id: str | None = None) -> Call[DocumentOut]:
        """Upload a PDF, PNG or JPEG, of at most 10 MiB, that a claim will name (the claimant, the desk for one)."""
        query = {"claimant_org_id": claimant_org_id}
        return Call("POST", "/v1/claim-proofs", query, files=((name, content),), files_field="file", keyed=True)

    @method
    def proof(self, claim_id: str, document_id: str) -> Call[bytes]:
        """A proof, as it was uploaded."""
        return Call("GET", f"{_CLAIMS}/{claim_id}/proofs/{document_id}", raw=True)

    @method
    def submit(self, body: ClaimIn) -> Call[ClaimDetail]:
        """Claim what was redeemed in a period, with all proofs (the claimant, the desk for one)."""
        return Call("POST", _CLAIMS, json=body, keyed=True)

    @method
    def approve(
        self,
        claim: str | ClaimOut | ClaimDetail,
        *,
        rejected: list[RejectedLineIn] | None = None,
        etag: str | None = None,
    ) -> Call[ClaimDetail]:
        """Approve a claim, but for the lines rejected (the desk)."""
        body: ApproveClaimIn = {"rejected": rejected or []}
        return Call("POST", f"{_CLAIMS}/{id_of(claim)}/approve", json=body, etag=etag_of(claim, etag), keyed=True)

    @method
    def reject(
        self, claim: str | ClaimOut | ClaimDetail, reason: ClaimReason, detail: str, *, etag: str | None = None
    ) -> Call[ClaimDetail]:
        """Reject a claim with all of its lines (the desk)."""
        body: RejectClaimIn = {"reason": reason, "detail": detail}
        return Call("POST", f"{_CLAIMS}/{id_of(claim)}/reject", json=body, etag=etag_of(claim, etag), keyed=True)

    @method
    def pay(
        self,
        claim: str | ClaimOut | ClaimDetail,
        amount_fen: int,
        *,
        paid_at: str | datetime | None = None,
        reference: str | None = None,
        etag: str | None = None,
    ) -> Call[ClaimDetail]:
        """Record that an approved claim was paid, exactly its cash (the desk)."""
        at = paid_at.isoformat() if isinstance(paid_at, datetime) else paid_at
        body = {"amount_fen": amount_fen, "paid_at": at, "reference": reference}
        return Call("POST", f"{_CLAIMS}/{id_of(claim)}/pay", json=body, etag=etag_of(claim, etag), keyed=True)


class AdvanceMethods(Resource):
    """Money of reserve funds that suppliers were given ahead of their claims."""

    def _list(
        self, programme: str, *, limit: int | None = None, after: str | None = None, before: str | None = None
    ) -> Call[PageAdvanceOut]:
        """One page of a programme's advances: one's own; all for the desk and auditors."""
        query = {"limit": limit, "after": after, "before": before}
        return Call("GET", f"/v1/programmes/{programme}/advances", query)

    page = method(_list)
    each = rows(_list, AdvanceOut)

    @method
    def make(
        self, programme: str, supplier_org_id: str, amount_fen: int, *, reference: str | None = None
    ) -> Call[AdvancedOut]:
        """Advance money to a supplier (the desk)."""
        body: AdvanceIn = {"supplier_org_id": supplier_org_id, "amount_fen": amount_fen, "reference": reference}
        return Call("POST", f"/v1/programmes/{programme}/advances", json=body, keyed=True)


class Claims(ClaimMethods, SyncResource):
    """Claims."""


class AsyncClaims(ClaimMethods, AsyncResource):
    """Claims, awaited."""


class Advances(AdvanceMethods, SyncResource):
    """Advances."""


class AsyncAdvances(AdvanceMethods, AsyncResource):
    """Advances, awaited."""
