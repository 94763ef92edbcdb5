"""Real demand, imported, subsidised, cleared and applied over REST: what is held and earmarked is what was matched."""

import csv
import io
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from app.bulk.service import run_next_job
from app.kit.db import Database
from app.kit.time import floor_hour, format_rfc3339
from app.matching import clearing_run
from app.matching.clearing_run import run_next_clearing
from app.verification.service import verify
from tests.bazaar import keyed
from tests.conftest import SHARED, Actor, Clock
from tests.matching.clearing.conftest import open_example

LONG = os.environ.get("CARDHOUR_LONG") == "1"
MARKETS = SHARED / "data" / "markets"
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not MARKETS.is_dir(), reason="../shared/data/markets is not there"),
]


def files_of(name: str, limit: int | None) -> list[tuple[str, tuple[str, bytes]]]:
    """A market's files, and the chips; of the requests the first `limit` alone."""
    paths = [*sorted((MARKETS / name).glob("*.csv")), MARKETS.parent / "chips.csv"]
    return [("files", (path.name, path.read_bytes() if limit is None else first(path, limit))) for path in paths]


def first(path: Path, limit: int) -> bytes:
    if path.name != "requests.csv":
        return path.read_bytes()
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows[: limit + 1])
    return text.getvalue().encode()


async def every(by: Actor, path: str) -> list[Any]:
    """All rows of a list."""
    found: list[Any] = []
    after: dict[str, str] = {}
    while True:
        answer = await by.client.get(path, params={"limit": 100} | after)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["data"]
        if not page["has_more"]:
            return found
        after = {"after": page["next_cursor"]}


@pytest.fixture
def applied_in(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the transaction of each apply took, in seconds."""
    seconds: list[float] = []
    finish = clearing_run.finish

    async def timed(*args: Any) -> bool:
        begun = time.perf_counter()
        ended = await finish(*args)
        seconds.append(time.perf_counter() - begun)
        return ended

    monkeypatch.setattr(clearing_run, "finish", timed)
    return seconds


@pytest.mark.parametrize(
    ("limit", "effort"),
    [
        pytest.param(600, {"work_limit": 3}, id="first-600"),
        pytest.param(None, {"time_limit_s": 60}, id="whole", marks=pytest.mark.long),
    ],
)
async def test_philly_is_applied_to_the_fen(
    limit: int | None,
    effort: dict[str, int],
    desk: Actor,
    worker_database: Database,
    app_database: Database,
    clock: Clock,
    applied_in: list[float],
    capsys: pytest.CaptureFixture[str],
) -> None:
    if limit is None and not LONG:
        pytest.skip("it takes minutes: set CARDHOUR_LONG=1")
    begun = time.perf_counter()
    await open_example(worker_database, clock)
    sent = await desk.client.post(
        "/v1/imports", files=files_of("philly-cn", limit), data={"start_at": format_rfc3339(floor_hour(clock()))}
    )
    assert sent.status_code == 202, sent.text
    assert await run_next_job(worker_database, clock)
    imported = (await desk.client.get(sent.headers["location"])).json()
    assert imported["state"] == "succeeded", imported["error"]
    after_import = time.perf_counter()
    asked = await desk.client.post(
        "/v1/clearings",
        json={"mode": "apply", "programmes": [{"id": "open-example"}]} | effort,
        headers=keyed(),
    )
    assert asked.status_code == 202, asked.text
    assert await run_next_clearing(worker_database, clock)
    after_clearing = time.perf_counter()
    path = f"/v1/clearings/{asked.json()['id']}"
    done = (await desk.client.get(path)).json()
    assert done["state"] == "succeeded", done
    result = done["result"]
    assert (result["reserved"], result["losers"]) == (result["matches"], [])
    outcome = (await desk.client.get(f"{path}/certificate")).json()
    matches = await every(desk, f"{path}/matches")
    held = {row["id"]: row for row in await every(desk, "/v1/reservations")}
    assert len(outcome["matches"]) == len(matches) == len(held) == result["matches"] > 0
    for match in matches:
        row = held[match["reservation_id"]]
        for name in ("request_id", "offer_id", "block", "cards", "hours", "starts_at"):
            assert row[name] == match[name], name
        for name in ("cost_fen", "subsidy_fen", "net_fen"):
            assert row[name] == match[name], name
    earmarked: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for voucher in await every(desk, "/v1/vouchers"):
        assert voucher["state"] == "earmarked"
        earmarked[voucher["reservation_id"]].append(
            {name: voucher[name] for name in ("programme", "tier", "amount_fen")}
        )
    assert {match["reservation_id"]: match["subsidies"] for match in matches if match["subsidies"]} == earmarked
    given = sum(match["subsidy_fen"] for match in outcome["matches"])
    assert given == sum(each["amount_fen"] for vouchers in earmarked.values() for each in vouchers) > 0
    checked = time.perf_counter()
    findings = await verify(app_database)
    assert [finding.told for finding in findings if not finding.holds] == []
    assert next(finding for finding in findings if finding.name == "clearings").counted == 1
    [applying] = applied_in
    with capsys.disabled():
        print(
            f"\nphilly-cn, {limit or 'all'} requests: import {after_import - begun:.1f} s, "
            f"clearing {after_clearing - after_import:.1f} s of which the apply's transaction {applying:.2f} s "
            f"({len(held)} reservations, {len(earmarked)} vouchers, {given / 100:.2f} CNY; "
            f"gap {result['gap']:.4f}), verify {time.perf_counter() - checked:.1f} s"
        )
    assert applying < 60
