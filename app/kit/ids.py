"""Identifiers: UUIDv7 in the database, TypeIDs (`offer_01h…`) at the edge.

A TypeID is `prefix_` + 26 characters of Crockford base32 of the 128 bits, as in the TypeID specification 0.3.
"""

from typing import Any, Final
from uuid import UUID

import uuid_utils.compat
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES: Final = {character: value for value, character in enumerate(_ALPHABET)}
_LENGTH: Final = 26


def new_id() -> UUID:
    """Return a new time-ordered identifier (UUIDv7)."""
    return uuid_utils.compat.uuid7()


def encode_id(prefix: str, value: UUID) -> str:
    """Return the TypeID of `value` under `prefix`."""
    number = value.int
    digits = [""] * _LENGTH
    for position in range(_LENGTH - 1, -1, -1):
        digits[position] = _ALPHABET[number & 31]
        number >>= 5
    return f"{prefix}_{''.join(digits)}"


def decode_id(prefix: str, text: str) -> UUID:
    """Return the UUID of a TypeID.

    Raises:
        ValueError: if the prefix differs or the suffix is not 26 base32 characters of at most 128 bits.
    """
    head, _, suffix = text.rpartition("_")
    if head != prefix or len(suffix) != _LENGTH or suffix[0] > "7":
        raise ValueError(f"not an identifier of the form {prefix}_…")
    number = 0
    for character in suffix:
        value = _VALUES.get(character)
        if value is None:
            raise ValueError(f"not an identifier of the form {prefix}_…")
        number = number << 5 | value
    return UUID(int=number)


class TypeId:
    """Pydantic metadata: a `UUID` in Python, a TypeID of this prefix in JSON, paths and queries."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def _parse(self, value: object) -> UUID:
        if isinstance(value, UUID):
            return value
        if isinstance(value, str):
            try:
                return decode_id(self.prefix, value)
            except ValueError:
                pass
        raise PydanticCustomError("type_id", "not an identifier of the form {prefix}_…", {"prefix": self.prefix})

    def __get_pydantic_core_schema__(self, source: type[Any], handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Parse strings and UUIDs; write strings."""
        return core_schema.no_info_plain_validator_function(
            self._parse,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: encode_id(self.prefix, value), return_schema=core_schema.str_schema()
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe the identifier as a patterned string."""
        example = encode_id(self.prefix, UUID("01936b7e-4c00-7000-8000-000000000001"))
        return {
            "type": "string",
            "pattern": f"^{self.prefix}_[0-7][{_ALPHABET}]{{25}}$",
            "examples": [example],
        }
