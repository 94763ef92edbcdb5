"""Reports on voucher money: the desk and auditors."""

from collections.abc import Sequence

from app.client.core import AsyncResource, Call, Resource, SyncResource, method
from app.client.types import BurnDownOut, EffectOut, Group, ReportFormat, TotalsOut

_REPORTS = "/v1/reports"


class ReportMethods(Resource):
    """Burn-down of pools, totals, and what vouchers enabled; each as data or, by its `…_file`, as a file."""

    @method
    def burn_down(self, programme: str, *, year: int | None = None, days: int | None = None) -> Call[BurnDownOut]:
        """A programme's pool of a year, day by day, and when it is used up at the pace of the last `days`."""
        return Call("GET", f"{_REPORTS}/burn-down", {"programme": programme, "year": year, "days": days})

    @method
    def burn_down_file(
        self,
        programme: str,
        *,
        year: int | None = None,
        days: int | None = None,
        format: ReportFormat = "csv",  # noqa: A002  the API's word
    ) -> Call[bytes]:
        """The same as `csv`, `svg`, `png` or `json`."""
        query = {"programme": programme, "year": year, "days": days, "format": format}
        return Call("GET", f"{_REPORTS}/burn-down", query, raw=True)

    @method
    def totals(
        self,
        *,
        by: Sequence[Group] | None = None,
        programme: Sequence[str] | None = None,
        year: int | None = None,
    ) -> Call[TotalsOut]:
        """What was earmarked, issued, redeemed, claimed and paid, by group and in all."""
        return Call("GET", f"{_REPORTS}/totals", {"by": by, "programme": programme, "year": year})

    @method
    def totals_file(
        self,
        *,
        by: Sequence[Group] | None = None,
        programme: Sequence[str] | None = None,
        year: int | None = None,
        format: ReportFormat = "csv",  # noqa: A002  the API's word
    ) -> Call[bytes]:
        """The same as `csv`, `svg`, `png` or `json`."""
        query = {"by": by, "programme": programme, "year": year, "format": format}
        return Call("GET", f"{_REPORTS}/totals", query, raw=True)

    @method
    def effect(
        self,
        *,
        by: Sequence[Group] | None = None,
        programme: Sequence[str] | None = None,
        year: int | None = None,
    ) -> Call[EffectOut]:
        """Card-hours settled for each CNY of subsidy, by group and in all."""
        return Call("GET", f"{_REPORTS}/effect", {"by": by, "programme": programme, "year": year})

    @method
    def effect_file(
        self,
        *,
        by: Sequence[Group] | None = None,
        programme: Sequence[str] | None = None,
        year: int | None = None,
        format: ReportFormat = "csv",  # noqa: A002  the API's word
    ) -> Call[bytes]:
        """The same as `csv`, `svg`, `png` or `json`."""
        query = {"by": by, "programme": programme, "year": year, "format": format}
        return Call("GET", f"{_REPORTS}/effect", query, raw=True)


class Reports(ReportMethods, SyncResource):
    """Reports."""


class AsyncReports(ReportMethods, AsyncResource):
    """Reports, awaited."""
