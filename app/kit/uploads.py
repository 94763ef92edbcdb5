"""Multipart uploads: a body that is bounded while it streams in, whatever length it claims."""

from collections.abc import AsyncGenerator
from typing import Final

from fastapi import Request
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser

from app.kit.errors import MALFORMED, ErrorCode, Problem

NOT_MULTIPART: Final = ErrorCode(
    "not_multipart",
    415,
    "Send the files as multipart/form-data.",
    "请以 multipart/form-data 上传文件。",
)
UPLOAD_TOO_LARGE: Final = ErrorCode(
    "upload_too_large",
    413,
    "The upload is larger than {limit_mib} MiB.",
    "上传内容超过 {limit_mib} MiB。",
)


async def read_form(request: Request, *, max_bytes: int, max_files: int, max_fields: int) -> FormData:
    """Return the form of an upload, its files spooled to disk as they come. Close it after use.

    Raises:
        Problem: `not_multipart`, `upload_too_large`, `malformed`.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise NOT_MULTIPART.problem()
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > max_bytes:
        raise _too_large(max_bytes)
    parser = MultiPartParser(
        request.headers, _bounded(request, max_bytes), max_files=max_files, max_fields=max_fields, max_part_size=1_000
    )
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise MALFORMED.problem(why=error.message) from None
    except KeyError:
        raise MALFORMED.problem(why="the Content-Type names no boundary") from None


async def _bounded(request: Request, max_bytes: int) -> AsyncGenerator[bytes]:
    read = 0
    async for chunk in request.stream():
        read += len(chunk)
        if read > max_bytes:
            raise _too_large(max_bytes)
        yield chunk


def _too_large(max_bytes: int) -> Problem:
    return UPLOAD_TOO_LARGE.problem(limit_mib=max_bytes // 1024 // 1024)
