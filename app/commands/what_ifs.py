"""What-ifs on the command line: other numbers of a programme, other prices and cards of offers."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final

import typer

from app.kit.money import PPM, parse_cny
from app.matching.core.what_if import OFFER, SUPPLIER, OfferChange

Settings = Annotated[
    list[str] | None, typer.Option("--set", help="PROGRAMME.KEY=VALUE: another number for a what-if; repeatable.")
]
OfferSet = Annotated[
    list[str] | None,
    typer.Option(
        "--offer-set",
        help="offer/REF.price=8.50, supplier/REF.price=+10%, offer/REF.cards=-16 …: a what-if; repeatable.",
    ),
]
_KEYS: Final = "KEY one of price (8.50, +10% or -10%) and cards (+16, -16, +50% or -100%)"


def parse_settings(values: Sequence[str], programmes: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the overrides by programme and key.

    Raises:
        typer.BadParameter: naming the text that is none, or of a programme that is not given.
    """
    settings: dict[str, dict[str, str]] = {programme: {} for programme in programmes}
    for text in values:
        name, equals, value = text.partition("=")
        programme, dot, key = name.partition(".")
        if not equals or not dot:
            raise typer.BadParameter(f"{text!r} is not PROGRAMME.KEY=VALUE")
        if programme not in settings:
            raise typer.BadParameter(f"--set {text}: {programme!r} is not one of the --programme given")
        settings[programme][key] = value
    return settings


def parse_offer_changes(values: Sequence[str]) -> tuple[OfferChange, ...]:
    """Return the changes, those of one offer or supplier joined; in the order of their names.

    Raises:
        typer.BadParameter: naming the text that is none.
    """
    by_name: dict[str, dict[str, int]] = {}
    for text in values:
        target, equals, value = text.rpartition("=")
        name, dot, key = target.rpartition(".")
        if not equals or not dot or not name.startswith((OFFER, SUPPLIER)) or key not in ("price", "cards"):
            raise typer.BadParameter(f"--offer-set {text}: not offer/REF.KEY=VALUE or supplier/REF.KEY=VALUE, {_KEYS}")
        number, amount = _offer_number(text, key, value)
        if by_name.setdefault(name, {}).setdefault(number, amount) != amount:
            raise typer.BadParameter(f"--offer-set {text}: {key} of {name} is set twice")
    return tuple(OfferChange(name, **numbers) for name, numbers in sorted(by_name.items()))


def _offer_number(text: str, key: str, value: str) -> tuple[str, int]:
    """Return what a value such as 8.50, +10% or -16 changes, and to what."""
    try:
        if value.endswith("%") and value[0] in "+-":
            return f"{key}_ppm", _whole(PPM + Decimal(value[:-1]) * PPM / 100)
        if key == "cards" and value[:1] in ("+", "-"):
            return "add_cards", int(value)
        if key == "price":
            return "price_fen", parse_cny(value)
    except (ValueError, InvalidOperation):
        pass
    raise typer.BadParameter(f"--offer-set {text}: {value!r} is not a number that {key} takes, {_KEYS}")


def _whole(value: Decimal) -> int:
    if value != value.to_integral_value():
        raise ValueError
    return int(value)
