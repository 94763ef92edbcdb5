"""Problems over HTTP: handlers that write `application/problem+json`, and their OpenAPI description."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import asyncpg
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from app.kit.db import sqlstate
from app.kit.errors import (
    CHINESE,
    ENGLISH,
    INTERNAL,
    INVALID,
    MALFORMED,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    UNAVAILABLE,
    ErrorCode,
    FieldError,
    Problem,
)

MEDIA_TYPE: Final = "application/problem+json"
_log: Final = structlog.get_logger("cardhour.http")

# SQLSTATE classes and codes that mean "not now" rather than "wrong": connection, resources, operator, timeouts.
_UNAVAILABLE_STATES: Final = ("08", "53", "57P", "57014", "55P03")

_EXPECTED: Final = (
    DBAPIError,
    PoolTimeoutError,
    ConnectionError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
)

_CHINESE_FIELD_TEXT: Final = {
    "missing": "必填",
    "extra_forbidden": "未知字段",
    "type_id": "不是有效的标识符",
    "int_type": "应为整数",
    "int_parsing": "应为整数",
    "int_from_float": "应为整数",
    "string_type": "应为文本",
    "timezone_aware": "时间须带时区偏移",
    "datetime_parsing": "应为带时区偏移的 RFC 3339 时间",
    "datetime_from_date_parsing": "应为带时区偏移的 RFC 3339 时间",
    "greater_than": "数值过小",
    "greater_than_equal": "数值过小",
    "less_than": "数值过大",
    "less_than_equal": "数值过大",
    "enum": "不在允许的取值之内",
    "literal_error": "不在允许的取值之内",
    "json_invalid": "不是有效的 JSON",
}


class ProblemField(BaseModel):
    """One thing wrong with the input."""

    model_config = ConfigDict(extra="forbid")
    pointer: str = Field(description="JSON pointer into the body, or the parameter's name", examples=["/cards"])
    code: str = Field(examples=["greater_than"])
    detail: str = Field(examples=["Input should be greater than 0"])


class ProblemBody(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="forbid")
    type: str = Field(examples=["urn:cardhour:problem:invalid"])
    title: str = Field(examples=["Invalid"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["The input is not valid; see errors."])
    code: str = Field(description="stable; never translated", examples=["invalid"])
    request_id: str = Field(examples=["01936b7e-4c00-7000-8000-000000000001"])
    errors: list[ProblemField] = Field(description="every field that is wrong; empty where none is")


def language_of(accept_language: str | None) -> str:
    """Return `zh-CN` if the header prefers any Chinese over English, else `en`."""
    best, best_quality = ENGLISH, 0.0
    for part in (accept_language or "").split(","):
        tag, _, parameter = part.strip().partition(";")
        try:
            quality = float(parameter.partition("=")[2]) if parameter else 1.0
        except ValueError:
            continue
        primary = tag.split("-")[0].lower()
        if primary in ("zh", "en") and quality > best_quality:
            best, best_quality = (CHINESE if primary == "zh" else ENGLISH), quality
    return best


def problem_response(problem: Problem, *, language: str, request_id: str) -> Response:
    """Return the response that tells a problem."""
    code = problem.code
    body = ProblemBody(
        type=f"urn:cardhour:problem:{code.code}",
        title=code.title,
        status=code.status,
        detail=problem.detail(language),
        code=code.code,
        request_id=request_id,
        errors=[ProblemField(pointer=e.pointer, code=e.code, detail=e.detail) for e in problem.errors],
    )
    headers = dict(problem.headers) | {"Content-Language": language}
    return JSONResponse(body.model_dump(), code.status, headers, media_type=MEDIA_TYPE)


def field_errors(raw: Sequence[Mapping[str, Any]], language: str) -> list[FieldError]:
    """Return pydantic's errors as pointers: bodies as `/a/0/b`, parameters by name."""
    found: list[FieldError] = []
    for error in raw:
        where, *path = [str(part) for part in error["loc"]] or ["body"]
        if where == "body":
            pointer = "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in path)
        else:
            pointer = ".".join(path)
        kind = str(error["type"])
        detail = str(error["msg"])
        if language == CHINESE:
            detail = _CHINESE_FIELD_TEXT.get(kind, detail)
        found.append(FieldError(pointer, kind, detail))
    return found


def _respond(request: Request, problem: Problem) -> Response:
    return problem_response(
        problem,
        language=language_of(request.headers.get("accept-language")),
        request_id=str(request.scope.get("cardhour_request_id", "")),
    )


def is_unavailable(error: Exception) -> bool:
    """Tell whether an error means that the database can't be used just now."""
    if isinstance(error, PoolTimeoutError | ConnectionError | TimeoutError | asyncpg.InterfaceError):
        return True
    # As the driver raises it where a new connection breaks while it is set up: SQLAlchemy passes that on as it is.
    if isinstance(error, asyncpg.PostgresError):
        return str(getattr(error, "sqlstate", "")).startswith(_UNAVAILABLE_STATES)
    if isinstance(error, DBAPIError):
        state = sqlstate(error)
        if state is None:
            return isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
        return state.startswith(_UNAVAILABLE_STATES)
    return False


def install_handlers(app: FastAPI) -> None:
    """Make every error of `app` a problem."""

    async def on_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)  # noqa: S101  registered for this class
        return _respond(request, error)

    async def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        language = language_of(request.headers.get("accept-language"))
        return _respond(request, INVALID.problem(errors=field_errors(error.errors(), language)))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        if error.status_code == HTTPStatus.NOT_FOUND:
            return _respond(request, NOT_FOUND.problem(what="path"))
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            return _respond(
                request, METHOD_NOT_ALLOWED.problem(method=request.method, headers=dict(error.headers or {}))
            )
        return _respond(request, MALFORMED.problem(why=str(error.detail)))

    async def on_other(request: Request, error: Exception) -> Response:
        if is_unavailable(error):
            _log.warning("database_unavailable", error=type(error).__name__)
            return _respond(request, UNAVAILABLE.problem(headers={"Retry-After": "1"}))
        _log.exception("unhandled", exc_info=error)
        return _respond(request, INTERNAL.problem())

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
    for expected in _EXPECTED:
        app.add_exception_handler(expected, on_other)
    app.add_exception_handler(Exception, on_other)


def problems(*codes: ErrorCode) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI `responses` of a route: each status with an example per code."""
    described: dict[int | str, dict[str, Any]] = {}
    for code in (MALFORMED, INVALID, *codes):
        response = described.setdefault(
            code.status,
            {
                "description": HTTPStatus(code.status).phrase,
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}, "examples": {}}},
            },
        )
        response["content"][MEDIA_TYPE]["examples"][code.code] = {
            "summary": code.title,
            "value": {
                "type": f"urn:cardhour:problem:{code.code}",
                "title": code.title,
                "status": code.status,
                "detail": code.en,
                "code": code.code,
                "request_id": "01936b7e-4c00-7000-8000-000000000001",
                "errors": [],
            },
        }
    return described
