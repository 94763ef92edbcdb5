"""The shapes every package's schemas are built from: strict input, moments, money, whole numbers."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from app.kit.money import MAX_FEN
from app.kit.time import EARLIEST, LATEST, floor_hour, format_rfc3339


class Input(BaseModel):
    """A body from outside: unknown fields are refused, numbers are never taken from text or fractions."""

    model_config = ConfigDict(extra="forbid", strict=True, str_strip_whitespace=True)


class Output(BaseModel):
    """An answer; built from rows or records by attribute."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)


def _text_moment(value: Any) -> Any:
    """Numbers would be taken for Unix times; a moment is a text with an offset."""
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    if isinstance(value, datetime):
        return value
    raise PydanticCustomError("datetime_parsing", "Input should be an RFC 3339 time with offset")


def _in_range(value: datetime) -> datetime:
    if not EARLIEST <= value <= LATEST:
        raise PydanticCustomError("datetime_out_of_range", "Input should lie between the years 2000 and 2200")
    return value.astimezone(UTC)


def _whole_hour(value: datetime) -> datetime:
    if floor_hour(value) != value:
        raise PydanticCustomError("not_whole_hour", "Input should be on a whole hour (UTC)")
    return value


def _no_nul(value: str) -> str:
    if "\x00" in value:
        raise PydanticCustomError("nul_character", "Input should not contain NUL characters")
    return value


Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_text_moment),
    AfterValidator(_in_range),
    PlainSerializer(format_rfc3339, return_type=str),
    Field(examples=["2026-12-01T09:00:00+08:00"]),
]
HourMoment = Annotated[Moment, AfterValidator(_whole_hour)]
Fen = Annotated[int, Field(strict=True, ge=0, le=MAX_FEN, description="integer fen (1/100 CNY)", examples=[850])]
PriceFen = Annotated[
    int, Field(strict=True, ge=0, le=100_000_000, description="integer fen per card-hour", examples=[850])
]
Cards = Annotated[int, Field(strict=True, ge=1, le=100_000, examples=[8])]
Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_no_nul)]
LongText = Annotated[str, Field(min_length=1, max_length=4000), AfterValidator(_no_nul)]


def _number(value: Any) -> Any:
    """A decimal comes as a JSON number; its shortest form is what the sender wrote."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("number_type", "Input should be a number")
    return Decimal(value) if isinstance(value, int) else Decimal(repr(value))


def json_number(value: Decimal) -> int | float:
    """Return a decimal as the JSON number that reads back equal: whole where it is whole."""
    return int(value) if value == value.to_integral_value() else float(value)


_as_number = PlainSerializer(json_number, return_type=int | float, when_used="json")
Number = Annotated[Decimal, BeforeValidator(_number), _as_number, WithJsonSchema({"type": "number"})]
Hours = Annotated[
    Decimal,
    BeforeValidator(_number),
    Field(gt=0, le=20_000, decimal_places=6),
    _as_number,
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 20_000, "examples": [72, 36.5]}),
]
Quantity = Annotated[
    Decimal,
    BeforeValidator(_number),
    Field(gt=0, le=1_000_000, decimal_places=3),
    _as_number,
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000, "examples": [80]}),
]


def _without_null(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Describe fields that may be left out but not be null, which pydantic can't tell apart by type."""
    nullable: frozenset[str] = getattr(model, "nullable", frozenset())
    for name, field in schema["properties"].items():
        if name in nullable:
            continue
        field.pop("default", None)
        options = [option for option in field.pop("anyOf", ()) if option != {"type": "null"}]
        for option in options:
            field.update({key: value for key, value in option.items() if key not in field})


class Patch(Input):
    """A partial edit: fields left out stay; null is refused but for those in `nullable`, where it means unknown."""

    model_config = ConfigDict(json_schema_extra=_without_null)
    nullable: ClassVar[frozenset[str]] = frozenset()

    @field_validator("*", mode="before")
    @classmethod
    def _null_says_something(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None and info.field_name not in cls.nullable:
            raise PydanticCustomError("null", "Leave the field out to keep it as it is; it can't be null")
        return value
