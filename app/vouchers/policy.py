"""The schema of a programme file: what a voucher policy can say. `docs/vouchers/programmes.md` explains each key.

Money is decimal CNY in strings (`"10000"`), rates are decimals in strings (`"0.5"`): floats are refused.
"""

import re
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from app.kit.money import parse_cny, ppm
from app.vouchers.facts import ItemKind, Level

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_WORKLOAD = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")


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
Workload = Annotated[str, Field(pattern=f"^{_WORKLOAD.pattern}$", max_length=60)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
ProgrammeId = Annotated[str, Field(pattern=f"^{_ID.pattern}$", max_length=60)]
Many = Field(default=(), strict=False)
Days = Annotated[int, Field(ge=1, le=36_500)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Title(_Frozen):
    """A text in two languages."""

    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)


class Claim(_Frozen):
    """Who claims what was redeemed, how often and with which proofs.

    `within_days` after a period's end a claim for it may be made; without it there is no end.
    """

    by: Literal["supplier", "buyer"]
    cadence: Literal["month", "quarter", "half_year", "year"] = "quarter"
    proofs: tuple[str, ...] = Many
    within_days: Days | None = None


class Bonus(_Frozen):
    """A further voucher for a good outcome: a rate of what was redeemed, for a score of the evaluation (0–100)."""

    min_score: int = Field(ge=0, le=100)
    rate: Rate
    cap_cny: Cny | None = None


class Evaluation(_Frozen):
    """The desk looks at what came of a contract, at most so many days after its end; perhaps with a bonus."""

    within_days: Days
    bonus: Bonus | None = None


class Batch(_Frozen):
    """Suppliers that a programme names, by their registered names, from a day on."""

    batch: Name
    names: tuple[Name, ...] = Field(min_length=1, strict=False)
    valid_from: Day | None = None


class Centre(_Frozen):
    """A size that a supplier's centre must have; all that is given holds together."""

    min_pflops: int | None = Field(default=None, ge=1)
    more_racks_than: int | None = Field(default=None, ge=0)
    supercomputing: Literal[True] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.min_pflops is None and self.more_racks_than is None and self.supercomputing is None:
            raise ValueError("give min_pflops, more_racks_than or supercomputing")
        return self


class Suppliers(_Frozen):
    """Conditions on the supplier, besides `partners_only`.

    Attributes:
        not_affiliated: it is not affiliated with the buyer.
        batches: the batches of the partner list that count; all where none is named.
        partners: partners named by the programme itself, besides those on the list that the desk keeps.
        centres: sizes of its centre, of which one must hold; partners are held to have it.
    """

    not_affiliated: bool = False
    batches: tuple[Name, ...] = Many
    partners: tuple[Batch, ...] = Many
    centres: tuple[Centre, ...] = Many


class Stack(_Frozen):
    """Another subsidy that may be had on the same contract: a programme of ours, or any of a level.

    Attributes:
        with_programme: the other programme's id (`with` in a file).
        with_level: or whose it is.
        mode: `automatic`, or given only where the buyer applied for it.
        domestic: only on domestic chips (true) or on others (false).
        rate: what this programme gives on top; its tiers' own rates without it.
        ceiling: the most that all of them give together, as a part of the base.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    with_programme: ProgrammeId | None = Field(default=None, alias="with")
    with_level: Level | None = None
    mode: Literal["automatic", "on_application"] = "automatic"
    domestic: bool | None = None
    rate: Rate | None = None
    ceiling: Rate | None = None

    @model_validator(mode="after")
    def _one_other(self) -> Self:
        if (self.with_programme is None) == (self.with_level is None):
            raise ValueError("give either with (a programme) or with_level")
        return self


class Clause(_Frozen):
    """Conditions on a buyer that hold together; a tier is open to whoever meets one of its clauses."""

    kinds: tuple[Kind, ...] = Many
    min_prior_year_revenue_cny: Cny | None = None
    max_prior_year_revenue_cny: Cny | None = None
    integrity: Literal["clean"] | None = None
    clean_years: int | None = Field(default=None, ge=1, le=50)
    project_lead: tuple[Literal["provincial", "national"], ...] = Many
    registered_cities: tuple[str, ...] = Many


class RateRow(_Frozen):
    """A rate that takes the tier's place where all of its conditions hold; of a tier's rows the first that does.

    `max_year_contracts_cny` counts the buyer's contracts of the year on record and the whole request of this one.
    """

    rate: Rate
    domestic: bool | None = None
    kinds: tuple[Kind, ...] = Many
    workloads: tuple[Workload, ...] = Many
    min_contract_cny: Cny | None = None
    max_contract_cny: Cny | None = None
    max_year_contracts_cny: Cny | None = None


class Tier(_Frozen):
    """One set of rate, caps and eligibility in a programme.

    `buyer_total_cny` is what one buyer gets under the tier in all years, `project_total_cny` what one project does.
    """

    id: ProgrammeId
    rate: Rate
    mode: Literal["fixed", "up_to"]
    minimum_voucher_cny: Cny = "0"
    contract_cap_cny: Cny | None = None
    buyer_total_cny: Cny | None = None
    project_total_cny: Cny | None = None
    rates: tuple[RateRow, ...] = Many
    domestic: bool | None = None
    workloads: tuple[Workload, ...] = Many
    min_contract_cny: Cny | None = None
    max_contract_cny: Cny | None = None
    max_year_contracts_cny: Cny | None = None
    desk_checks: tuple[Title, ...] = Many
    clauses: tuple[Clause, ...] = Field(min_length=1, strict=False)

    @property
    def rate_ppm(self) -> int:
        """The rate where no row holds, in parts per million."""
        return ppm(Decimal(self.rate))

    @property
    def total_cny(self) -> str | None:
        """What one buyer gets under the tier at most; a project counts as its lead's only one, the stricter reading."""
        totals = [total for total in (self.buyer_total_cny, self.project_total_cny) if total is not None]
        return min(totals, key=parse_cny, default=None)


class Programme(_Frozen):
    """A voucher policy as data."""

    id: ProgrammeId
    version: int = Field(ge=1, le=1_000_000)
    title: Title
    grade: Literal["seed", "official", "press", "second_hand", "example"]
    sources: tuple[str, ...] = Field(min_length=1, strict=False)
    time_zone: str
    level: Level | None = None
    valid_from: Day | None = None
    valid_to: Day | None = None
    signed_from: Day | None = None
    signed_to: Day | None = None
    applied_in_year_of_signing: bool = True
    base: Literal["contract", "settled_usage"]
    excluded_items: tuple[ItemKind, ...] = Many
    max_term_days: Days | None = None
    buyer_year_cny: Cny | None = None
    pool_year_cny: Cny | None = None
    partners_only: bool
    suppliers: Suppliers = Suppliers()
    one_application_per_contract: bool = True
    voucher_valid_days: Days | None = None
    reserve_fund: bool = False
    reserve_fund_supplier_cny: Cny | None = None
    stacks_with: tuple[str, ...] = Many
    stacking_ceiling: Rate | None = None
    stacks: tuple[Stack, ...] = Many
    excludes: tuple[Level, ...] = Many
    desk_checks: tuple[Title, ...] = Many
    claim: Claim
    evaluation: Evaluation | None = None
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
        for first, last in (("valid_from", "valid_to"), ("signed_from", "signed_to")):
            begins, ends = getattr(self, first), getattr(self, last)
            if begins is not None and ends is not None and begins > ends:
                raise ValueError(f"{last} is before {first}")
        if set(self.excluded_items) >= {"compute"}:
            raise ValueError("excluded_items leaves no compute to subsidise")
        if any(stack.with_programme == self.id for stack in self.stacks) or self.id in self.stacks_with:
            raise ValueError("a programme does not stack with itself")
        if self.reserve_fund_supplier_cny is not None and not self.reserve_fund:
            raise ValueError("reserve_fund_supplier_cny needs reserve_fund = true")
        return self

    @property
    def zone(self) -> ZoneInfo:
        """The time zone whose years and quarters count."""
        return ZoneInfo(self.time_zone)

    @property
    def all_stacks(self) -> tuple[Stack, ...]:
        """What stacks with it, `stacks_with` too: automatic, under `stacking_ceiling`."""
        plain = (Stack.model_validate({"with": other, "ceiling": self.stacking_ceiling}) for other in self.stacks_with)
        return (*self.stacks, *plain)

    def numbers(self) -> dict[str, Any]:
        """Return the whole programme as JSON data, as a clearing's `config` keeps it."""
        return self.model_dump(mode="json", exclude_defaults=False)
