"""`Client` and `AsyncClient`: the same API, called from threads or awaited."""

import asyncio
import os
import time
from types import TracebackType
from typing import Final, Self

from app.client.accounts import AsyncKeys, AsyncOrganisations, Keys, Organisations
from app.client.booking import AsyncQuotes, AsyncRequests, AsyncReservations, Quotes, Requests, Reservations
from app.client.bulk import AsyncExports, AsyncImports, Exports, Imports
from app.client.catalogue import AsyncChips, AsyncOffers, Chips, Offers
from app.client.claims import Advances, AsyncAdvances, AsyncClaims, Claims
from app.client.clearings import AsyncClearings, Clearings
from app.client.contracts import Applications, AsyncApplications, AsyncContracts, Contracts
from app.client.core import AsyncRunner, Configuration, SyncRunner
from app.client.reports import AsyncReports, Reports
from app.client.settlements import AsyncDeliveries, AsyncSettlements, Deliveries, Settlements
from app.client.transport import AsyncHttp, AsyncTransport, SyncHttp, SyncTransport
from app.client.vouchers import AsyncLedger, AsyncProgrammes, AsyncVouchers, Ledger, Programmes, Vouchers

DEFAULT_URL: Final = "http://127.0.0.1:8000"
_USER_AGENT: Final = "cardhour-client/0.1"


def _configuration(
    base_url: str | None, api_key: str | None, timeout_seconds: float, tries: int, language: str | None
) -> Configuration:
    url = base_url or os.environ.get("CARDHOUR_API_URL") or DEFAULT_URL
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url!r} is not an http:// or https:// address")
    if tries < 1:
        raise ValueError("tries counts the first one too, so it is at least 1")
    return Configuration(
        base_url=url.rstrip("/"),
        api_key=api_key or os.environ.get("CARDHOUR_API_KEY") or None,
        timeout_seconds=timeout_seconds,
        tries=tries,
        language=language,
        user_agent=_USER_AGENT,
    )


class Client:
    """The API for threads. Use it as a context manager, or `close()` it.

    Example:
        with Client() as client:
            for offer in client.offers.each(chip_class="A100-class", cards=8, hours=24):
                print(offer["id"], offer["price_fen"])
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_seconds: float = 30.0,
        tries: int = 4,
        language: str | None = None,
        http: SyncHttp | None = None,
    ) -> None:
        """Prepare; nothing connects yet.

        Args:
            base_url: where the service is; else `CARDHOUR_API_URL`, else `http://127.0.0.1:8000`.
            api_key: `chk_…`; else `CARDHOUR_API_KEY`.
            timeout_seconds: how long one answer may take.
            tries: how often a call that may be repeated is tried in all.
            language: `en` or `zh-CN`, for the sentences of refusals.
            http: an httpx transport to send through instead of the network.

        Raises:
            ValueError: if the address is not http or https.
        """
        self.configuration = _configuration(base_url, api_key, timeout_seconds, tries, language)
        self._transport = SyncTransport(self.configuration, http)
        runner = SyncRunner(self._transport, tries, time.sleep)
        self.organisations = Organisations(runner)
        self.keys = Keys(runner)
        self.chips = Chips(runner)
        self.offers = Offers(runner)
        self.requests = Requests(runner)
        self.quotes = Quotes(runner)
        self.reservations = Reservations(runner)
        self.clearings = Clearings(runner)
        self.imports = Imports(runner)
        self.exports = Exports(runner)
        self.programmes = Programmes(runner)
        self.contracts = Contracts(runner)
        self.applications = Applications(runner)
        self.vouchers = Vouchers(runner)
        self.deliveries = Deliveries(runner)
        self.settlements = Settlements(runner)
        self.claims = Claims(runner)
        self.advances = Advances(runner)
        self.ledger = Ledger(runner)
        self.reports = Reports(runner)

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """The API for an event loop. Use it as an async context manager, or `await close()` it."""

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_seconds: float = 30.0,
        tries: int = 4,
        language: str | None = None,
        http: AsyncHttp | None = None,
    ) -> None:
        """Prepare; nothing connects yet. The arguments are those of `Client`.

        Raises:
            ValueError: if the address is not http or https.
        """
        self.configuration = _configuration(base_url, api_key, timeout_seconds, tries, language)
        self._transport = AsyncTransport(self.configuration, http)
        runner = AsyncRunner(self._transport, tries, asyncio.sleep)
        self.organisations = AsyncOrganisations(runner)
        self.keys = AsyncKeys(runner)
        self.chips = AsyncChips(runner)
        self.offers = AsyncOffers(runner)
        self.requests = AsyncRequests(runner)
        self.quotes = AsyncQuotes(runner)
        self.reservations = AsyncReservations(runner)
        self.clearings = AsyncClearings(runner)
        self.imports = AsyncImports(runner)
        self.exports = AsyncExports(runner)
        self.programmes = AsyncProgrammes(runner)
        self.contracts = AsyncContracts(runner)
        self.applications = AsyncApplications(runner)
        self.vouchers = AsyncVouchers(runner)
        self.deliveries = AsyncDeliveries(runner)
        self.settlements = AsyncSettlements(runner)
        self.claims = AsyncClaims(runner)
        self.advances = AsyncAdvances(runner)
        self.ledger = AsyncLedger(runner)
        self.reports = AsyncReports(runner)

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
