"""Capacity and what is taken of it, as step functions of time. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Segment:
    """An interval `[starts_at, ends_at)` in which neither capacity nor reservations change; quantities in cards."""

    starts_at: datetime
    ends_at: datetime
    total: int
    reserved: int

    @property
    def free(self) -> int:
        """Cards that nobody holds."""
        return self.total - self.reserved


def segments(
    steps: Sequence[tuple[datetime, int]],
    usage: Sequence[tuple[datetime, int]],
    low: datetime,
    high: datetime,
) -> list[Segment]:
    """Return the longest intervals of `[low, high)` in which nothing changes.

    Args:
        steps: the capacity: from each moment on, so many cards, ascending.
        usage: what is reserved, likewise.
        low: where to begin.
        high: where to end.
    """
    moments = sorted({low, high, *(at for at, _ in (*steps, *usage) if low < at < high)})
    found: list[Segment] = []
    totals, taken = _Levels(steps), _Levels(usage)
    for starts_at, ends_at in pairwise(moments):
        total, reserved = totals.at(starts_at), taken.at(starts_at)
        before = found[-1] if found else None
        if before is not None and (before.total, before.reserved) == (total, reserved):
            found[-1] = Segment(before.starts_at, ends_at, total, reserved)
        else:
            found.append(Segment(starts_at, ends_at, total, reserved))
    return found


class _Levels:
    """A step function read at ascending moments."""

    def __init__(self, steps: Sequence[tuple[datetime, int]]) -> None:
        self._steps = steps
        self._next = 0
        self._level = 0

    def at(self, moment: datetime) -> int:
        while self._next < len(self._steps) and self._steps[self._next][0] <= moment:
            self._level = self._steps[self._next][1]
            self._next += 1
        return self._level
