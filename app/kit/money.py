"""Money in integer fen, rates in whole parts per million; every rounding of the project is here.

Billing never drifts: a line is the rounded total so far less what was billed before. Subsidies round down.
"""

import re
from decimal import Decimal
from typing import Final

PPM: Final = 1_000_000
HOURS_PER_INSTANCE_MONTH: Final = 730
MAX_FEN: Final = 10**15
_CNY = re.compile(r"(0|[1-9][0-9]{0,12})(?:\.([0-9]{1,2}))?", re.ASCII)


def parse_cny(text: str) -> int:
    """Return the fen of a decimal CNY text such as `12`, `12.5` or `12.50`.

    Raises:
        ValueError: if it is not a plain non-negative decimal of at most two places.
    """
    match = _CNY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an amount in CNY with at most two decimals")
    whole, cents = match.groups()
    return int(whole) * 100 + int((cents or "0").ljust(2, "0"))


def format_cny(fen: int) -> str:
    """Return an amount in fen as decimal CNY with two places: `1234` → `12.34`."""
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def round_half_up(numerator: int, denominator: int) -> int:
    """Return numerator / denominator rounded half up, for non-negative integers."""
    return (2 * numerator + denominator) // (2 * denominator)


def cost_fen(price_fen_per_card_hour: int, cards: int, hours: int) -> int:
    """Return what `cards` for whole `hours` cost at a price in fen per card-hour."""
    return price_fen_per_card_hour * cards * hours


def ppm(rate: Decimal) -> int:
    """Return a rate such as `Decimal("0.5")` as whole parts per million.

    Raises:
        ValueError: if the rate is outside 0…1 or finer than one part per million.
    """
    scaled = rate * PPM
    if not 0 <= scaled <= PPM or scaled != scaled.to_integral_value():
        raise ValueError(f"{rate} is not a rate between 0 and 1 in whole parts per million")
    return int(scaled)


def floor_rate(rate_ppm: int, amount_fen: int) -> int:
    """Return ⌊rate × amount⌋ in fen."""
    return rate_ppm * amount_fen // PPM


def card_hour_fen_from_instance_month(fen_per_month: int, cards_per_node: int) -> int:
    """Return the price per card-hour, rounded half up, of a node posted per instance-month of 730 hours."""
    return round_half_up(fen_per_month, HOURS_PER_INSTANCE_MONTH * cards_per_node)
