"""What goes in and out of the endpoints of programme versions."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from app.accounts.schemas import OrgId
from app.kit.schemas import Fen, Input, Moment, Output
from app.vouchers.budgets import programme_of
from app.vouchers.facts import ContractFacts, Item, ItemKind, Level, OtherSubsidy
from app.vouchers.models import ProgrammeVersion, VersionState
from app.vouchers.schemas import TitleOut

MAX_TOML = 100_000
# Kept to the letter: its faults are told by line.
Toml = Annotated[
    str,
    StringConstraints(strip_whitespace=False),
    Field(min_length=1, max_length=MAX_TOML, examples=['id = "suzhou-example"\nversion = 2\n…']),
]
Count = Annotated[int, Field(strict=True, ge=1, le=100_000)]


class DraftIn(Input):
    """A file of a programme."""

    toml: Toml = Field(description="the file, as it is; see docs/vouchers/programmes.md")


class PublishIn(Input):
    """Which draft to publish."""

    version: Annotated[int, Field(strict=True, ge=1, le=1_000_000, examples=[2])]


class ItemIn(Input):
    """A line of a contract."""

    kind: ItemKind = Field(examples=["compute"])
    amount_fen: Fen = Field(examples=[300_000_000])


class OtherIn(Input):
    """Another subsidy on the contract."""

    level: Level = Field(examples=["district"])
    amount_fen: Fen = Field(default=0, examples=[1_000_000])


class ContractIn(Input):
    """A contract to explain; signed now where no time is given."""

    signed_at: Moment | None = None
    items: list[ItemIn] = Field(min_length=1, max_length=20)
    hours: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = Field(default=None, examples=[720])
    domestic: bool | None = Field(default=None, description="whether its chips are domestic")
    workload: Annotated[str, Field(max_length=60)] | None = Field(default=None, examples=["model_service"])
    blocks: Count = Field(default=1, description="how many such contracts the whole request is")
    year_contracts_fen: Fen = Field(default=0, description="the buyer's other contracts of the year")
    others: list[OtherIn] = Field(default_factory=list[OtherIn], max_length=10)
    on_application: bool = Field(default=False, description="whether it is applied for what isn't automatic")
    applied_at: Moment | None = Field(default=None, description="when it is applied for; at the signing if left out")
    applications: Annotated[int, Field(strict=True, ge=0, le=1_000)] = Field(
        default=0, description="how many applications there are for it already"
    )


class ExplainIn(Input):
    """Who would sign what."""

    with_programmes: list[Annotated[str, Field(min_length=1, max_length=60)]] = Field(
        default_factory=list[str], max_length=5, description="further programmes, tried alone and together"
    )
    buyer_org_id: OrgId
    supplier_org_id: OrgId | None = Field(default=None, description="left out: a partner that isn't affiliated")
    contract: ContractIn


class VersionOut(Output):
    """A version of a programme."""

    programme: str = Field(examples=["suzhou-example"])
    version: int = Field(examples=[2])
    state: VersionState
    title: TitleOut
    grade: Literal["seed", "official", "press", "second_hand", "example"]
    tiers: list[str] = Field(examples=[["general"]])
    sha256: str = Field(description="of the TOML as stored")
    stored_at: Moment


class VersionDetail(VersionOut):
    """A version of a programme with its content."""

    toml: str = Field(description="the programme as data, exactly as stored")


class VersionList(Output):
    """A programme's versions, the newest first."""

    data: list[VersionOut]


def version_out(row: ProgrammeVersion) -> VersionOut:
    """Return a version as shown in lists."""
    programme = programme_of(row.toml, row.sha256)
    return VersionOut(
        programme=row.programme_id,
        version=row.version,
        state=VersionState(row.state),
        title=TitleOut(en=programme.title.en, zh=programme.title.zh),
        grade=programme.grade,
        tiers=[tier.id for tier in programme.tiers],
        sha256=row.sha256,
        stored_at=row.created_at,
    )


def version_detail(row: ProgrammeVersion) -> VersionDetail:
    """Return a version with its content."""
    return VersionDetail(**dict(version_out(row)), toml=row.toml)


def contract_of(body: ContractIn, now: datetime) -> ContractFacts:
    """Return a contract as rules read it."""
    return ContractFacts(
        signed_at=body.signed_at or now,
        items=tuple(Item(item.kind, item.amount_fen) for item in body.items),
        hours=body.hours,
        domestic=body.domestic,
        workload=body.workload,
        blocks=body.blocks,
        year_contracts_fen=body.year_contracts_fen,
        others=tuple(OtherSubsidy(level=other.level, amount_fen=other.amount_fen) for other in body.others),
        on_application=body.on_application,
        applied_at=body.applied_at,
        applications=body.applications,
    )
