"""Voucher programmes, vouchers, and the ledger."""

from typing import Literal

from app.client.core import AsyncResource, Call, Resource, SyncResource, etag_of, id_of, method, rows
from app.client.types import (
    AccountOut,
    CorrectionIn,
    CorrectionOut,
    ExplainIn,
    ExplanationOut,
    LineOut,
    OpenIn,
    PageAccountOut,
    PageLineOut,
    PageTransferOut,
    PageVoucherOut,
    ProgrammeDetail,
    ProgrammeList,
    PublishIn,
    RevokeIn,
    RevokeReason,
    SimulateIn,
    SimulationOut,
    TransferKind,
    TransferOut,
    TrialBalanceOut,
    VersionDetail,
    VersionList,
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

    @method
    def draft(self, toml: str) -> Call[VersionDetail]:
        """Store a file of a programme as a draft (the desk)."""
        return Call("POST", _PROGRAMMES, json={"toml": toml}, keyed=True)

    @method
    def versions(self, programme_id: str) -> Call[VersionList]:
        """A programme's versions, the newest first."""
        return Call("GET", f"{_PROGRAMMES}/{programme_id}/versions")

    @method
    def version(self, programme_id: str, version: int) -> Call[VersionDetail]:
        """A version with its content."""
        return Call("GET", f"{_PROGRAMMES}/{programme_id}/versions/{version}")

    @method
    def change(self, programme_id: str, version: int, toml: str, *, etag: str) -> Call[VersionDetail]:
        """Put another file in a draft's place (the desk)."""
        path = f"{_PROGRAMMES}/{programme_id}/versions/{version}"
        return Call("PUT", path, json={"toml": toml}, etag=etag, keyed=True)

    @method
    def delete(self, programme_id: str, version: int, *, etag: str) -> Call[None]:
        """Delete a draft (the desk)."""
        return Call("DELETE", f"{_PROGRAMMES}/{programme_id}/versions/{version}", etag=etag)

    @method
    def publish(self, programme_id: str, version: int, *, etag: str) -> Call[VersionDetail]:
        """Publish a draft: it never changes any more (the desk)."""
        body: PublishIn = {"version": version}
        return Call("POST", f"{_PROGRAMMES}/{programme_id}/publish", json=body, etag=etag, keyed=True)

    @method
    def explain(self, programme_id: str, body: ExplainIn) -> Call[ExplanationOut]:
        """What programmes give for a contract: each clause and the arithmetic."""
        return Call("POST", f"{_PROGRAMMES}/{programme_id}/explain", json=body)

    @method
    def simulate(self, programme_id: str, body: SimulateIn) -> Call[SimulationOut]:
        """What a version or a file would have given the contracts on record (the desk)."""
        return Call("POST", f"{_PROGRAMMES}/{programme_id}/simulate", json=body)


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

    def _statement(
        self, account_id: str, *, limit: int | None = None, after: str | None = None, before: str | None = None
    ) -> Call[PageLineOut]:
        """One page of an account's transfers in the order of record, each with the balances after it."""
        query = {"limit": limit, "after": after, "before": before}
        return Call("GET", f"/v1/ledger/accounts/{account_id}/statement", query)

    @method
    def trial_balance(self, *, programme: str | None = None, owner_org_id: str | None = None) -> Call[TrialBalanceOut]:
        """The sums of accounts by kind: of all, a programme or an organisation."""
        return Call("GET", "/v1/ledger/trial-balance", {"programme": programme, "owner_org_id": owner_org_id})

    @method
    def export(
        self,
        *,
        format: Literal["csv", "jsonl"] = "csv",  # noqa: A002  its name
        programme: str | None = None,
        owner_org_id: str | None = None,
        account_id: str | None = None,
    ) -> Call[bytes]:
        """Every line of the accounts, each with the balances after it, as a file."""
        query = {"format": format, "programme": programme, "owner_org_id": owner_org_id, "account_id": account_id}
        return Call("GET", "/v1/ledger/export", query, raw=True)

    @method
    def correct(self, transfer_id: str, amount_fen: int, reason: str) -> Call[CorrectionOut]:
        """Take back what a transfer posted, in whole or in part (the desk)."""
        body: CorrectionIn = {"transfer_id": transfer_id, "amount_fen": amount_fen, "reason": reason}
        return Call("POST", "/v1/ledger/corrections", json=body, keyed=True)

    statement = method(_statement)
    each_line = rows(_statement, LineOut)
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
