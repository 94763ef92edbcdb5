"""The limit of a run, in seconds or in work, its progress, and whether it was cancelled."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

WORK_UNIT: Final = 1_000_000
DEFAULT_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Report:
    """Where a run is: its phase, the best first objective and the bound so far, seconds since it began."""

    phase: str
    best: int | None
    bound: float | None
    seconds: float

    @property
    def gap(self) -> float | None:
        """(bound − best) / bound."""
        if self.best is None or self.bound is None:
            return None
        return 0.0 if self.bound <= 0 else max(0.0, (self.bound - self.best) / self.bound)


class CancelledError(Exception):
    """The run was cancelled from outside."""


class Watch:
    """Counts what a run uses. With a work limit the clock never decides anything."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        seconds: float | None,
        work: int | None,
        progress: Callable[[Report], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        self._clock = clock
        self._began = clock()
        self._seconds = seconds if work is not None or seconds is not None else DEFAULT_SECONDS
        self._work = work
        self._used = 0
        self._progress = progress
        self._cancelled = cancelled

    def add(self, work: int) -> None:
        """Count hours looked at."""
        self._used += work

    def seconds(self) -> float:
        """Return the seconds since the run began."""
        return self._clock() - self._began

    def spent(self, share: float) -> bool:
        """Return whether a share of the limit is used up.

        Raises:
            CancelledError: if the run was cancelled.
        """
        if self.cancelled():
            raise CancelledError
        if self._work is not None:
            return self._used >= share * self._work * WORK_UNIT
        return self._seconds is not None and self.seconds() >= share * self._seconds

    def fraction(self) -> float:
        """Return how much of the limit is used, 0 to 1."""
        if self._work is not None:
            return min(1.0, self._used / (self._work * WORK_UNIT))
        return min(1.0, self.seconds() / self._seconds) if self._seconds else 0.0

    def left(self, share: float) -> tuple[float | None, float | None]:
        """Return a share of what is left, as (seconds, work units); one of them is `None`."""
        if self._work is not None:
            return None, share * max(0.0, self._work - self._used / WORK_UNIT)
        seconds = self._seconds if self._seconds is not None else DEFAULT_SECONDS
        return share * max(0.0, seconds - self.seconds()), None

    def cancelled(self) -> bool:
        """Return whether the run was cancelled from outside."""
        return self._cancelled is not None and self._cancelled()

    def tell(self, phase: str, best: int | None, bound: float | None) -> None:
        """Report progress."""
        if self._progress is not None:
            self._progress(Report(phase, best, bound, self.seconds()))
