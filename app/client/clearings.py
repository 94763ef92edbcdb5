"""Clearings: asked for, watched, fetched."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from app.client.bulk import watch_job
from app.client.core import AsyncResource, Call, Flow, Resource, SyncResource, method, rows, steps
from app.client.types import (
    BudgetPriceOut,
    ClassPricesOut,
    ClearingIn,
    ClearingOut,
    ClearingState,
    ComparisonOut,
    MatchOut,
    PageBudgetPriceOut,
    PageClassPricesOut,
    PageClearingOut,
    PageMatchOut,
    PageUnmatchedOut,
    PlotFormat,
    UnmatchedOut,
)

OnClearing = Callable[[ClearingOut], None]
_PATH = "/v1/clearings"


class ClearingMethods(Resource):
    """The open market, cleared."""

    def _list(
        self,
        *,
        state: ClearingState | None = None,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> Call[PageClearingOut]:
        """One page of the clearings, newest first."""
        return Call("GET", _PATH, {"state": state, "limit": limit, "after": after, "before": before})

    page = method(_list)
    each = rows(_list, ClearingOut)

    @method
    def start(self, body: ClearingIn) -> Call[ClearingOut]:
        """Ask for a clearing; the one that comes back has just been queued."""
        return Call("POST", _PATH, json=body, keyed=True)

    @method
    def read(self, clearing_id: str) -> Call[ClearingOut]:
        """One clearing."""
        return Call("GET", f"{_PATH}/{clearing_id}")

    @method
    def cancel(self, clearing_id: str) -> Call[ClearingOut]:
        """Stop a clearing before it reserves anything."""
        return Call("POST", f"{_PATH}/{clearing_id}/cancel", keyed=True)

    def _matches(
        self, clearing_id: str, *, limit: int | None = None, after: str | None = None, before: str | None = None
    ) -> Call[PageMatchOut]:
        """One page of what was matched."""
        return Call("GET", f"{_PATH}/{clearing_id}/matches", {"limit": limit, "after": after, "before": before})

    page_of_matches = method(_matches)
    matches = rows(_matches, MatchOut)

    def _unmatched(
        self, clearing_id: str, *, limit: int | None = None, after: str | None = None, before: str | None = None
    ) -> Call[PageUnmatchedOut]:
        """One page of what was not matched, and why."""
        return Call("GET", f"{_PATH}/{clearing_id}/unmatched", {"limit": limit, "after": after, "before": before})

    page_of_unmatched = method(_unmatched)
    unmatched = rows(_unmatched, UnmatchedOut)

    @method
    def certificate(self, clearing_id: str) -> Call[dict[str, Any]]:
        """The whole result with its duals, in the format of `cardhour clear`."""
        return Call("GET", f"{_PATH}/{clearing_id}/certificate")

    @method
    def instance(self, clearing_id: str) -> Call[bytes]:
        """What was cleared, in canonical JSON: its SHA-256 is the certificate's `instance_sha256`."""
        return Call("GET", f"{_PATH}/{clearing_id}/instance", raw=True)

    @method
    def plot(self, clearing_id: str, *, format: PlotFormat = "svg") -> Call[bytes]:  # noqa: A002  the API's word
        """The picture of a clearing, as `svg` or `png`."""
        return Call("GET", f"{_PATH}/{clearing_id}/plot", {"format": format}, raw=True)

    @method
    def compare(self, clearing_id: str, other_id: str, *, most: int | None = None) -> Call[ComparisonOut]:
        """Who gains and who loses by one clearing against another; at most so many rows of each list."""
        return Call("GET", f"{_PATH}/{clearing_id}/compare/{other_id}", {"most": most})

    def _prices(
        self,
        clearing_id: str,
        *,
        chips: Sequence[str] | None = None,
        begin: datetime | str | None = None,
        end: datetime | str | None = None,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> Call[PageClassPricesOut]:
        """One page of the congestion prices by chip class and day."""
        query = {"chip": chips, "from": begin, "to": end, "limit": limit, "after": after, "before": before}
        return Call("GET", f"{_PATH}/{clearing_id}/prices", query)

    page_of_prices = method(_prices)
    prices = rows(_prices, ClassPricesOut)

    def _budgets(
        self, clearing_id: str, *, limit: int | None = None, after: str | None = None, before: str | None = None
    ) -> Call[PageBudgetPriceOut]:
        """One page of the budgets with their shadow prices."""
        return Call("GET", f"{_PATH}/{clearing_id}/budgets", {"limit": limit, "after": after, "before": before})

    page_of_budgets = method(_budgets)
    budgets = rows(_budgets, BudgetPriceOut)

    @method
    def events(self, clearing_id: str) -> Call[bytes]:
        """The server-sent events of a clearing, once it has ended; to follow one, use `run` or `read`."""
        return Call("GET", f"{_PATH}/{clearing_id}/events", raw=True)

    @steps
    def run(self, body: ClearingIn, *, on_progress: OnClearing | None = None) -> Flow[ClearingOut]:
        """Clear and wait for the end; `on_progress` is called with the clearing whenever it was read.

        Raises:
            JobFailed: if it failed or was cancelled; its `job` says why.
        """
        asked = yield from Call[ClearingOut]("POST", _PATH, json=body, keyed=True).flow(self.tries)
        return (yield from watch_job(self, _PATH, asked, on_progress))


class Clearings(ClearingMethods, SyncResource):
    """Clearings."""


class AsyncClearings(ClearingMethods, AsyncResource):
    """Clearings, awaited."""
