"""Requests, quotes and reservations."""

from datetime import datetime

from app.client.core import AsyncResource, Call, Resource, SyncResource, etag_of, id_of, method, rows
from app.client.types import (
    AcceptIn,
    AccessIn,
    AccessOut,
    BookingIn,
    CancelIn,
    CancelReason,
    PageRequestOut,
    PageReservationOut,
    QuoteIn,
    QuoteOut,
    RequestDetail,
    RequestIn,
    RequestOut,
    RequestPatch,
    RequestState,
    ReservationList,
    ReservationOut,
    ReservationState,
    Side,
)

Moment = str | datetime
_REQUESTS = "/v1/requests"
_RESERVATIONS = "/v1/reservations"


class RequestMethods(Resource):
    """What is wanted."""

    def _list(
        self,
        *,
        state: RequestState | None = None,
        buyer: str | None = None,
        submitted_from: Moment | None = None,
        submitted_before: Moment | None = None,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> Call[PageRequestOut]:
        """One page of the requests: one's own; all for the desk and auditors."""
        query = {
            "state": state,
            "buyer": buyer,
            "submitted_at[gte]": submitted_from,
            "submitted_at[lt]": submitted_before,
            "limit": limit,
            "after": after,
            "before": before,
        }
        return Call("GET", _REQUESTS, query)

    page = method(_list)
    each = rows(_list, RequestOut)

    @method
    def create(self, body: RequestIn) -> Call[RequestDetail]:
        """Post a need (a buyer, or the desk for one)."""
        return Call("POST", _REQUESTS, json=body, keyed=True)

    @method
    def read(self, request_id: str) -> Call[RequestDetail]:
        """One request."""
        return Call("GET", f"{_REQUESTS}/{request_id}")

    @method
    def edit(
        self, request: str | RequestOut | RequestDetail, body: RequestPatch, *, etag: str | None = None
    ) -> Call[RequestDetail]:
        """Change a request."""
        return Call("PATCH", f"{_REQUESTS}/{id_of(request)}", json=body, etag=etag_of(request, etag), keyed=True)

    @method
    def withdraw(self, request: str | RequestOut | RequestDetail, *, etag: str | None = None) -> Call[RequestDetail]:
        """Take a request off the market."""
        return Call("POST", f"{_REQUESTS}/{id_of(request)}/withdraw", etag=etag_of(request, etag), keyed=True)


class QuoteMethods(Resource):
    """Where a need fits now."""

    @method
    def ask(self, body: QuoteIn) -> Call[QuoteOut]:
        """Ask where a request, or a need, fits now, best first; each option can be booked."""
        return Call("POST", "/v1/quotes", json=body, keyed=True)

    @method
    def read(self, quote_id: str) -> Call[QuoteOut]:
        """A quote asked for before."""
        return Call("GET", f"/v1/quotes/{quote_id}")


class ReservationMethods(Resource):
    """Capacity held, confirmed and used."""

    def _list(
        self,
        *,
        state: ReservationState | None = None,
        offer_id: str | None = None,
        request_id: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> Call[PageReservationOut]:
        """One page of the reservations, in the order they were made."""
        query = {
            "state": state,
            "offer_id": offer_id,
            "request_id": request_id,
            "limit": limit,
            "after": after,
            "before": before,
        }
        return Call("GET", _RESERVATIONS, query)

    page = method(_list)
    each = rows(_list, ReservationOut)

    @method
    def book(self, quote_id: str, option: int) -> Call[ReservationList]:
        """Hold what an option of a quote offers, a reservation per block."""
        body: BookingIn = {"quote_id": quote_id, "option": option}
        return Call("POST", _RESERVATIONS, json=body, keyed=True)

    @method
    def read(self, reservation_id: str) -> Call[ReservationOut]:
        """One reservation."""
        return Call("GET", f"{_RESERVATIONS}/{reservation_id}")

    @method
    def accept(
        self, reservation: str | ReservationOut, *, side: Side | None = None, etag: str | None = None
    ) -> Call[ReservationOut]:
        """Accept a hold; once both sides have, it is confirmed. The desk says for which side."""
        body: AcceptIn = {"side": side}
        return _change(reservation, "accept", body, etag)

    @method
    def cancel(
        self,
        reservation: str | ReservationOut,
        reason: CancelReason,
        *,
        detail: str | None = None,
        etag: str | None = None,
    ) -> Call[ReservationOut]:
        """Give a reservation up before it runs."""
        body: CancelIn = {"reason": reason, "detail": detail}
        return _change(reservation, "cancel", body, etag)

    @method
    def extend(self, reservation: str | ReservationOut, hours: int, *, etag: str | None = None) -> Call[ReservationOut]:
        """Keep the cards so many hours longer, where they are free."""
        return _change(reservation, "extend", {"hours": hours}, etag)

    @method
    def end(self, reservation: str | ReservationOut, *, etag: str | None = None) -> Call[ReservationOut]:
        """End a running reservation at the next whole hour."""
        return _change(reservation, "end", {}, etag)

    @method
    def access(self, reservation_id: str) -> Call[AccessOut]:
        """How the buyer gets to the cards, once both sides have accepted."""
        return Call("GET", f"{_RESERVATIONS}/{reservation_id}/access")

    @method
    def set_access(
        self,
        reservation: str | ReservationOut,
        *,
        contact: str | None = None,
        instructions: str | None = None,
        etag: str | None = None,
    ) -> Call[AccessOut]:
        """Say how the buyer gets to the cards (the supplier, the desk); what is left out is emptied."""
        body: AccessIn = {"contact": contact, "instructions": instructions}
        path = f"{_RESERVATIONS}/{id_of(reservation)}/access"
        return Call("PUT", path, json=body, etag=etag_of(reservation, etag), keyed=True)


def _change(reservation: str | ReservationOut, verb: str, body: object, etag: str | None) -> Call[ReservationOut]:
    path = f"{_RESERVATIONS}/{id_of(reservation)}/{verb}"
    return Call("POST", path, json=body, etag=etag_of(reservation, etag), keyed=True)


class Requests(RequestMethods, SyncResource):
    """Requests."""


class AsyncRequests(RequestMethods, AsyncResource):
    """Requests, awaited."""


class Quotes(QuoteMethods, SyncResource):
    """Quotes."""


class AsyncQuotes(QuoteMethods, AsyncResource):
    """Quotes, awaited."""


class Reservations(ReservationMethods, SyncResource):
    """Reservations."""


class AsyncReservations(ReservationMethods, AsyncResource):
    """Reservations, awaited."""
