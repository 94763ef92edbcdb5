"""Put the clock of a document's run forward: `advance.py 20h`, `3d` or `next-quarter` (its second day, in Shanghai)."""

import os
import sys
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from app.kit.time import utc_now

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1)}


def later(now: datetime, by: str) -> datetime:
    """The moment that a document's comment names."""
    if by != "next-quarter":
        return now + int(by[:-1]) * _UNITS[by[-1]]
    local = now.astimezone(ZoneInfo("Asia/Shanghai"))
    month = (local.month - 1) // 3 * 3 + 4
    year, month = (local.year + 1, 1) if month > 12 else (local.year, month)
    return datetime(year, month, 2, 9, tzinfo=local.tzinfo)


if __name__ == "__main__":
    file = Path(os.environ["CARDHOUR_TEST_CLOCK"])
    passed = later(utc_now(), sys.argv[1]) - utc_now()
    file.write_text(str(int(file.read_text(encoding="ascii")) + round(passed.total_seconds())), encoding="ascii")
