"""What goes in and out of the vouchers' endpoints."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.accounts.schemas import OrgId
from app.kit.ids import TypeId
from app.kit.schemas import Fen, Input, Moment, Output
from app.vouchers.budgets import programme_of
from app.vouchers.models import (
    ProgrammeVersion,
    ProgrammeYear,
    Voucher,
    VoucherJournalEntry,
    VoucherKind,
    VoucherState,
)

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
    """A voucher: an amount for a buyer's reservation under one tier of a programme."""

    id: VoucherId
    kind: VoucherKind = Field(description="`bonus`: given for a good outcome, for a later contract")
    reservation_id: ReservationId | None = Field(description="null for a bonus that is not used yet")
    buyer_org_id: OrgId
    programme: str = Field(examples=["open-example"])
    programme_version: int = Field(examples=[1])
    tier: str = Field(examples=["general"])
    year: int = Field(examples=[2026])
    amount_fen: int = Field(description="earmarked", examples=[12_500])
    issued_fen: int | None = Field(description="what of it was issued", examples=[12_500])
    rate_ppm: int | None = Field(description="of each settlement, in parts per million", examples=[500_000])
    currency: Literal["CNY"] = "CNY"
    state: VoucherState
    reason_code: str | None = Field(description="why it expired or was revoked, else null", examples=[None])
    reason_detail: str | None
    created_at: Moment
    issued_at: Moment | None
    expires_at: Moment | None = Field(description="until when it can be redeemed; null: no end")
    version: int = Field(description="what the ETag is made of", examples=[1])


class VoucherStepOut(Output):
    """A turn of a voucher's life."""

    state: VoucherState
    amount_fen: int
    reason_code: str | None
    at: Moment


class VoucherDetail(VoucherOut):
    """A voucher with what became of its money and its life so far."""

    redeemed_fen: int = Field(description="less what was given back")
    left_fen: int = Field(description="what can still be redeemed; 0 before it is issued and once it has ended")
    history: list[VoucherStepOut]


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
        kind=VoucherKind(row.kind),
        reservation_id=row.subject_id,
        buyer_org_id=row.buyer_org_id,
        programme=row.programme_id,
        programme_version=row.programme_version,
        tier=row.tier,
        year=row.year,
        amount_fen=row.amount_fen,
        issued_fen=row.issued_fen,
        rate_ppm=row.rate_ppm,
        state=VoucherState(row.state),
        reason_code=row.reason_code,
        reason_detail=row.reason_detail,
        created_at=row.created_at,
        issued_at=row.issued_at,
        expires_at=row.expires_at,
        version=row.version,
    )


def voucher_detail(
    row: Voucher, journal: list[VoucherJournalEntry], *, redeemed_fen: int, left_fen: int
) -> VoucherDetail:
    """Return a voucher with its life so far."""
    history = [
        VoucherStepOut(
            state=VoucherState(each.state), amount_fen=each.amount_fen, reason_code=each.reason_code, at=each.at
        )
        for each in journal
    ]
    return VoucherDetail(**dict(voucher_out(row)), redeemed_fen=redeemed_fen, left_fen=left_fen, history=history)
