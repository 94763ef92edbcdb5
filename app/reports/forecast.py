"""When a pool is used up if it goes on as lately: pure arithmetic on what was drawn in a window.

Method (`recent_pace`), with all times of the ledger:

    drawn = left at the window's begin − left now      (issues and open earmarks, less what came back)
    used up at = now + left × window ÷ drawn           (the first whole second at which nothing is left)

The window is the last so many days, but never begins before the pool was opened and is never shorter than a day.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)


class Verdict(StrEnum):
    """What the pace comes to."""

    RUNS_OUT = "runs_out"
    LASTS = "lasts"
    NO_PACE = "no_pace"
    USED_UP = "used_up"
    YEAR_OVER = "year_over"
    NO_CAP = "no_cap"


@dataclass(frozen=True, slots=True)
class Pace:
    """What was drawn of a pool in a window, in fen; negative where more came back."""

    since: datetime
    until: datetime
    drawn_fen: int

    @property
    def seconds(self) -> int:
        """The window's length."""
        return (self.until - self.since) // _SECOND

    @property
    def fen_per_day(self) -> int:
        """Fen a day, rounded down."""
        return self.drawn_fen * (DAY // _SECOND) // self.seconds


@dataclass(frozen=True, slots=True)
class Forecast:
    """A verdict; `used_up_at` where it runs out within its year, `left_at_year_end_fen` where it lasts."""

    verdict: Verdict
    used_up_at: datetime | None = None
    left_at_year_end_fen: int | None = None


def window_of(now: datetime, opened_at: datetime, days: int) -> datetime:
    """Return where the window of the last so many days begins."""
    return min(max(now - days * DAY, opened_at), now - DAY)


def forecast(left_fen: int | None, pace: Pace, year_end: datetime) -> Forecast:
    """Return what becomes of a pool at a pace.

    Args:
        left_fen: what is left of it now, open earmarks counted; None where it has no cap.
        pace: of the window that ends now.
        year_end: when the pool's year is over; what is left then is not used.
    """
    if left_fen is None:
        return Forecast(Verdict.NO_CAP)
    if pace.until >= year_end:
        return Forecast(Verdict.YEAR_OVER)
    if left_fen <= 0:
        return Forecast(Verdict.USED_UP)
    if pace.drawn_fen <= 0:
        return Forecast(Verdict.NO_PACE)
    seconds = -(-left_fen * pace.seconds // pace.drawn_fen)
    to_come = -(-(year_end - pace.until) // _SECOND)
    if seconds < to_come:
        return Forecast(Verdict.RUNS_OUT, used_up_at=pace.until + seconds * _SECOND)
    return Forecast(Verdict.LASTS, left_at_year_end_fen=left_fen - pace.drawn_fen * to_come // pace.seconds)
