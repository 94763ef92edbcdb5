"""Voucher programmes: TOML files of one schema. Errors are told by line and key.

Money is decimal CNY in strings (`"10000"`), rates are decimals in strings (`"0.5"`): floats are refused.
"""

import re
import tomllib
from datetime import date
from decimal import Decimal, InvalidOperation
from importlib import resources
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from app.kit.money import parse_cny, ppm

SETTABLE = ("pool_year_cny", "buyer_year_cny", "stacking_ceiling")
SETTABLE_IN_TIER = ("rate", "minimum_voucher_cny", "contract_cap_cny", "buyer_total_cny")
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\-]+)\s*\]\]?\s*(#.*)?")
_KEY = re.compile(r"\s*([A-Za-z0-9_\-]+)\s*=")
_SYNTAX = re.compile(r"(.*) \(at line (\d+), column (\d+)\)|(.*) \(at end of document\)")


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


def _money(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError('write an amount in CNY as a string, such as "10000"')  # noqa: TRY004 - told by pydantic
    parse_cny(value)
    return value


def _rate(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError('write a rate as a string, such as "0.5"')  # noqa: TRY004 - told by pydantic
    try:
        ppm(Decimal(value))
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a decimal rate") from None
    return value


def _day(value: object) -> object:
    """A day is TOML's own date or, where a clearing's stored configuration is read back, its text."""
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is not a day such as 2026-01-31") from None
    return value


Day = Annotated[date, BeforeValidator(_day)]
Cny = Annotated[str, BeforeValidator(_money)]
Rate = Annotated[str, BeforeValidator(_rate)]
Kind = Literal["startup", "sme", "enterprise", "institute", "university"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Title(_Frozen):
    """A programme's name in two languages."""

    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)


class Claim(_Frozen):
    """Who claims what was redeemed, how often and with which proofs."""

    by: Literal["supplier", "buyer"]
    cadence: Literal["month", "quarter", "half_year", "year"] = "quarter"
    proofs: tuple[str, ...] = Field(default=(), strict=False)


class Clause(_Frozen):
    """Conditions on a buyer that hold together; a tier is open to whoever meets one of its clauses."""

    kinds: tuple[Kind, ...] = Field(default=(), strict=False)
    min_prior_year_revenue_cny: Cny | None = None
    integrity: Literal["clean"] | None = None
    project_lead: tuple[Literal["provincial", "national"], ...] = Field(default=(), strict=False)
    registered_cities: tuple[str, ...] = Field(default=(), strict=False)


class Tier(_Frozen):
    """One set of rate, caps and eligibility in a programme."""

    id: str = Field(pattern=_ID.pattern, max_length=60)
    rate: Rate
    mode: Literal["fixed", "up_to"]
    minimum_voucher_cny: Cny = "0"
    contract_cap_cny: Cny | None = None
    buyer_total_cny: Cny | None = None
    clauses: tuple[Clause, ...] = Field(min_length=1, strict=False)

    @property
    def rate_ppm(self) -> int:
        """The rate in parts per million."""
        return ppm(Decimal(self.rate))


class Programme(_Frozen):
    """A voucher policy as data."""

    id: str = Field(pattern=_ID.pattern, max_length=60)
    version: int = Field(ge=1)
    title: Title
    grade: Literal["seed", "official", "press", "second_hand", "example"]
    sources: tuple[str, ...] = Field(min_length=1, strict=False)
    time_zone: str
    valid_from: Day | None = None
    valid_to: Day | None = None
    base: Literal["contract", "settled_usage"]
    buyer_year_cny: Cny | None = None
    pool_year_cny: Cny | None = None
    partners_only: bool
    one_application_per_contract: bool = True
    reserve_fund: bool = False
    stacks_with: tuple[str, ...] = Field(default=(), strict=False)
    stacking_ceiling: Rate | None = None
    claim: Claim
    tiers: tuple[Tier, ...] = Field(min_length=1, strict=False)

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"{name!r} is not a time zone such as Asia/Shanghai") from None
        return name

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [tier.id for tier in self.tiers]
        if len(set(names)) != len(names):
            raise ValueError("two tiers have the same id")
        if self.valid_from is not None and self.valid_to is not None and self.valid_from > self.valid_to:
            raise ValueError("valid_to is before valid_from")
        return self

    @property
    def zone(self) -> ZoneInfo:
        """The time zone whose years and quarters count."""
        return ZoneInfo(self.time_zone)

    def numbers(self) -> dict[str, Any]:
        """Return the whole programme as JSON data, as a clearing's `config` keeps it."""
        return self.model_dump(mode="json", exclude_defaults=False)


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
        found = _SYNTAX.fullmatch(str(error))
        line = int(found[2]) if found is not None and found[2] else None
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


def load_programme(programme_id: str, settings: dict[str, str] | None = None) -> Programme:
    """Return a shipped programme, with some of its numbers overridden.

    Raises:
        ProgrammeError: if there is none of this id, or a setting is wrong.
    """
    return parse_programme(shipped_text(programme_id), programme_id, settings)
