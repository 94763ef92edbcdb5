"""Voucher programmes: TOML files of one schema (`vouchers.policy`). Errors are told by line and key."""

import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.vouchers.policy import Clause, Programme, Tier

__all__ = ["Clause", "Programme", "ProgrammeError", "Tier", "load_programme", "parse_programme"]

SETTABLE = ("pool_year_cny", "buyer_year_cny", "stacking_ceiling")
SETTABLE_IN_TIER = ("rate", "minimum_voucher_cny", "contract_cap_cny", "buyer_total_cny")
_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\-]+)\s*\]\]?\s*(#.*)?")
_KEY = re.compile(r"\s*([A-Za-z0-9_\-]+)\s*=")
_SYNTAX = re.compile(r"\(at line (\d+), column \d+\)$")


class ProgrammeError(ValueError):
    """A programme that isn't one: `problems` are (line or None, key, what is wrong)."""

    def __init__(self, source: str, problems: list[tuple[int | None, str, str]]) -> None:
        self.source = source
        self.problems = problems
        super().__init__(
            "; ".join(
                f"{source}{'' if line is None else f' line {line}'}{f', {key}' if key else ''}: {text}"
                for line, key, text in problems
            )
        )


def parse_programme(text: str, source: str, settings: dict[str, str] | None = None) -> Programme:
    """Read a programme from TOML, with some of its numbers overridden.

    Args:
        text: The TOML.
        source: What to call it in errors.
        settings: Overrides by key: `pool_year_cny`, `buyer_year_cny`, `stacking_ceiling`, or `TIER.KEY`.

    Raises:
        ProgrammeError: telling each fault by line and key.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _SYNTAX.search(str(error))
        # What is told of the end of the document is wrong on its last line.
        line = int(found[1]) if found is not None else max(1, len(text.splitlines()))
        raise ProgrammeError(source, [(line, "", str(error))]) from None
    for key, value in (settings or {}).items():
        _override(data, source, key, value)
    return programme_from_data(data, source, text)


def programme_from_data(data: Any, source: str, text: str = "") -> Programme:
    """Read a programme from parsed data; `text`, where given, is its TOML, to tell lines by.

    Raises:
        ProgrammeError: telling each fault by line and key.
    """
    try:
        return Programme.model_validate(data)
    except ValidationError as error:
        problems: list[tuple[int | None, str, str]] = []
        for fault in error.errors():
            parts = tuple(fault["loc"])
            key = ".".join(str(part) for part in parts)
            problems.append((_line_of(text, parts), key, fault["msg"].removeprefix("Value error, ")))
        raise ProgrammeError(source, problems) from None


def with_settings(programme: Programme, settings: dict[str, str]) -> Programme:
    """Return a programme with some of its numbers overridden, keys as in `parse_programme`.

    Raises:
        ProgrammeError: naming the key that is wrong.
    """
    data = programme.numbers()
    for key, value in settings.items():
        _override(data, programme.id, key, value)
    return programme_from_data(data, programme.id)


def _override(data: dict[str, Any], source: str, key: str, value: str) -> None:
    tier_id, dot, name = key.rpartition(".")
    target: dict[str, Any] | None = data
    allowed = SETTABLE
    if dot:
        tiers: list[dict[str, Any]] = data.get("tiers", [])
        target = next((tier for tier in tiers if tier.get("id") == tier_id), None)
        allowed = SETTABLE_IN_TIER
    if target is None or name not in allowed:
        known = ", ".join([*SETTABLE, *(f"TIER.{field}" for field in SETTABLE_IN_TIER)])
        raise ProgrammeError(source, [(None, key, f"is not a number that can be set; those are {known}")])
    target[name] = value


def _line_of(text: str, parts: tuple[str | int, ...]) -> int | None:
    """Return the line of a key path in TOML text: its own, or that of the nearest table above it."""
    lines: dict[tuple[str | int, ...], int] = {}
    table: tuple[str | int, ...] = ()
    counts: dict[tuple[str | int, ...], int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.fullmatch(line)
        if header is not None:
            table = ()
            names = header[2].split(".")
            for position, name in enumerate(names):
                table = (*table, name)
                last = position == len(names) - 1
                if header[1] == "[[" and last:
                    counts[table] = counts.get(table, -1) + 1
                if table in counts:
                    table = (*table, counts[table])
            lines[table] = number
            continue
        key = _KEY.match(line)
        if key is not None:
            lines[(*table, key[1])] = number
    while parts and parts not in lines:
        parts = parts[:-1]
    return lines.get(parts)


def shipped_programmes() -> list[str]:
    """Return the ids of the programmes that come with Cardhour."""
    folder = resources.files("app.vouchers") / "programmes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def shipped_text(programme_id: str) -> str:
    """Return the TOML of a shipped programme.

    Raises:
        ProgrammeError: if there is none of this id.
    """
    if programme_id not in shipped_programmes():
        known = ", ".join(shipped_programmes())
        raise ProgrammeError(programme_id, [(None, "", f"is not a programme that is shipped; those are {known}")])
    return (resources.files("app.vouchers") / "programmes" / f"{programme_id}.toml").read_text(encoding="utf-8")


def read_text(name: str) -> str:
    """Return the TOML of a file, where the name is a path to one (it ends with .toml), or of a shipped programme.

    Raises:
        ProgrammeError: if there is no such file or programme.
    """
    path = Path(name)
    return file_text(path) if path.suffix == ".toml" else shipped_text(name)


def file_text(path: Path) -> str:
    """Return the text of a programme's file.

    Raises:
        ProgrammeError: if it can't be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ProgrammeError(path.name, [(None, "", f"can't be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ProgrammeError(path.name, [(None, "", "is not UTF-8 text")]) from None


def load_programme(programme_id: str, settings: dict[str, str] | None = None) -> Programme:
    """Return a shipped programme, or that of a file given by its path, with some of its numbers overridden.

    Raises:
        ProgrammeError: if there is none, it is no programme, or a setting is wrong.
    """
    return parse_programme(read_text(programme_id), Path(programme_id).name, settings)
