"""API keys: `chk_` + 8 characters to recognise it by + 32 random + 6 of a checksum; only a keyed hash is stored."""

import hmac
import secrets
import zlib
from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_HEAD: Final = "chk_"
_PREFIX, _SECRET, _CHECK = 8, 32, 6


def new_key() -> str:
    """Return a new key; it is shown once and never stored."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_PREFIX + _SECRET))
    return f"{_HEAD}{body}{_checksum(body)}"


def key_prefix(key: str) -> str:
    """Return the part by which people recognise a key: `chk_` and eight characters."""
    return key[: len(_HEAD) + _PREFIX]


def is_well_formed(key: str) -> bool:
    """Tell whether a text could be a key of ours, without asking the database."""
    body, check = key[len(_HEAD) : -_CHECK], key[-_CHECK:]
    return (
        key.isascii()
        and len(key) == len(_HEAD) + _PREFIX + _SECRET + _CHECK
        and key.startswith(_HEAD)
        and hmac.compare_digest(check, _checksum(body))
    )


def key_digest(key: str, secret: bytes) -> bytes:
    """Return the keyed hash (HMAC-SHA-256, 32 bytes) by which a key is found."""
    return hmac.digest(secret, b"cardhour key\0" + key.encode(), "sha256")


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(_CHECK):
        number, digit = divmod(number, len(_ALPHABET))
        digits += _ALPHABET[digit]
    return digits
