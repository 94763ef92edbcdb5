"""Contracts, their documents, applications for vouchers, and vouchers as people turn them."""

from app.client.core import AsyncResource, Call, Resource, SyncResource, etag_of, id_of, method, rows
from app.client.types import (
    ApplicationList,
    ApplicationOut,
    ApplicationState,
    ApproveIn,
    ContractDetail,
    ContractOut,
    DocumentKind,
    DocumentList,
    DocumentOut,
    EvaluatedOut,
    EvaluationIn,
    PageApplicationOut,
    PageContractOut,
    Payment,
    PaymentIn,
    RejectIn,
    RejectReason,
)

_CONTRACTS = "/v1/contracts"
_APPLICATIONS = "/v1/voucher-applications"


class ContractMethods(Resource):
    """What confirmed reservations are under."""

    def _list(
        self,
        *,
        reservation_id: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> Call[PageContractOut]:
        """One page of the contracts: one's own; all for the desk and auditors."""
        query = {"reservation_id": reservation_id, "limit": limit, "after": after, "before": before}
        return Call("GET", _CONTRACTS, query)

    page = method(_list)
    each = rows(_list, ContractOut)

    @method
    def read(self, contract_id: str) -> Call[ContractDetail]:
        """A contract with its applications, documents and evaluation."""
        return Call("GET", f"{_CONTRACTS}/{contract_id}")

    @method
    def set_payment(
        self, contract: str | ContractOut | ContractDetail, payment: Payment, *, etag: str | None = None
    ) -> Call[ContractOut]:
        """Say when a contract is paid for, before it begins (the supplier, the desk)."""
        body: PaymentIn = {"payment": payment}
        path = f"{_CONTRACTS}/{id_of(contract)}"
        return Call("PATCH", path, json=body, etag=etag_of(contract, etag), keyed=True)

    @method
    def document(self, contract_id: str) -> Call[bytes]:
        """The contract as an HTML document in Chinese and English."""
        return Call("GET", f"{_CONTRACTS}/{contract_id}/generated-document", raw=True)

    @method
    def documents(self, contract_id: str) -> Call[DocumentList]:
        """What was uploaded of a contract."""
        return Call("GET", f"{_CONTRACTS}/{contract_id}/documents")

    @method
    def upload(
        self, contract_id: str, name: str, content: bytes = b"", *, kind: DocumentKind = "contract"
    ) -> Call[DocumentOut]:
        """Upload a PDF, PNG or JPEG of a contract, of at most 10 MiB."""
        path, form = f"{_CONTRACTS}/{contract_id}/documents", {"kind": kind}
        return Call("POST", path, form=form, files=((name, content),), files_field="file", keyed=True)

    @method
    def download(self, contract_id: str, document_id: str) -> Call[bytes]:
        """What was uploaded, as it came."""
        return Call("GET", f"{_CONTRACTS}/{contract_id}/documents/{document_id}", raw=True)

    @method
    def evaluate(self, contract_id: str, score: int, remarks: str) -> Call[EvaluatedOut]:
        """Say what a completed contract achieved (the desk); a good score earns bonus vouchers."""
        body: EvaluationIn = {"score": score, "remarks": remarks}
        return Call("POST", f"{_CONTRACTS}/{contract_id}/evaluation", json=body, keyed=True)


class ApplicationMethods(Resource):
    """Applications for vouchers."""

    def _list(
        self,
        *,
        state: ApplicationState | None = None,
        programme: str | None = None,
        contract_id: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> Call[PageApplicationOut]:
        """One page of the applications: one's own; all for the desk, whose queue is those `submitted`."""
        query = {
            "state": state,
            "programme": programme,
            "contract_id": contract_id,
            "limit": limit,
            "after": after,
            "before": before,
        }
        return Call("GET", _APPLICATIONS, query)

    page = method(_list)
    each = rows(_list, ApplicationOut)

    @method
    def read(self, application_id: str) -> Call[ApplicationOut]:
        """One application, with each clause and the arithmetic."""
        return Call("GET", f"{_APPLICATIONS}/{application_id}")

    @method
    def apply(self, contract_id: str) -> Call[ApplicationList]:
        """Apply for all that is set aside for a contract, where its confirmation did not."""
        return Call("POST", _APPLICATIONS, json={"contract_id": contract_id}, keyed=True)

    @method
    def approve(
        self, application: str | ApplicationOut, *, amount_fen: int | None = None, etag: str | None = None
    ) -> Call[ApplicationOut]:
        """Approve it and issue its voucher (the desk), over less than the rules give where an amount is given."""
        body: ApproveIn = {"amount_fen": amount_fen}
        return _change(application, "approve", body, etag)

    @method
    def reject(
        self, application: str | ApplicationOut, reason: RejectReason, detail: str, *, etag: str | None = None
    ) -> Call[ApplicationOut]:
        """Reject it with a reason (the desk)."""
        body: RejectIn = {"reason": reason, "detail": detail}
        return _change(application, "reject", body, etag)

    @method
    def withdraw(self, application: str | ApplicationOut, *, etag: str | None = None) -> Call[ApplicationOut]:
        """Withdraw it before it is decided (its buyer): the full price is paid."""
        return _change(application, "withdraw", {}, etag)

    @method
    def accept_full_price(self, application: str | ApplicationOut, *, etag: str | None = None) -> Call[ApplicationOut]:
        """Keep the reservation at its full price after a rejection (its buyer)."""
        return _change(application, "accept-full-price", {}, etag)


def _change(application: str | ApplicationOut, verb: str, body: object, etag: str | None) -> Call[ApplicationOut]:
    path = f"{_APPLICATIONS}/{id_of(application)}/{verb}"
    return Call("POST", path, json=body, etag=etag_of(application, etag), keyed=True)


class Contracts(ContractMethods, SyncResource):
    """Contracts."""


class AsyncContracts(ContractMethods, AsyncResource):
    """Contracts, awaited."""


class Applications(ApplicationMethods, SyncResource):
    """Applications for vouchers."""


class AsyncApplications(ApplicationMethods, AsyncResource):
    """Applications for vouchers, awaited."""
