"""chengdu-2023 from end to end: fixed rates, a minimum, tiers with totals, and a programme that is valid for a time."""

import json
from datetime import date, timedelta
from typing import Any

import pytest

from app.kit.db import SYSTEM, Database
from app.verification.service import verify
from app.vouchers import service as vouchers
from app.vouchers.programmes import ProgrammeError, load_programme, programme_from_data, shipped_text
from tests.bazaar import Bazaar
from tests.conftest import Actor, Clock
from tests.matching.clearing.conftest import Run, rows

pytestmark = pytest.mark.anyio
DATED = "chengdu-dated"
VALID = "version = 1\nvalid_from = 2026-12-01\nvalid_to = 2026-12-31"


def dated(**days: str) -> str:
    text = shipped_text("chengdu-2023").replace('"chengdu-2023"', f'"{DATED}"')
    return text.replace("version = 1", VALID.replace("2026-12-01", days.get("since", "2026-12-01")))


def test_a_programme_with_days_is_read_back_from_its_numbers() -> None:
    stored = load_programme("chengdu-2023").model_copy(update={"valid_from": date(2026, 12, 1)})
    numbers = json.loads(json.dumps(stored.numbers()))
    assert numbers["valid_from"] == "2026-12-01"
    assert programme_from_data(numbers, "stored") == stored
    for wrong in ("2026-13-01", "yesterday", 20261201, True, "2026-12-01T00:00:00Z"):
        with pytest.raises(ProgrammeError, match="valid_from"):
            programme_from_data(numbers | {"valid_from": wrong}, "stored")


@pytest.fixture
async def chengdu(bazaar: Bazaar, worker_database: Database, clock: Clock) -> Bazaar:
    """The programme open for the year, a partner supplier, and a buyer that meets the general tier's first clause."""
    async with worker_database.write(SYSTEM) as session:
        await vouchers.store_shipped_programmes(session, clock() - timedelta(days=1))
        await vouchers.store_programmes(session, [dated()], clock())
        for programme in ("chengdu-2023", DATED):
            await vouchers.open_programme(
                session, programme, 2026, pool_fen=None, buyer_year_fen=3_000_000, now=clock()
            )
    await state(bazaar, bazaar.supplier, "partner", True)
    for key, value in (("kind", "startup"), ("integrity", "clean"), ("prior_year_revenue_fen", 1_000_000_000)):
        await state(bazaar, bazaar.buyer, key, value)
    await bazaar.offer(8, price_fen=10_000, list_price_fen=30_000, end=700)
    return bazaar


async def state(bazaar: Bazaar, actor: Actor, key: str, value: Any) -> None:
    org = (await actor.client.get("/v1/me")).json()["organisation"]["id"]
    body = {"key": key, "value": value, "valid_from": "2026-01-01"}
    made = await bazaar.desk.client.post(f"/v1/organisations/{org}/facts", json=body)
    assert made.status_code == 201, made.text


async def contract(bazaar: Bazaar, hours: int, most: int = 12_000) -> Any:
    """A request of one block of 8 cards, each hour of which costs 800 CNY."""
    return await bazaar.request(cards=8, hours=hours, max_net_price_fen=most, deadline=bazaar.at(700))


@pytest.mark.parametrize("programme", ["chengdu-2023", DATED])
async def test_it_is_cleared_applied_and_compared(
    chengdu: Bazaar, clear: Run, app_database: Database, programme: str
) -> None:
    small = await contract(chengdu, 24)  # 19 200 CNY: half is below the minimum of 10 000
    middle = await contract(chengdu, 30)  # 24 000 CNY: 12 000
    large = await contract(chengdu, 100)  # 80 000 CNY: half is 40 000, but of 30 000 a year 18 000 are left
    options = {"programmes": [{"id": programme}], "method": "fcfs"}
    dry = await clear(mode="dry_run", **options)
    assert dry["state"] == "succeeded", dry["error"]
    done = await clear(**options)
    assert done["state"] == "succeeded", done["error"]
    assert (done["result"]["reserved"], done["result"]["losers"]) == (3, [])
    given = {match["request_id"]: match["subsidies"] for match in await rows(chengdu, done)}

    def of(fen: int) -> list[dict[str, Any]]:
        return [{"programme": programme, "tier": "general", "amount_fen": fen}]

    assert given == {small["id"]: [], middle["id"]: of(1_200_000), large["id"]: of(1_800_000)}
    certificate = (await chengdu.desk.client.get(f"/v1/clearings/{done['id']}/certificate")).json()
    assert certificate["config"]["programmes"][0]["valid_to"] == ("2026-12-31" if programme == DATED else None)
    compared = (await chengdu.desk.client.get(f"/v1/clearings/{dry['id']}/compare/{done['id']}")).json()
    assert compared["same_instance"] is True
    assert (compared["this"]["subsidy_fen"], compared["other"]["subsidy_fen"]) == (3_000_000, 3_000_000)
    findings = await verify(app_database)
    assert [finding.told for finding in findings if not finding.holds] == []


async def test_the_engine_clears_it_too(chengdu: Bazaar, clear: Run, app_database: Database) -> None:
    await contract(chengdu, 30)
    helped = await contract(chengdu, 40, most=5_000)
    done = await clear(programmes=[{"id": DATED}])
    assert done["state"] == "succeeded", done["error"]
    found = {match["request_id"]: match["subsidy_fen"] for match in await rows(chengdu, done)}
    assert found[helped["id"]] == 1_600_000
    assert sum(found.values()) <= 3_000_000
    assert [finding.told for finding in await verify(app_database) if not finding.holds] == []


async def test_before_its_first_day_and_after_its_last_it_gives_nothing(
    chengdu: Bazaar, clear: Run, clock: Clock
) -> None:
    await contract(chengdu, 30)
    clock.now -= timedelta(hours=8, minutes=31)  # 23:59 of 30 November in Shanghai
    options = {"mode": "dry_run", "programmes": [{"id": DATED}]}
    before = await clear(**options)
    assert [match["subsidies"] for match in await rows(chengdu, before)] == [[]]
    clock.advance(minutes=1)
    first = await clear(**options)
    assert [match["subsidy_fen"] for match in await rows(chengdu, first)] == [1_200_000]
