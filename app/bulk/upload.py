"""A multipart upload: bounded while it streams in, every field checked, the files under their market names."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Final

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from app.bulk.errors import (
    FORM_VALUE,
    NO_FILES,
    REPEATED_FILE,
    UNKNOWN_FILE,
    UNKNOWN_FORM_FIELD,
)
from app.bulk.market import kind_and_format
from app.bulk.options import ImportOptions
from app.bulk.rows import Kind
from app.bulk.schemas import NAMESPACE_PATTERN
from app.kit.errors import INVALID, ErrorCode, FieldError
from app.kit.time import floor_hour, parse_rfc3339
from app.kit.uploads import read_form

MAX_BYTES: Final = 256 * 1024 * 1024
_MAX_FIELDS: Final = 20
_FLAGS: Final = ("skip_bad", "update", "dry_run")
_BOOLEANS: Final = {"true": True, "false": False}
_NAMESPACE: Final = re.compile(NAMESPACE_PATTERN.removesuffix("$"))

# FastAPI reads a declared form whole before anything can bound it, so the body is read here and described by hand.
OPENAPI: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "offers, requests, buyers, suppliers, chips, each as .csv or .jsonl,"
                            " told apart by their names; 256 MiB and 1 000 000 rows together",
                        },
                        "skip_bad": {
                            "type": "boolean",
                            "default": False,
                            "description": "keep the good rows; else one bad row refuses all",
                        },
                        "update": {
                            "type": "boolean",
                            "default": False,
                            "description": "change rows that exist with other values; else they are bad rows",
                        },
                        "dry_run": {
                            "type": "boolean",
                            "default": False,
                            "description": "write nothing, tell what would be written",
                        },
                        "start_at": {
                            "type": "string",
                            "format": "date-time",
                            "description": "shift all times by the same whole hours, so that the earliest becomes this",
                            "examples": ["2026-12-01T00:00:00+08:00"],
                        },
                        "namespace": {
                            "type": "string",
                            "pattern": NAMESPACE_PATTERN,
                            "description": "put NAME: before every reference, so that this market stands beside others",
                            "examples": ["philly-cn"],
                        },
                    },
                }
            }
        },
    }
}


@dataclass(frozen=True, slots=True)
class Upload:
    """A parsed upload; `digest` is the same for the same fields and files, whatever boundary they came with."""

    files: dict[str, bytes]
    options: ImportOptions
    digest: bytes


async def read_upload(request: Request, roles: frozenset[str]) -> Upload:
    """Return the files and options of an upload.

    Args:
        request: its body is read, spooled to disk as it comes.
        roles: those of the sender's key, stored with the job.

    Raises:
        Problem: `not_multipart`, `upload_too_large`, `malformed`, or `invalid` naming every wrong field.
    """
    form = await read_form(request, max_bytes=MAX_BYTES, max_files=len(Kind) + 1, max_fields=_MAX_FIELDS)
    try:
        return await _parsed(form, roles)
    finally:
        await form.close()


async def _parsed(form: FormData, roles: frozenset[str]) -> Upload:
    wrong: list[FieldError] = []
    files: dict[str, bytes] = {}
    fields: dict[str, str] = {}
    digest = hashlib.sha256()
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            content = await value.read()
            given = PurePosixPath(PureWindowsPath(value.filename or "").name).name
            digest.update(f"{name}\0{given}\0{len(content)}\0".encode() + content)
            _take_file(name, given, content, files, wrong)
        else:
            digest.update(f"{name}\0{len(value)}\0{value}\0".encode("utf-8", "surrogatepass"))
            _take_field(name, value, fields, wrong)
    options = _options(fields, roles, wrong)
    if not files and not wrong:
        wrong.append(_wrong("/files", NO_FILES))
    if wrong:
        raise INVALID.problem(errors=wrong)
    return Upload(files, options, digest.digest())


def _wrong(pointer: str, code: ErrorCode, **params: object) -> FieldError:
    return FieldError(pointer, code.code, code.en.format(**params))


def _take_file(name: str, given: str, content: bytes, files: dict[str, bytes], wrong: list[FieldError]) -> None:
    found = kind_and_format(given)
    kinds = {known[0] for known in map(kind_and_format, files) if known is not None}
    if name != "files":
        wrong.append(_wrong(f"/{name[:60]}", UNKNOWN_FORM_FIELD, name=name[:60]))
    elif found is None:
        wrong.append(_wrong("/files", UNKNOWN_FILE, name=repr(given[:60])))
    elif found[0] in kinds:
        wrong.append(_wrong("/files", REPEATED_FILE, name=found[0].value))
    else:
        files[given] = content


def _take_field(name: str, value: str, fields: dict[str, str], wrong: list[FieldError]) -> None:
    if name not in (*_FLAGS, "start_at", "namespace"):
        code, params = (FORM_VALUE, {"wanted": "files"}) if name == "files" else (UNKNOWN_FORM_FIELD, {})
        wrong.append(_wrong(f"/{name[:60]}", code, name=name[:60], **params))
    elif name in fields:
        wrong.append(_wrong(f"/{name}", FORM_VALUE, name=name, wanted="one value"))
    else:
        fields[name] = value


def _options(fields: dict[str, str], roles: frozenset[str], wrong: list[FieldError]) -> ImportOptions:
    flags: dict[str, bool] = {}
    for name in _FLAGS:
        value = fields.get(name, "false")
        if value not in _BOOLEANS:
            wrong.append(_wrong(f"/{name}", FORM_VALUE, name=name, wanted="true or false"))
        flags[name] = _BOOLEANS.get(value, False)
    namespace = fields.get("namespace")
    if namespace is not None and not _NAMESPACE.fullmatch(namespace):
        wanted = "1 to 40 letters, digits, _, - and ., beginning with a letter or digit"
        wrong.append(_wrong("/namespace", FORM_VALUE, name="namespace", wanted=wanted))
    return ImportOptions(start_at=_start_at(fields.get("start_at"), wrong), namespace=namespace, roles=roles, **flags)


def _start_at(value: str | None, wrong: list[FieldError]) -> datetime | None:
    if value is None:
        return None
    try:
        moment = parse_rfc3339(value)
    except (ValueError, OverflowError) as error:
        wrong.append(_wrong("/start_at", FORM_VALUE, name="start_at", wanted=f"a time with offset; {error}"))
        return None
    if floor_hour(moment) != moment:
        wrong.append(_wrong("/start_at", FORM_VALUE, name="start_at", wanted="a time on a whole hour (UTC)"))
    return moment
