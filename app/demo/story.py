"""What happens in the demo: the sample market is imported and its buyers book, first come, first served.

Everything goes through the API, each organisation with a key of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from app.client import ApiError, Client
from app.client.market import market_files
from app.client.types import (
    CapacityOut,
    FoundOfferOut,
    ImportOut,
    OrganisationOut,
    QuoteOut,
    RequestOut,
    ReservationOut,
    Role,
)
from app.demo.generate import MARKET

Tell = Callable[[str], None]
_KEY_LABEL: Final = "demo"


@dataclass(frozen=True)
class Ask:
    """A request, and what became of it: reservations, or the reason why there are none."""

    request: RequestOut
    reservations: tuple[ReservationOut, ...] = ()
    reason: str | None = None
    code: str | None = None


@dataclass
class Story:
    """Everything that the report tells."""

    offers: dict[str, FoundOfferOut]
    capacity: dict[str, CapacityOut]
    suppliers: int
    buyers: int
    asks: list[Ask] = field(default_factory=list[Ask])

    @property
    def booked(self) -> list[Ask]:
        """The requests that were met."""
        return [ask for ask in self.asks if ask.reservations]

    @property
    def refused(self) -> list[Ask]:
        """The requests that were not."""
        return [ask for ask in self.asks if not ask.reservations]


class Market:
    """The imported market and the people in it."""

    def __init__(self, url: str, desk_key: str) -> None:
        """Take the address and the desk's key; nothing is asked yet."""
        self._url = url
        self._clients: dict[str, Client] = {}
        self.desk = Client(url, desk_key)
        self.prefix = ""

    def close(self) -> None:
        """Close every connection."""
        for client in (self.desk, *self._clients.values()):
            client.close()

    def bring_in(self, start_at: str, on_progress: Callable[[ImportOut], None] | None = None) -> None:
        """Import the sample market from `start_at` (RFC 3339, a whole hour) on.

        Where an earlier demo left its market, that one's offers are withdrawn, and the new one stands beside it in a
        namespace of its own.
        """
        earlier = sum(1 for _ in self.desk.imports.each())
        if earlier:
            self.prefix = f"run{earlier + 1}:"
            for offer in list(self.desk.offers.each()):
                if offer["supplier"]["ref"].rpartition(":")[2].startswith("示例智算中心"):
                    self.desk.offers.withdraw(offer)
        self.desk.imports.run(
            market_files(MARKET),
            start_at=start_at,
            namespace=self.prefix.rstrip(":") or None,
            on_progress=on_progress,
        )

    def organisations(self, role: Role) -> list[OrganisationOut]:
        """Return this market's organisations in a role."""
        every = self.desk.organisations.each(role=role)
        return [each for each in every if self._is_ours(next(r["ref"] for r in each["roles"] if r["role"] == role))]

    def client(self, org_id: str, role: Role) -> Client:
        """Return a client that signs in as an organisation, with a key that the desk makes for it."""
        if org_id not in self._clients:
            key = self.desk.keys.create({"label": _KEY_LABEL, "roles": [role], "org_id": org_id})
            self._clients[org_id] = Client(self._url, key["secret"])
        return self._clients[org_id]

    def requests(self) -> list[RequestOut]:
        """Return this market's requests in the order of submission."""
        return [each for each in self.desk.requests.each() if self._is_ours(each["ref"])]

    def offers(self) -> list[FoundOfferOut]:
        """Return this market's offers."""
        return [each for each in self.desk.offers.each() if self._is_ours(each["ref"])]

    def _is_ours(self, ref: str) -> bool:
        return ref.startswith(self.prefix) if self.prefix else ":" not in ref


def play(market: Market, tell: Tell) -> Story:
    """Let every buyer ask for a quote and book the best option, in the order of submission; suppliers accept.

    Args:
        market: the imported market.
        tell: called with each request's reference as its turn comes.
    """
    asks: list[Ask] = []
    for request in market.requests():
        tell(request["ref"].removeprefix(market.prefix))
        asks.append(_book_patiently(market, request))
    offers = {offer["id"]: offer for offer in market.offers()}
    return Story(
        offers=offers,
        capacity={offer_id: market.desk.offers.capacity(offer_id) for offer_id in offers},
        suppliers=len(market.organisations("supplier")),
        buyers=len(market.organisations("buyer")),
        asks=asks,
    )


def _book_patiently(market: Market, request: RequestOut) -> Ask:
    """Book, once more where a quote's first hour began before it was booked and accepted."""
    try:
        return _book(market, request)
    except ApiError as error:
        if error.status != HTTPStatus.CONFLICT:
            raise
        return _book(market, request)


def _book(market: Market, request: RequestOut) -> Ask:
    buyer = market.client(request["buyer"]["org_id"], "buyer")
    quote = _quote(buyer, request)
    if quote["reason"] is not None:
        return Ask(request, reason=quote["reason"]["detail"], code=quote["reason"]["code"])
    held = buyer.reservations.book(quote["id"], quote["options"][0]["option"])["data"]
    return Ask(request, tuple(_confirm(market, buyer, each) for each in held))


def _quote(buyer: Client, request: RequestOut) -> QuoteOut:
    """Return a quote for all blocks, or for the least that the buyer takes where there is no room for all."""
    quote = buyer.quotes.ask({"request_id": request["id"], "blocks": request["blocks"], "limit": 1})
    if quote["options"] or request["min_blocks"] == request["blocks"]:
        return quote
    return buyer.quotes.ask({"request_id": request["id"], "limit": 1})


def _confirm(market: Market, buyer: Client, held: ReservationOut) -> ReservationOut:
    supplier = market.client(held["supplier_org_id"], "supplier")
    return supplier.reservations.accept(buyer.reservations.accept(held))
