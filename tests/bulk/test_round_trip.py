import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.bulk.conftest import market, rows_of
from tests.conftest import SHARED

pytestmark = pytest.mark.anyio

EVERYTHING = ["offers", "requests", "buyers", "suppliers", "chips"]
TIMES = ("submitted_at", "earliest_start", "deadline", "available_from", "available_to")
NUMBERS = (
    "cards",
    "cards_per_node",
    "list_price_cny",
    "price_cny",
    "interconnect_gbps",
    "hours",
    "max_net_price_cny",
    "priority",
    "blocks",
    "min_blocks",
    "prior_year_revenue_cny",
    "fp16_tflops",
    "memory_gb",
)


def values(row: dict[str, str], by: timedelta = timedelta(0)) -> dict[str, object]:
    """A row by value: times as instants moved by `by`, numbers as numbers."""
    found: dict[str, object] = {}
    for column, cell in row.items():
        if column in TIMES:
            found[column] = datetime.fromisoformat(cell).astimezone(UTC) + by
        elif column in NUMBERS and cell:
            found[column] = Decimal(cell)
        else:
            found[column] = cell
    return found


async def test_a_market_comes_back_equal_in_value(desk, send_import, send_export) -> None:
    files = market()
    made = await send_import(desk, files)
    assert made["state"] == "succeeded", made
    assert made["error"] is None
    assert {name: counts["inserted"] for name, counts in made["result"]["files"].items()} == dict.fromkeys(files, 1)
    export = await send_export(desk, format="csv", what=EVERYTHING)
    assert export["state"] == "succeeded", export
    for name, content in files.items():
        back = [values(row) for row in rows_of(export["contents"][name])]
        assert back == [values(row) for row in rows_of(content)]
        assert b"\r" not in export["contents"][name]


@pytest.mark.parametrize("name", ["philly-cn", "openb-fleet", "mixed-world"])
async def test_a_real_market_comes_back_equal_in_value(name, desk, send_import, send_export) -> None:
    folder = SHARED / "data" / "markets" / name
    if not folder.is_dir():
        pytest.skip("the shared markets are not here")
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.csv"))}
    files["chips.csv"] = (SHARED / "data" / "chips.csv").read_bytes()
    started = time.perf_counter()
    made = await send_import(desk, files, start_at="2026-12-01T00:00:00+08:00")
    seconds = time.perf_counter() - started
    assert made["state"] == "succeeded", made["error"]
    for file, counts in made["result"]["files"].items():
        assert counts == {"inserted": len(rows_of(files[file])), "changed": 0, "unchanged": 0, "skipped": 0}
    export = await send_export(desk, format="csv", what=EVERYTHING)
    by = datetime(2026, 11, 30, 16, tzinfo=UTC) - datetime(2026, 11, 1, 16, tzinfo=UTC)
    for file in ("offers.csv", "requests.csv", "buyers.csv", "suppliers.csv"):
        back = [values(row) for row in rows_of(export["contents"][file])]
        assert back == [values(row, by) for row in rows_of(files[file])]
    again = await send_import(desk, files, start_at="2026-12-01T00:00:00+08:00")
    assert again["state"] == "succeeded", again["error"]
    assert all(counts["unchanged"] == len(rows_of(files[file])) for file, counts in again["result"]["files"].items())
    print(f"{name}: {seconds:.1f} s")
    assert seconds < 30
