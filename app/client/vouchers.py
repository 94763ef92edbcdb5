"""Voucher programmes, vouchers, and the ledger."""

from app.client.core import AsyncResource, Call, Resource, SyncResource, etag_of, id_of, method, rows
from app.client.types import (
    AccountOut,
    OpenIn,
    PageAccountOut,
    PageTransferOut,
    PageVoucherOut,
    ProgrammeDetail,
    ProgrammeList,
    RevokeIn,
    RevokeReason,
    TransferKind,
    TransferOut,
    VoucherDetail,
    VoucherOut,
    VoucherState,
    YearOut,
)

_PROGRAMMES = "/v1/programmes"
_VOUCHERS = "/v1/vouchers"


class ProgrammeMethods(Resource):
    """Voucher programmes."""

    @method
    def list(self) -> Call[ProgrammeList]:
        """Every programme, with the years it is open for."""
        return Call("GET", _PROGRAMMES)

    @method
    def read(self, programme_id: str) -> Call[ProgrammeDetail]:
        """A programme with its content."""
        return Call("GET", f"{_PROGRAMMES}/{programme_id}")

    @method
    def open(
        self, programme_id: str, year: int, *, pool_fen: int | None = None, buyer_year_fen: int | None = None
    ) -> Call[YearOut]:
        """Fill a programme's budgets of a year (the desk); amounts left out are the programme's own."""
        body: OpenIn = {"year": year, "pool_fen": pool_fen, "buyer_year_fen": buyer_year_fen}
        return Call("POST", f"{_PROGRAMMES}/{programme_id}/open", json=body, keyed=True)


class VoucherMethods(Resource):
    """Vouchers: a buyer's own; all for the desk and auditors."""

    def _list(
        self,
        *,
        state: VoucherState | None = None,
        programme: str | None = None,
        reservation_id: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> Call[PageVoucherOut]:
        """One page of vouchers, in the order they were earmarked."""
        query = {
            "state": state,
            "programme": programme,
            "reservation_id": reservation_id,
            "limit": limit,
            "after": after,
            "before": before,
        }
        return Call("GET", _VOUCHERS, query)

    page = method(_list)
    each = rows(_list, VoucherOut)

    @method
    def read(self, voucher_id: str) -> Call[VoucherDetail]:
        """A voucher with what was redeemed of it, what is left, and its life so far."""
        return Call("GET", f"{_VOUCHERS}/{voucher_id}")

    @method
    def revoke(
        self, voucher: str | VoucherOut | VoucherDetail, reason: RevokeReason, detail: str, *, etag: str | None = None
    ) -> Call[VoucherDetail]:
        """Revoke an issued voucher with a reason (the desk)."""
        body: RevokeIn = {"reason": reason, "detail": detail}
        path = f"{_VOUCHERS}/{id_of(voucher)}/revoke"
        return Call("POST", path, json=body, etag=etag_of(voucher, etag), keyed=True)

    @method
    def use(
        self, voucher: str | VoucherOut | VoucherDetail, contract_id: str, *, etag: str | None = None
    ) -> Call[VoucherDetail]:
        """Put a bonus voucher on a contract (its buyer)."""
        path = f"{_VOUCHERS}/{id_of(voucher)}/use"
        return Call("POST", path, json={"contract_id": contract_id}, etag=etag_of(voucher, etag), keyed=True)


class LedgerMethods(Resource):
    """Accounts and transfers: those on one's own accounts; all for the desk and auditors."""

    def _accounts(
        self,
        *,
        kind: str | None = None,
        name: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> Call[PageAccountOut]:
        """One page of accounts with their balances, in the order they were opened."""
        query = {"kind": kind, "name": name, "limit": limit, "after": after, "before": before}
        return Call("GET", "/v1/ledger/accounts", query)

    def _transfers(
        self,
        *,
        account_id: str | None = None,
        subject: str | None = None,
        kind: TransferKind | None = None,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> Call[PageTransferOut]:
        """One page of transfers, in the order of record."""
        query = {
            "account_id": account_id,
            "subject": subject,
            "kind": kind,
            "limit": limit,
            "after": after,
            "before": before,
        }
        return Call("GET", "/v1/ledger/transfers", query)

    accounts = method(_accounts)
    each_account = rows(_accounts, AccountOut)
    transfers = method(_transfers)
    each_transfer = rows(_transfers, TransferOut)


class Programmes(ProgrammeMethods, SyncResource):
    """Voucher programmes."""


class AsyncProgrammes(ProgrammeMethods, AsyncResource):
    """Voucher programmes, awaited."""


class Vouchers(VoucherMethods, SyncResource):
    """Vouchers."""


class AsyncVouchers(VoucherMethods, AsyncResource):
    """Vouchers, awaited."""


class Ledger(LedgerMethods, SyncResource):
    """The ledger."""


class AsyncLedger(LedgerMethods, AsyncResource):
    """The ledger, awaited."""
