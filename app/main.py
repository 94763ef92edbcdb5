"""The service: `create_app()` puts the API, its middleware and its handlers together."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app import __version__, health
from app.api import router
from app.kit.logging import RequestLog
from app.kit.problems import ProblemBody, ProblemField, install_handlers
from app.kit.web import AppContext
from app.matching.core.subsidy import warm_up

DESCRIPTION: Final = (
    "A matching marketplace for AI compute: suppliers list card-hours, startups post needs, and what is matched is "
    "reserved, never oversold. Times are RFC 3339 with offset, reservations on whole hours; money is integer fen "
    "(CNY). Errors are RFC 9457 problems with a stable `code`. Writes that move capacity need an `Idempotency-Key`, "
    "state changes an `If-Match` with the `ETag` that was read."
)


def create_app(context: AppContext, *, on_close: Callable[[], Any] | None = None) -> FastAPI:
    """Return the application.

    Args:
        context: the database, the secrets and the clock it works with.
        on_close: called when it has stopped.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        await asyncio.to_thread(warm_up)
        yield
        await context.database.dispose()
        if on_close is not None:
            on_close()

    app = FastAPI(
        title="Cardhour",
        version=__version__,
        summary="Card-hours, matched and reserved.",
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        separate_input_output_schemas=True,
    )
    app.state.context = context
    install_handlers(app)
    app.include_router(health.router)
    app.include_router(router)
    app.add_middleware(RequestLog)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
            separate_input_output_schemas=True,
        )
        schemas = schema["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        for model in (ProblemField, ProblemBody):
            schemas[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas[model.__name__].pop("$defs", None)
        app.openapi_schema = schema
    return app.openapi_schema
