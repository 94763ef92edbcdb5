"""What-ifs of the service: offers otherwise, a stored clearing solved again, and two clearings compared."""

from typing import Any

import pytest

from app.kit.db import Database
from app.matching.clearing_run import run_next_clearing
from app.verification.service import verify
from tests.bazaar import Bazaar, keyed, refusal
from tests.conftest import Clock
from tests.matching.clearing.conftest import Run, ask, make_eligible, open_example, rows

pytestmark = pytest.mark.anyio


async def compare(bazaar: Bazaar, this: Any, other: Any, **query: Any) -> Any:
    answer = await bazaar.desk.client.get(f"/v1/clearings/{this['id']}/compare/{other['id']}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refused(bazaar: Bazaar, **body: Any) -> tuple[int, str]:
    sent = await bazaar.desk.client.post(
        "/v1/clearings", json={"mode": "dry_run", "work_limit": 5} | body, headers=keyed()
    )
    return refusal(sent)


async def test_offers_changed_for_a_dry_run(bazaar: Bazaar, clear: Run, app_database: Database) -> None:
    cheap = await bazaar.offer(4, price_fen=800, list_price_fen=2000, end=12)
    dear = await bazaar.offer(4, price_fen=900, list_price_fen=2000, end=12)
    request = await bazaar.request(deadline=bazaar.at(12))
    base = await clear(mode="dry_run")
    assert [row["offer_id"] for row in await rows(bazaar, base)] == [cheap["id"]]
    withheld = await clear(mode="dry_run", offer_changes=[{"offer_id": cheap["id"], "cards_ppm": 0}])
    assert [row["offer_id"] for row in await rows(bazaar, withheld)] == [dear["id"]]
    assert withheld["options"]["offer_changes"][0]["offer_id"] == cheap["id"]
    found = await compare(bazaar, withheld, base)
    [difference] = found["requests"]
    assert difference["request_id"] == request["id"]
    assert (difference["effects"], difference["causes"]) == (["moved", "dearer"], ["offer_changed"])
    # 100 fen dearer x 4 cards x 10 hours.
    assert difference["surplus_gain_fen"] == -4000
    assert difference["this"]["offer_ids"] == [dear["id"]]
    assert found["totals"]["lost_fen"] == 4000
    assert [each["key"] for each in found["config"]] == [f"offer_changes.offer/{cheap['id']}"]
    assert found["market"]["offers"]["changed"] == [cheap["id"]]
    assert (await compare(bazaar, base, withheld))["totals"]["gained_fen"] == 4000
    assert (await compare(bazaar, withheld, base, most=0))["requests"] == []
    both = await clear(mode="dry_run", offer_changes=[{"supplier": bazaar.supplier.ref, "price_ppm": 3_000_000}])
    assert await rows(bazaar, both) == []
    assert all(finding.holds for finding in await verify(app_database))


async def test_a_stored_clearing_is_solved_again_though_the_market_has_moved_on(
    bazaar: Bazaar, worker_database: Database, clock: Clock, clear: Run, app_database: Database
) -> None:
    await open_example(worker_database, clock)
    await make_eligible(bazaar)
    offer = await bazaar.offer(8, price_fen=2000, list_price_fen=4000)
    request = await bazaar.request(cards=8, hours=48, max_net_price_fen=1500)
    base = await clear()
    assert base["result"]["reserved"] == 1
    assert (await clear(mode="dry_run"))["result"]["matches"] == 0
    again = await clear(mode="dry_run", base_clearing_id=base["id"])
    found = await compare(bazaar, again, base)
    assert found["same_instance"]
    assert (found["requests"], found["config"]) == ([], [])
    for kind in ("matches", "unmatched"):
        [*matches] = [{**row, "reservation_id": None} for row in await rows(bazaar, base, kind)]
        assert await rows(bazaar, again, kind) == matches
    dearer = await clear(
        mode="dry_run", base_clearing_id=base["id"], offer_changes=[{"offer_id": offer["id"], "price_fen": 2100}]
    )
    [difference] = (await compare(bazaar, dearer, again))["requests"]
    assert (difference["request_id"], difference["causes"][0]) == (request["id"], "offer_changed")
    assert all(finding.holds for finding in await verify(app_database))


async def test_rates_caps_and_programmes_of_a_stored_clearing(
    bazaar: Bazaar, worker_database: Database, clock: Clock, clear: Run
) -> None:
    await open_example(worker_database, clock, pool_fen=400_000)
    await make_eligible(bazaar)
    await bazaar.offer(8, price_fen=2000, list_price_fen=4000)
    await bazaar.request(cards=8, hours=48, max_net_price_fen=1500)
    base = await clear()
    [first] = await rows(bazaar, base)
    assert first["subsidy_fen"] > 0

    async def again(**numbers: str) -> Any:
        return await clear(
            mode="dry_run", base_clearing_id=base["id"], programmes=[{"id": "open-example", "set": numbers}]
        )

    low = await again(**{"general.rate": "0.25"})
    [cheaper] = await rows(bazaar, low)
    assert cheaper["subsidy_fen"] == 2000 * 8 * 48 // 4
    found = await compare(bazaar, low, base)
    assert found["requests"][0]["causes"] == ["subsidy_terms_changed"]
    assert [each["key"] for each in found["config"]] == ["programmes.open-example.tiers.general.rate"]
    poor = await again(pool_year_cny="1000")
    assert (await rows(bazaar, poor, "unmatched"))[0]["code"] in ("over_budget", "subsidy_exhausted")
    found = await compare(bazaar, poor, base)
    assert found["requests"][0]["effects"] == ["unmatched"]
    assert "budget_changed" in found["requests"][0]["causes"]
    [pool] = [each for each in found["budgets"] if "/pool/" in each["budget"]]
    assert (pool["this"]["limit_fen"], pool["other"]["limit_fen"]) == (100_000, 400_000)
    none = await clear(mode="dry_run", base_clearing_id=base["id"], programmes=[])
    assert await rows(bazaar, none) == []
    # What was used of the pool when the base was cleared stays used.
    await bazaar.request(cards=8, hours=48, max_net_price_fen=1500)
    later = await clear(mode="dry_run", programmes=[{"id": "open-example"}])
    left = 400_000 - first["subsidy_fen"]
    raised = await clear(
        mode="dry_run",
        base_clearing_id=later["id"],
        programmes=[{"id": "open-example", "set": {"pool_year_cny": "5000"}}],
    )
    [pool] = [row for row in await rows(bazaar, raised, "budgets") if "/pool/" in row["budget"]]
    assert pool["limit_fen"] == left + 100_000


async def test_bad_input_is_named(bazaar: Bazaar, worker_database: Database, clock: Clock, clear: Run) -> None:
    offer = await bazaar.offer(4)
    await bazaar.request()
    change = {"offer_id": offer["id"], "price_fen": 1}
    for changes, code in (
        ([{"price_fen": 1}], "offer_change_target"),
        ([change | {"supplier": "s"}], "offer_change_target"),
        ([{"offer_id": offer["id"]}], "offer_change_numbers"),
        ([change | {"price_ppm": 1}], "offer_change_numbers"),
        ([{"offer_id": offer["id"], "add_cards": 1, "cards_ppm": 1}], "offer_change_numbers"),
        ([change, change], "offer_changed_twice"),
        ([change | {"price_fen": -1}], "invalid"),
        ([change | {"price_fen": 1.5}], "invalid"),
        ([change | {"colour": 1}], "invalid"),
    ):
        assert await refused(bazaar, offer_changes=changes) == (422, code)
    assert await refused(bazaar, mode="apply", offer_changes=[change]) == (422, "dry_run_only")
    base = await clear(mode="dry_run")
    for body, code in (
        ({"mode": "apply"}, (422, "dry_run_only")),
        ({"filters": {"limit_requests": 1}}, (422, "base_has_filters")),
        ({"programmes": [{"id": "open-example"}]}, (422, "base_programme")),
        ({"base_clearing_id": base["id"][:-4] + "zzzz"}, (404, "not_found")),
        ({"base_clearing_id": offer["id"]}, (422, "invalid")),
    ):
        assert await refused(bazaar, **({"base_clearing_id": base["id"]} | body)) == code
    waiting = await ask(bazaar, mode="dry_run")
    assert await refused(bazaar, base_clearing_id=waiting["id"]) == (409, "no_outcome")
    assert await run_next_clearing(worker_database, clock)
    elsewhere = await clear(mode="dry_run", offer_changes=[{"supplier": "nobody", "price_fen": 1}])
    assert elsewhere["error"]["code"] == "input_refused"
    assert "'supplier/nobody' is no offer/REF or supplier/REF" in elsewhere["error"]["detail"]


async def test_a_wrong_number_of_a_bases_programme(
    bazaar: Bazaar, worker_database: Database, clock: Clock, clear: Run
) -> None:
    await open_example(worker_database, clock)
    await bazaar.offer(4)
    await bazaar.request()
    base = await clear(mode="dry_run")
    for numbers in ({"colour": "red"}, {"general.rate": "1.5"}):
        wrong = {"base_clearing_id": base["id"], "programmes": [{"id": "open-example", "set": numbers}]}
        assert await refused(bazaar, **wrong) == (422, "programme_setting")
