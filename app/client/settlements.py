"""Deliveries and settlements."""

from datetime import datetime

from app.client.core import AsyncResource, Call, Resource, SyncResource, etag_of, id_of, method, rows
from app.client.types import (
    DeliveriesOut,
    DeliveryIn,
    DeliveryOut,
    InvoiceFormat,
    InvoiceOut,
    PageDeliveryOut,
    PageSettlementOut,
    PaymentState,
    SettlementKind,
    SettlementOut,
)

_SETTLEMENTS = "/v1/settlements"


class DeliveryMethods(Resource):
    """What suppliers metered."""

    def _list(
        self,
        reservation_id: str,
        *,
        in_force: bool | None = None,
        disputed: bool | None = None,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> Call[PageDeliveryOut]:
        """One page of a reservation's reports, in the order of record."""
        query = {"in_force": in_force, "disputed": disputed, "limit": limit, "after": after, "before": before}
        return Call("GET", f"/v1/reservations/{reservation_id}/deliveries", query)

    page = method(_list)
    each = rows(_list, DeliveryOut)

    @method
    def report(self, reservation_id: str, reports: list[DeliveryIn]) -> Call[DeliveriesOut]:
        """Report what was metered, all or nothing (the supplier, the desk); it is settled at once."""
        path = f"/v1/reservations/{reservation_id}/deliveries"
        return Call("POST", path, json={"reports": reports}, keyed=True)

    @method
    def dispute(self, delivery_id: str, reason: str) -> Call[DeliveryOut]:
        """Say that a report is not what was delivered (the buyer, the desk)."""
        return Call("POST", f"/v1/deliveries/{delivery_id}/dispute", json={"reason": reason}, keyed=True)

    @method
    def withdraw_dispute(self, delivery_id: str) -> Call[DeliveryOut]:
        """Take a dispute back (the buyer, the desk)."""
        return Call("POST", f"/v1/deliveries/{delivery_id}/withdraw-dispute", json={}, keyed=True)


class SettlementMethods(Resource):
    """What is billed, what vouchers took off it, and what was paid."""

    def _list(
        self,
        *,
        kind: SettlementKind | None = None,
        payment_state: PaymentState | None = None,
        contract_id: str | None = None,
        reservation_id: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> Call[PageSettlementOut]:
        """One page of the settlements, in the order they were made."""
        query = {
            "kind": kind,
            "payment_state": payment_state,
            "contract_id": contract_id,
            "reservation_id": reservation_id,
            "limit": limit,
            "after": after,
            "before": before,
        }
        return Call("GET", _SETTLEMENTS, query)

    page = method(_list)
    each = rows(_list, SettlementOut)

    @method
    def read(self, settlement_id: str) -> Call[SettlementOut]:
        """One settlement."""
        return Call("GET", f"{_SETTLEMENTS}/{settlement_id}")

    @method
    def pay(
        self,
        settlement: str | SettlementOut,
        amount_fen: int,
        *,
        paid_at: str | datetime | None = None,
        reference: str | None = None,
        etag: str | None = None,
    ) -> Call[SettlementOut]:
        """Record that a settlement was paid, exactly what was to be paid (who got the money, the desk)."""
        at = paid_at.isoformat() if isinstance(paid_at, datetime) else paid_at
        body = {"amount_fen": amount_fen, "paid_at": at, "reference": reference}
        path = f"{_SETTLEMENTS}/{id_of(settlement)}/pay"
        return Call("POST", path, json=body, etag=etag_of(settlement, etag), keyed=True)

    @method
    def invoice(self, settlement_id: str) -> Call[InvoiceOut]:
        """A settlement's invoice as data."""
        return Call("GET", f"{_SETTLEMENTS}/{settlement_id}/invoice")

    @method
    def invoice_document(self, settlement_id: str, *, format: InvoiceFormat = "html") -> Call[bytes]:  # noqa: A002  the API's word
        """A settlement's invoice as `html` or `pdf`."""
        return Call("GET", f"{_SETTLEMENTS}/{settlement_id}/invoice", {"format": format}, raw=True)


class Deliveries(DeliveryMethods, SyncResource):
    """Deliveries."""


class AsyncDeliveries(DeliveryMethods, AsyncResource):
    """Deliveries, awaited."""


class Settlements(SettlementMethods, SyncResource):
    """Settlements."""


class AsyncSettlements(SettlementMethods, AsyncResource):
    """Settlements, awaited."""
