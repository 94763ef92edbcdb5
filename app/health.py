"""`/healthz`: the process lives. `/readyz`: the database answers and is at the newest migration."""

from typing import Final, Literal

from fastapi import APIRouter, Request

from app.kit.errors import ErrorCode
from app.kit.problems import problems
from app.kit.schemas import Output
from app.kit.web import context_of
from app.schema import is_current

router = APIRouter(tags=["health"])

NOT_MIGRATED: Final = ErrorCode(
    "not_migrated",
    503,
    "The database is not at this release's newest migration. Run: cardhour migrate",
    "数据库尚未升级到本版本的最新结构，请运行：cardhour migrate",
)


class Health(Output):
    """The service is well."""

    status: Literal["ok"] = "ok"


@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> Health:
    """Answer while the process lives."""
    return Health()


@router.get(
    "/readyz",
    summary="Can it serve?",
    responses=problems(NOT_MIGRATED),
)
async def readyz(request: Request) -> Health:
    """Answer `ok` when the database can be reached and is at the newest migration."""
    if not await is_current(context_of(request).database):
        raise NOT_MIGRATED.problem()
    return Health()
