"""What is billed: pure functions of metered card-seconds. Nothing drifts, however a delivery is cut into periods.

A line is the rounded total so far less what was billed before. A contract that is paid as delivered owes the metered
card-seconds of its reports in force; one that is paid ahead owes all that is reserved, less what reported periods fell
short by. Both are totals, so a correction, an early end and an extension need no rule of their own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from app.kit.money import round_half_up

SECONDS_PER_HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class Metered:
    """A delivery report in force: how long its period is, in seconds, and what was delivered in it."""

    seconds: int
    card_seconds: int


def billed_total_fen(price_fen: int, card_seconds: int) -> int:
    """Return what so many card-seconds cost in all at a price in fen per card-hour, rounded half up."""
    return round_half_up(price_fen * card_seconds, SECONDS_PER_HOUR)


def line_fen(price_fen: int, card_seconds: int, billed_fen: int) -> int:
    """Return the next line: the total of so many card-seconds less what was billed; negative where too much was."""
    return billed_total_fen(price_fen, card_seconds) - billed_fen


def delivered_card_seconds(reports: Iterable[Metered]) -> int:
    """Return the card-seconds that a contract in arrears owes: those metered."""
    return sum(report.card_seconds for report in reports)


def paid_ahead_card_seconds(cards: int, reserved_seconds: int, reports: Iterable[Metered]) -> int:
    """Return the card-seconds that a prepaid contract owes: all that is reserved, less what reports fell short by.

    Args:
        cards: how many are reserved.
        reserved_seconds: from the reservation's start to its end.
        reports: those in force, each within the reservation and of at most `cards × seconds`.
    """
    return cards * reserved_seconds - sum(cards * report.seconds - report.card_seconds for report in reports)
