"""The sample market, imported, subsidised and cleared by the worker, as `make demo` does it."""

from pathlib import Path

import pytest

from app.bulk.service import run_next_job
from app.catalog.repository import add_missing_chips
from app.catalog.shipped import shipped_chips
from app.kit.db import SYSTEM, Database
from app.kit.time import floor_hour, format_rfc3339
from app.matching.clearing_run import run_next_clearing
from app.verification.service import verify
from tests.bazaar import keyed
from tests.conftest import Actor, Clock
from tests.matching.clearing.conftest import open_example

pytestmark = pytest.mark.anyio
MARKET = Path(__file__).resolve().parents[3] / "app" / "demo" / "market"


async def test_the_sample_market_is_cleared_with_subsidies(
    desk: Actor, worker_database: Database, app_database: Database, clock: Clock
) -> None:
    await open_example(worker_database, clock)
    async with worker_database.write(SYSTEM) as session:
        await add_missing_chips(session, shipped_chips())
    paths = sorted(MARKET.glob("*.csv"))
    sent = await desk.client.post(
        "/v1/imports",
        files=[("files", (path.name, path.read_bytes())) for path in paths],
        data={"start_at": format_rfc3339(floor_hour(clock()))},
    )
    assert sent.status_code == 202, sent.text
    assert await run_next_job(worker_database, clock)
    imported = (await desk.client.get(sent.headers["location"])).json()
    assert imported["state"] == "succeeded", imported["error"]
    asked = await desk.client.post(
        "/v1/clearings",
        json={"mode": "apply", "programmes": [{"id": "open-example"}], "work_limit": 50},
        headers=keyed(),
    )
    assert asked.status_code == 202, asked.text
    assert await run_next_clearing(worker_database, clock)
    path = f"/v1/clearings/{asked.json()['id']}"
    done = (await desk.client.get(path)).json()
    assert done["state"] == "succeeded", done
    result = done["result"]
    assert result["matches"] == result["reserved"] > 30
    assert result["objective_fen"] <= result["bound_fen"]
    outcome = (await desk.client.get(f"{path}/certificate")).json()
    given = sum(match["subsidy_fen"] for match in outcome["matches"])
    assert given > 0
    earmarked = 0
    after = None
    while True:
        page = (
            await desk.client.get("/v1/vouchers", params={"limit": 100} | ({"after": after} if after else {}))
        ).json()
        earmarked += sum(voucher["amount_fen"] for voucher in page["data"])
        after = page["next_cursor"]
        if not page["has_more"]:
            break
    assert earmarked == given
    findings = await verify(app_database)
    assert [finding.told for finding in findings if not finding.holds] == []
    assert next(finding for finding in findings if finding.name == "clearings").counted == 1
