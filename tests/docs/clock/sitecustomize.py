"""A clock that documents put forward: in every Python process of a document's run, the service's, worker's and ours.

The file that CARDHOUR_TEST_CLOCK names has the seconds that have passed beyond the real ones. All else is as it is.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import app.kit.time

_FILE = Path(os.environ["CARDHOUR_TEST_CLOCK"])


def _now() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=int(_FILE.read_text(encoding="ascii")))


# Before any module takes it by name.
app.kit.time.utc_now = _now
