"""What goes in and out of the vouchers' endpoints."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.accounts.schemas import OrgId
from app.kit.ids import TypeId
from app.kit.schemas import Fen, Input, Moment, Output
from app.vouchers.budgets import programme_of
from app.vouchers.models import ProgrammeVersion, ProgrammeYear, Voucher, VoucherState

VoucherId = Annotated[UUID, TypeId("vch")]
ReservationId = Annotated[UUID, TypeId("rsv")]
Year = Annotated[int, Field(strict=True, ge=2000, le=2200, examples=[2026])]


class OpenIn(Input):
    """A year to open a programme for; amounts left out are the programme's own."""

    year: Year = Field(description="the calendar year in the programme's time zone")
    pool_fen: Fen | None = Field(default=None, description="what all buyers may get, in integer fen")
    buyer_year_fen: Fen | None = Field(default=None, description="what one buyer may get, in integer fen")


class YearOut(Output):
    """A year that a programme is open for; amounts in integer fen, null where there is no cap."""

    year: int = Field(examples=[2026])
    version: int = Field(description="the programme version that this year's vouchers are under", examples=[1])
    pool_fen: int | None = Field(examples=[20_000_000])
    buyer_year_fen: int | None = Field(examples=[500_000])
    opened_at: Moment


class TitleOut(Output):
    """A name in two languages."""

    en: str
    zh: str


class ProgrammeOut(Output):
    """A voucher programme: its newest published version."""

    id: str = Field(examples=["open-example"])
    version: int = Field(examples=[1])
    title: TitleOut
    grade: Literal["seed", "official", "press", "second_hand", "example"] = Field(
        description="how sure we are of its source"
    )
    tiers: list[str] = Field(examples=[["general"]])
    sha256: str = Field(description="of the TOML as stored")
    stored_at: Moment
    years: list[YearOut] = Field(description="the years it is open for")


class ProgrammeDetail(ProgrammeOut):
    """A voucher programme with its content."""

    toml: str = Field(description="the programme as data, exactly as stored")


class ProgrammeList(Output):
    """The programmes, by id."""

    data: list[ProgrammeOut]


class VoucherOut(Output):
    """A voucher: an amount set aside for a buyer's reservation under one tier of a programme."""

    id: VoucherId
    reservation_id: ReservationId
    buyer_org_id: OrgId
    programme: str = Field(examples=["open-example"])
    programme_version: int = Field(examples=[1])
    tier: str = Field(examples=["general"])
    year: int = Field(examples=[2026])
    amount_fen: int = Field(examples=[12_500])
    currency: Literal["CNY"] = "CNY"
    state: VoucherState
    created_at: Moment


def year_out(row: ProgrammeYear) -> YearOut:
    """Return a year as shown."""
    return YearOut(
        year=row.year,
        version=row.programme_version,
        pool_fen=row.pool_fen,
        buyer_year_fen=row.buyer_year_fen,
        opened_at=row.opened_at,
    )


def programme_out(row: ProgrammeVersion, years: list[ProgrammeYear]) -> ProgrammeOut:
    """Return a programme as shown in lists."""
    programme = programme_of(row.toml, row.sha256)
    return ProgrammeOut(
        id=row.programme_id,
        version=row.version,
        title=TitleOut(en=programme.title.en, zh=programme.title.zh),
        grade=programme.grade,
        tiers=[tier.id for tier in programme.tiers],
        sha256=row.sha256,
        stored_at=row.created_at,
        years=[year_out(year) for year in years],
    )


def programme_detail(row: ProgrammeVersion, years: list[ProgrammeYear]) -> ProgrammeDetail:
    """Return a programme with its content."""
    return ProgrammeDetail(**dict(programme_out(row, years)), toml=row.toml)


def voucher_out(row: Voucher) -> VoucherOut:
    """Return a voucher as shown."""
    return VoucherOut(
        id=row.id,
        reservation_id=row.subject_id,
        buyer_org_id=row.buyer_org_id,
        programme=row.programme_id,
        programme_version=row.programme_version,
        tier=row.tier,
        year=row.year,
        amount_fen=row.amount_fen,
        state=VoucherState(row.state),
        created_at=row.created_at,
    )
