"""What comes out of the reports' endpoints. Amounts are integer fen, days those of the programme's time zone."""

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from app.kit.schemas import Moment, Output
from app.reports.forecast import Verdict
from app.vouchers.schemas import TitleOut

Ratio = Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]{4}$", examples=["0.1176"])]


class ReportFormat(StrEnum):
    """How a report is read: as data, as a table for spreadsheets, or drawn."""

    JSON = "json"
    CSV = "csv"
    SVG = "svg"
    PNG = "png"


class Group(StrEnum):
    """What figures are told by."""

    PROGRAMME = "programme"
    YEAR = "year"
    BUYER_KIND = "buyer_kind"
    CHIP_ORIGIN = "chip_origin"


class BurnDownDay(Output):
    """A pool at the end of a day, or now for the last one."""

    day: date = Field(examples=["2026-12-01"])
    filled_fen: int = Field(description="what was put into it so far")
    issued_fen: int = Field(description="issued so far, less what came back")
    earmarked_fen: int = Field(description="set aside and not decided")
    left_fen: int | None = Field(description="of what was put in; null where the pool has no cap")
    redeemed_fen: int = Field(description="redeemed so far of this year's vouchers, less what was given back")


class ForecastOut(Output):
    """What becomes of the pool at the pace of the last days."""

    method: Literal["recent_pace"] = Field(
        description="now + left × window ÷ drawn, where drawn is what was taken of the pool in the window, open"
        " earmarks counted, less what came back"
    )
    verdict: Verdict = Field(
        description="`runs_out` at `used_up_at`; `lasts` to the year's end with `left_at_year_end_fen`; `no_pace`:"
        " nothing was drawn lately; `used_up`; `year_over`; `no_cap`"
    )
    window_from: Moment = Field(description="never before the pool was opened, and at least a day ago")
    window_to: Moment
    drawn_fen: int = Field(description="in the window; negative where more came back")
    fen_per_day: int = Field(description="rounded down")
    used_up_at: Moment | None
    left_at_year_end_fen: int | None


class BurnDownOut(Output):
    """A programme's pool of a year, day by day, and when it is used up."""

    programme: str = Field(examples=["open-example"])
    title: TitleOut
    version: int = Field(description="of the programme, that the year is open under", examples=[1])
    year: int = Field(examples=[2026])
    time_zone: str = Field(examples=["Asia/Shanghai"])
    as_of: Moment
    currency: Literal["CNY"] = "CNY"
    pool_fen: int | None = Field(description="null where the pool has no cap", examples=[20_000_000])
    issued_fen: int
    earmarked_fen: int
    left_fen: int | None
    redeemed_fen: int
    days: list[BurnDownDay] = Field(description="every day since the pool was opened, the last one up to `as_of`")
    forecast: ForecastOut


class TotalsRow(Output):
    """Voucher money of a group; what the report is not grouped by is null."""

    programme: str | None
    year: int | None = Field(description="of the budgets that the vouchers draw on")
    buyer_kind: str | None = Field(description="what the buyer was on record as when it signed, or `unknown`")
    chip_origin: Literal["domestic", "foreign", "unknown"] | None
    vouchers: int = Field(description="how many were ever earmarked")
    earmarked_fen: int = Field(description="set aside and not decided")
    issued_fen: int = Field(description="ever issued")
    redeemed_fen: int = Field(description="of it, what settlements took, less what they gave back")
    returned_fen: int = Field(description="of it, what went back to the pool unspent")
    left_fen: int = Field(description="of it, what can still be redeemed")
    clawed_back_fen: int = Field(description="of what was redeemed, what claimants owe since the voucher was revoked")
    claimed_fen: int = Field(description="in claims that wait to be paid")
    paid_fen: int = Field(description="paid to claimants, in money or against advances and what they owed")


class TotalsOut(Output):
    """Voucher money by group and in all."""

    as_of: Moment
    currency: Literal["CNY"] = "CNY"
    by: list[Group]
    rows: list[TotalsRow]
    total: TotalsRow


class EffectRow(Output):
    """What redeemed vouchers of a group enabled."""

    programme: str | None
    year: int | None
    buyer_kind: str | None
    chip_origin: Literal["domestic", "foreign", "unknown"] | None
    contracts: int = Field(description="with redeemed vouchers, each once in a group, and in each of its groups")
    card_seconds: int = Field(description="settled under these contracts")
    settled_fen: int = Field(description="what these contracts cost so far")
    redeemed_fen: int = Field(description="what vouchers took of it")
    card_hours_per_cny: Ratio | None = Field(description="card-hours settled for each CNY of subsidy, rounded half up")
    settled_cny_per_cny: Ratio | None = Field(
        description="CNY of compute settled for each CNY of subsidy", examples=["2.0000"]
    )


class EffectOut(Output):
    """Card-hours enabled per CNY of subsidy, by group and in all."""

    as_of: Moment
    currency: Literal["CNY"] = "CNY"
    by: list[Group]
    rows: list[EffectRow]
    total: EffectRow = Field(description="each contract counted once, whatever it is grouped by")
