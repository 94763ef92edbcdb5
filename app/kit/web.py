"""What every endpoint stands on: the application's context, and queries that drop nothing silently."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import ParamTypes

from app.kit.db import Database
from app.kit.errors import INVALID, FieldError
from app.kit.pages import CursorSigner
from app.kit.time import Clock

_HEAVY: Final = 2
_DETAIL: Final = "This path has no such query parameter; it takes: {names}"


@dataclass(frozen=True, slots=True)
class AppContext:
    """What the application was started with.

    Whoever stops it sets `stopping`: answers that last then end. `heavy` is held by what takes a core for seconds.
    """

    database: Database
    signer: CursorSigner
    secret: bytes
    clock: Clock
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    heavy: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_HEAVY))


def context_of(request: Request) -> AppContext:
    """Return the application's context (a FastAPI dependency)."""
    context: AppContext = request.app.state.context
    return context


def _query_fields(dependant: Any) -> Iterator[tuple[str, bool]]:
    for parameter in get_flat_params(dependant):
        info: Any = parameter.field_info
        if info.in_ is ParamTypes.query:
            annotation = repr(info.annotation)
            yield parameter.alias, "list[" in annotation or "tuple[" in annotation


async def refuse_unknown_query(request: Request) -> None:
    """Refuse query parameters that the route does not declare, and repeats of those that take one value.

    Refuses NUL characters in the path and in parameters too: PostgreSQL has no text that holds one.

    Raises:
        Problem: 422 naming each of them.
    """
    errors = [
        FieldError(name, "nul_character", "Input should not contain NUL characters")
        for name, value in [*request.path_params.items(), *request.query_params.multi_items()]
        if "\0" in str(value)
    ]
    context: Any = request.scope["fastapi"]["effective_route_context"]
    known = dict(_query_fields(context.dependant)) if request.query_params else {}
    names = [name for name, _ in request.query_params.multi_items()]
    errors += [
        FieldError(name, "unknown_parameter", _DETAIL.format(names=", ".join(sorted(known)) or "none"))
        for name in dict.fromkeys(names)
        if name not in known
    ]
    errors += [
        FieldError(name, "repeated_parameter", "This parameter takes one value")
        for name in dict.fromkeys(names)
        if known.get(name) is False and names.count(name) > 1
    ]
    if errors:
        raise INVALID.problem(errors=errors)
