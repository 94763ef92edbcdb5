"""Simulating a programme on history (the desk)."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from app.accounts.dependencies import Context, DeskOrAuditor
from app.accounts.errors import NOT_APPROVED
from app.kit.db import SYSTEM
from app.kit.errors import FORBIDDEN, NOT_FOUND, UNAUTHENTICATED
from app.kit.problems import problems
from app.kit.schemas import Input, Output
from app.matching.simulating import Tally, simulate
from app.vouchers import drafts
from app.vouchers.budgets import programme_of
from app.vouchers.draft_errors import OTHER_PROGRAMME, PROGRAMME_FILE
from app.vouchers.draft_schemas import Toml

router = APIRouter(tags=["vouchers"])


class SimulateIn(Input):
    """Which version; a file in its place, stored nowhere, or the newest version where neither is given."""

    version: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = Field(default=None, examples=[2])
    toml: Toml | None = Field(default=None, description="a file with the programme's id")


class MissedOut(Output):
    """A clause and how many contracts miss it."""

    clause: str = Field(examples=["prior_year_revenue"])
    contracts: int


class TallyOut(Output):
    """What contracts would get, in integer fen."""

    contracts: int
    eligible: int = Field(description="those that meet every clause of their best tier")
    granted: int = Field(description="those that get something")
    cost_fen: int
    amount_fen: int = Field(description="what the programme would have given")
    subsidised_fen: int = Field(description="what they were really matched with, under any programme")
    missed: list[MissedOut] = Field(description="the most frequent first")


class SimulatedYearOut(TallyOut):
    """The contracts of a calendar year in the programme's time zone."""

    year: int = Field(examples=[2026])
    pool_left_fen: int | None = Field(description="null where there is no pool")


class SimulationOut(Output):
    """What a programme would have given the contracts on record, and the open requests each by itself."""

    programme: str = Field(examples=["suzhou-example"])
    version: int = Field(examples=[2])
    years: list[SimulatedYearOut]
    requests: TallyOut = Field(description="at the most that each buyer pays, with a partner")


@router.post(
    "/programmes/{programme_id}/simulate",
    summary="Simulate a programme on history",
    description=(
        "What a draft, a published version or a file would have given the contracts on record, in the order they were "
        "made, and the open requests. Nothing is stored."
    ),
    responses=problems(UNAUTHENTICATED, FORBIDDEN, NOT_APPROVED, NOT_FOUND, PROGRAMME_FILE, OTHER_PROGRAMME),
)
async def simulate_programme(
    programme_id: Annotated[str, Path(max_length=60, description="the programme's id", examples=["open-example"])],
    body: SimulateIn,
    caller: DeskOrAuditor,
    context: Context,
) -> SimulationOut:
    """Return what it would have given."""
    async with context.database.read(SYSTEM) as session:
        if body.toml is not None:
            programme = drafts.read_draft(body.toml)
            if programme.id != programme_id:
                raise OTHER_PROGRAMME.field("/toml", programme=programme_id, version=body.version or programme.version)
        else:
            found = await drafts.list_versions(session, caller, programme_id)
            version = found[0].version if body.version is None else body.version
            row = await drafts.get_version(session, caller, programme_id, version)
            programme = programme_of(row.toml, row.sha256)
        done = await simulate(session, programme)
    return SimulationOut(
        programme=programme.id,
        version=programme.version,
        years=[
            SimulatedYearOut(**dict(_tally(tally)), year=year, pool_left_fen=done.left_fen[year])
            for year, tally in done.years.items()
        ],
        requests=_tally(done.requests),
    )


def _tally(tally: Tally) -> TallyOut:
    return TallyOut(
        contracts=tally.contracts,
        eligible=tally.eligible,
        granted=tally.granted,
        cost_fen=tally.cost_fen,
        amount_fen=tally.amount_fen,
        subsidised_fen=tally.subsidised_fen,
        missed=[
            MissedOut(clause=clause, contracts=count)
            for clause, count in sorted(tally.missed.items(), key=lambda each: (-each[1], each[0]))
        ],
    )
