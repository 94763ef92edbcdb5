"""FastAPI dependencies: the caller, guarded by role, and the transactions that see with its eyes."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.accounts.callers import Caller
from app.accounts.models import Role
from app.accounts.service import find_caller
from app.kit.db import ReadSession
from app.kit.errors import UNAUTHENTICATED
from app.kit.web import AppContext, context_of
from app.kit.writes import Writer

Context = Annotated[AppContext, Depends(context_of)]
_bearer = HTTPBearer(auto_error=False, description="an API key (`chk_…`)", bearerFormat="chk_…")


async def authenticate(
    context: Context, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    """Return who sent the request.

    Raises:
        Problem: `unauthenticated` without a key that is known, unrevoked and unexpired.
    """
    if credentials is not None:
        caller = await find_caller(
            context.database, credentials.credentials, secret=context.secret, now=context.clock()
        )
        if caller is not None:
            return caller
    raise UNAUTHENTICATED.problem(headers={"WWW-Authenticate": "Bearer"})


CurrentCaller = Annotated[Caller, Depends(authenticate)]


def allow(*roles: Role) -> Callable[[CurrentCaller], Awaitable[Caller]]:
    """Return a dependency that lets only approved callers with one of the roles pass."""

    async def guard(caller: CurrentCaller) -> Caller:
        caller.require(*roles)
        return caller

    return guard


Desk = Annotated[Caller, Depends(allow(Role.DESK))]
DeskOrAuditor = Annotated[Caller, Depends(allow(Role.DESK, Role.AUDITOR))]
SupplierOrDesk = Annotated[Caller, Depends(allow(Role.SUPPLIER, Role.DESK))]
BuyerOrDesk = Annotated[Caller, Depends(allow(Role.BUYER, Role.DESK))]
Party = Annotated[Caller, Depends(allow(Role.BUYER, Role.SUPPLIER, Role.DESK))]
Anyone = Annotated[Caller, Depends(allow(*Role))]


async def _read(context: Context, caller: CurrentCaller) -> AsyncGenerator[ReadSession]:
    async with context.database.read(caller.scope) as session:
        yield session


async def _writer(request: Request, context: Context, caller: CurrentCaller) -> Writer:
    return Writer(request, context.database, caller.scope, org_id=caller.org_id, key_required=False)


async def _keyed_writer(request: Request, context: Context, caller: CurrentCaller) -> Writer:
    return Writer(request, context.database, caller.scope, org_id=caller.org_id, key_required=True)


async def _secret_writer(request: Request, context: Context, caller: CurrentCaller) -> Writer:
    return Writer(request, context.database, caller.scope, org_id=caller.org_id, key_required=False, keep_secret=True)


Reading = Annotated[ReadSession, Depends(_read, scope="function")]
Writing = Annotated[Writer, Depends(_writer)]
KeyedWriting = Annotated[Writer, Depends(_keyed_writer)]
SecretWriting = Annotated[Writer, Depends(_secret_writer)]
