"""Applications: made at the confirmation, decided by the rules where they can, else by the desk; each refusal."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.kit.db import SYSTEM, Database
from app.vouchers.models import TURNS
from tests.bazaar import keyed, refusal
from tests.conftest import MakeActor
from tests.contracts.bureau import CAP, COST, POOL, Bureau, component

pytestmark = pytest.mark.anyio
REJECT = {"reason": "desk_check_failed", "detail": "Not won together."}


async def test_the_rules_decide_at_once_where_they_can(bureau: Bureau) -> None:
    done = await bureau.confirmed(component(10_000))
    application = await bureau.application(done)
    assert (application["state"], application["decided_by"], application["amount_fen"]) == ("approved", "rules", 10_000)
    assert all(clause["met"] for clause in application["clauses"])
    assert {"integrity", "contract_year", "application"} <= {clause["name"] for clause in application["clauses"]}
    assert {step["name"]: step["amount_fen"] for step in application["arithmetic"]}["rate"] == COST // 2
    voucher = await bureau.voucher(done)
    assert (voucher["state"], voucher["issued_fen"], voucher["left_fen"], voucher["rate_ppm"]) == (
        "issued",
        10_000,
        10_000,
        500_000,
    )
    assert [step["state"] for step in voucher["history"]] == ["earmarked", "issued"]
    assert (done["subsidy_fen"], done["net_fen"]) == (10_000, COST - 10_000)
    assert await bureau.left() == (POOL - 10_000, CAP - 10_000)


async def test_no_more_is_issued_than_the_rule_gives_and_the_rest_is_released(bureau: Bureau) -> None:
    done = await bureau.confirmed(component(20_000))  # the rule: half of 34 000
    assert (await bureau.application(done))["amount_fen"] == COST // 2
    assert (done["subsidy_fen"], done["net_fen"]) == (COST // 2, COST // 2)
    assert await bureau.left() == (POOL - COST // 2, CAP - COST // 2)


async def test_the_rules_refuse_and_name_the_clause_in_both_languages(bureau: Bureau) -> None:
    await bureau.fact("integrity", "flagged", "2026-11-01")
    done = await bureau.confirmed(component(10_000))
    application = await bureau.application(done)
    assert (application["state"], application["decided_by"]) == ("rejected", "rules")
    assert application["reason"]["code"] == "clause_unmet"
    assert "the integrity record: flagged, needed clean" in application["reason"]["told"]
    path = f"/v1/voucher-applications/{application['id']}"
    told = (await bureau.bazaar.buyer.client.get(path, headers={"Accept-Language": "zh-CN"})).json()["reason"]["told"]
    assert "信用记录：有不良记录，要求 良好" in told
    assert (done["state"], done["subsidy_fen"], done["net_fen"]) == ("confirmed", 0, COST)
    assert (await bureau.voucher(done))["state"] == "rejected"
    assert await bureau.left() == (POOL, CAP)


async def test_facts_count_as_of_the_signing(bureau: Bureau) -> None:
    await bureau.fact("integrity", "flagged", "2026-12-02")
    done = await bureau.confirmed(component(10_000))
    assert (await bureau.application(done))["state"] == "approved"


async def test_vouchers_that_stack_have_an_application_each(bureau: Bureau) -> None:
    done = await bureau.confirmed(component(9_000, programme="one"), component(8_000, programme="two"))
    states = {each["programme"]: each["state"] for each in (await bureau.contract(done))["applications"]}
    assert states == {"one": "approved", "two": "approved"}
    assert done["subsidy_fen"] == 17_000


async def test_programmes_that_do_not_stack_are_refused_by_name(bureau: Bureau) -> None:
    done = await bureau.confirmed(component(9_000), component(8_000, programme="one"))
    application = await bureau.application(done, "made-up")
    assert [each["name"] for each in application["clauses"] if not each["met"]] == ["other_subsidy"]


async def test_the_desk_decides_what_the_facts_cant_tell(bureau: Bureau) -> None:
    bazaar = bureau.bazaar
    done = await bureau.confirmed(component(10_000, programme="checked"))
    [queued] = (await bazaar.desk.client.get("/v1/voucher-applications", params={"state": "submitted"})).json()["data"]
    assert (queued["state"], queued["decided_by"]) == ("submitted", None)
    assert queued["desk_checks"] == ["the project was won together"]
    assert done["subsidy_fen"] == 10_000
    approved = await bureau.turn(bazaar.desk, queued, "approve")
    assert approved.status_code == 200, approved.text
    assert (approved.json()["state"], approved.json()["decided_by"]) == ("approved", "desk")
    voucher = await bureau.voucher(done, by=bazaar.supplier)
    assert (voucher["state"], voucher["issued_fen"], voucher["expires_at"]) == (
        "issued",
        10_000,
        "2026-12-31T16:00:00Z",
    )
    assert await bureau.left("checked") == (POOL - 10_000, CAP - 10_000)


async def test_the_desk_may_grant_less_and_never_more(bureau: Bureau) -> None:
    done = await bureau.confirmed(component(10_000, programme="checked"))
    application, desk = await bureau.application(done), bureau.bazaar.desk
    more = await bureau.turn(desk, application, "approve", {"amount_fen": 10_001})
    assert refusal(more) == (422, "amount_above_rule")
    for bad in (0, -1, 99.5, "100"):
        assert refusal(await bureau.turn(desk, application, "approve", {"amount_fen": bad}))[0] == 422
    less = await bureau.turn(desk, application, "approve", {"amount_fen": 4_000})
    assert less.json()["amount_fen"] == 4_000
    assert (await bureau.bazaar.read(done))["subsidy_fen"] == 4_000
    assert await bureau.left("checked") == (POOL - 4_000, CAP - 4_000)


async def test_what_the_rules_refuse_the_desk_cant_grant(bureau: Bureau) -> None:
    done = await bureau.confirmed(component(10_000, programme="checked"))
    await bureau.fact("integrity", "flagged", "2026-12-01")
    refused = await bureau.turn(bureau.bazaar.desk, await bureau.application(done), "approve")
    assert refusal(refused) == (409, "clause_unmet")
    assert "integrity" in refused.json()["detail"]
    assert (await bureau.application(done))["state"] == "submitted"


async def test_after_a_rejection_the_buyer_accepts_the_full_price(bureau: Bureau) -> None:
    bazaar = bureau.bazaar
    done = await bureau.confirmed(component(10_000, programme="checked"), start=100)
    application = await bureau.application(done)
    rejected = await bureau.turn(bazaar.desk, application, "reject", REJECT)
    assert rejected.json()["reason"] == {
        "code": "desk_check_failed",
        "told": "What the desk checks did not hold.",
        "detail": "Not won together.",
    }
    assert rejected.json()["choice_ends_at"] == "2026-12-03T00:30:00Z"
    assert (await bazaar.read(done))["net_fen"] == COST
    assert await bureau.left("checked") == (POOL, CAP)
    assert refusal(await bureau.turn(bazaar.supplier, application, "accept-full-price"))[0] == 403
    bazaar.clock.advance(hours=47)
    for _ in range(2):  # again changes nothing
        kept = await bureau.turn(bazaar.buyer, application, "accept-full-price")
        assert (kept.status_code, kept.json()["choice"]) == (200, "full_price")
    bazaar.clock.advance(hours=2)
    assert await bureau.sweep() == (0, 0)
    assert (await bazaar.read(done))["state"] == "confirmed"


async def test_else_the_reservation_is_cancelled_free(bureau: Bureau) -> None:
    bazaar = bureau.bazaar
    done = await bureau.confirmed(component(10_000, programme="checked"), start=100)
    application = await bureau.application(done)
    await bureau.turn(bazaar.desk, application, "reject", REJECT)
    bazaar.clock.advance(hours=47, minutes=59)
    assert await bureau.sweep() == (0, 0)
    bazaar.clock.advance(minutes=1)
    late = await bureau.turn(bazaar.buyer, application, "accept-full-price")
    assert refusal(late) == (409, "choice_over")
    assert await bureau.sweep() == (1, 0)
    ended = await bazaar.read(done)
    assert (ended["state"], ended["reason_code"]) == ("cancelled", "voucher_rejected")
    assert (await bureau.application(done))["choice"] == "lapsed"
    assert (await bazaar.read_request(done["request_id"]))["state"] == "open"
    assert await bureau.sweep() == (0, 0)


async def test_the_choice_ends_with_the_start(bureau: Bureau) -> None:
    bazaar = bureau.bazaar
    await bureau.fact("integrity", "flagged", "2026-11-01")
    done = await bureau.confirmed(component(10_000), start=1)
    assert (await bureau.application(done))["choice_ends_at"] == done["starts_at"]
    bazaar.clock.advance(minutes=30)
    assert await bureau.sweep() == (1, 0)
    assert (await bazaar.read(done))["state"] == "cancelled"


async def test_a_lapsed_choice_takes_blocks_below_min_blocks_with_it(bureau: Bureau) -> None:
    await bureau.fact("integrity", "flagged", "2026-11-01")
    done = await bureau.confirmed(component(10_000), blocks=2)
    bureau.bazaar.clock.advance(minutes=30)
    assert await bureau.sweep() == (1, 0)
    listed = (await bureau.bazaar.desk.client.get("/v1/reservations")).json()["data"]
    assert {row["reason_code"] for row in listed} == {"voucher_rejected", "below_min_blocks"}
    assert (await bureau.bazaar.read(done))["reason_code"] == "voucher_rejected"


async def test_one_that_runs_when_it_is_rejected_ends_at_the_next_hour_after_the_choice(bureau: Bureau) -> None:
    bazaar = bureau.bazaar
    held = await bureau.hold(component(10_000, programme="checked"), hours=100)
    running = await bazaar.active(held)
    await bureau.turn(bazaar.desk, await bureau.application(running), "reject", REJECT)
    bazaar.clock.advance(hours=48, minutes=10)
    assert await bureau.sweep() == (1, 0)
    ended = await bazaar.read(held)
    assert (ended["state"], ended["ends_at"]) == ("active", "2026-12-03T02:00:00Z")
    assert ended["net_fen"] == ended["cost_fen"] == 4 * 49 * 850
    bazaar.clock.advance(hours=1)
    await bazaar.sweep()
    assert (await bazaar.read(held))["state"] == "completed"


async def test_one_that_is_over_when_it_is_rejected_is_paid_in_full(bureau: Bureau) -> None:
    bazaar = bureau.bazaar
    held = await bureau.hold(component(10_000, programme="checked"))
    await bazaar.active(held)
    bazaar.clock.advance(hours=10)
    await bazaar.sweep()
    rejected = await bureau.turn(bazaar.desk, await bureau.application(held), "reject", REJECT)
    assert rejected.json()["choice"] == "lapsed"
    assert await bureau.sweep() == (0, 0)
    assert (await bazaar.read(held))["net_fen"] == COST


async def test_a_buyer_withdraws_and_pays_in_full(bureau: Bureau) -> None:
    done = await bureau.confirmed(component(10_000, programme="checked"))
    application = await bureau.application(done)
    assert refusal(await bureau.turn(bureau.bazaar.supplier, application, "withdraw"))[0] == 403
    gone = await bureau.turn(bureau.bazaar.buyer, application, "withdraw")
    assert (gone.json()["state"], gone.json()["reason"]["code"]) == ("withdrawn", "withdrawn_by_buyer")
    assert (await bureau.bazaar.read(done))["net_fen"] == COST
    assert await bureau.left("checked") == (POOL, CAP)


async def test_cancelling_withdraws_the_application(bureau: Bureau) -> None:
    done = await bureau.confirmed(component(10_000, programme="checked"))
    await bureau.bazaar.turn(bureau.bazaar.buyer, done, "cancel", {"reason": "buyer_changed_plans"})
    application = await bureau.application(done)
    assert (application["state"], application["reason"]["code"]) == ("withdrawn", "reservation_ended")
    assert (await bureau.voucher(done))["state"] == "voided"
    assert await bureau.left("checked") == (POOL, CAP)


@pytest.mark.parametrize("verb", ["approve", "reject", "withdraw", "accept-full-price"])
@pytest.mark.parametrize("state", ["approved", "withdrawn"])
async def test_what_is_decided_stays_decided(bureau: Bureau, verb: str, state: str) -> None:
    done = await bureau.confirmed(component(10_000, programme="checked"))
    application = await bureau.application(done)
    first = "approve" if state == "approved" else "withdraw"
    by = bureau.bazaar.desk
    assert (await bureau.turn(by, application, first)).status_code == 200
    again = await bureau.turn(by, application, verb, REJECT if verb == "reject" else None)
    assert refusal(again) == (409, "application_state")


async def test_who_may_decide(bureau: Bureau, make_actor: MakeActor) -> None:
    application = await bureau.application(await bureau.confirmed(component(10_000, programme="checked")))
    for actor in (bureau.bazaar.buyer, bureau.bazaar.supplier, await make_actor("auditor")):
        for verb, body in (("approve", {}), ("reject", REJECT)):
            assert refusal(await bureau.turn(actor, application, verb, body)) == (403, "forbidden")
    stranger = await make_actor("buyer")
    path = f"/v1/voucher-applications/{application['id']}"
    assert refusal(await stranger.client.get(path)) == (404, "not_found")
    for verb in ("withdraw", "accept-full-price"):
        assert refusal(await bureau.turn(stranger, application, verb)) == (404, "not_found")
    bare = await bureau.bazaar.desk.client.post(f"{path}/approve", json={}, headers=keyed())
    assert refusal(bare) == (428, "if_match_required")
    stale = await bureau.turn(bureau.bazaar.desk, application, "approve", version=9)
    assert refusal(stale) == (412, "stale")


@pytest.mark.parametrize(
    "body",
    [{}, {"reason": "mood", "detail": "x"}, {"reason": "desk_decision"}, {"reason": "desk_decision", "detail": ""}],
)
async def test_a_rejection_has_a_reason(bureau: Bureau, body: Any) -> None:
    application = await bureau.application(await bureau.confirmed(component(10_000, programme="checked")))
    assert refusal(await bureau.turn(bureau.bazaar.desk, application, "reject", body))[0] == 422


async def test_a_second_application_for_one_contract_is_refused(bureau: Bureau) -> None:
    done, plain = await bureau.confirmed(component(10_000)), await bureau.confirmed()
    buyer = bureau.bazaar.buyer.client
    for reservation, code in ((done, "application_exists"), (plain, "nothing_to_apply_for")):
        body = {"contract_id": (await bureau.contract(reservation))["id"]}
        assert refusal(await buyer.post("/v1/voucher-applications", json=body, headers=keyed())) == (409, code)
    assert (
        await buyer.post("/v1/voucher-applications", json={"contract_id": "ctr_1"}, headers=keyed())
    ).status_code == 422


async def test_one_call_applies_for_a_contract_that_did_not(bureau: Bureau, database_url: Any) -> None:
    """As one that was confirmed before there were applications: its earmark is open still."""
    done = await bureau.confirmed()
    await bureau.bazaar.read(done)
    held = await bureau.hold(component(10_000))
    connection = await asyncpg.connect(database_url.set(drivername="postgresql").render_as_string(hide_password=False))
    # The earmark of a hold that is still open is moved to the contract, past the triggers.
    await connection.execute("SET session_replication_role = replica")
    ids = [await connection.fetchval("SELECT id FROM reservation WHERE block = 0 ORDER BY created_at LIMIT 1")]
    await connection.execute("UPDATE voucher SET subject_id = $1", ids[0])
    await connection.execute("UPDATE reservation SET subsidy_fen = 0, net_fen = cost_fen WHERE state = 'held'")
    await connection.execute(
        "UPDATE reservation SET subsidy_fen = 10000, net_fen = cost_fen - 10000 WHERE id = $1", ids[0]
    )
    await connection.close()
    body = {"contract_id": (await bureau.contract(done))["id"]}
    supplier = await bureau.bazaar.supplier.client.post("/v1/voucher-applications", json=body, headers=keyed())
    assert refusal(supplier)[0] == 403
    made = await bureau.bazaar.buyer.client.post("/v1/voucher-applications", json=body, headers=keyed())
    assert made.status_code == 201, made.text
    assert [each["state"] for each in made.json()["data"]] == ["approved"]
    assert (await bureau.bazaar.read(held))["state"] == "held"


async def race(*calls: Any) -> list[int]:
    return sorted(answer.status_code for answer in await asyncio.gather(*calls))


async def test_two_approvals_of_one_application_issue_once(bureau: Bureau) -> None:
    for _ in range(3):
        done = await bureau.confirmed(component(1_000, programme="checked"))
        application = await bureau.application(done)
        calls = [bureau.turn(bureau.bazaar.desk, application, "approve", version=1) for _ in range(2)]
        assert await race(*calls) == [200, 412]
        assert (await bureau.voucher(done))["left_fen"] == 1_000
    assert await bureau.left("checked") == (POOL - 3_000, CAP - 3_000)


async def test_an_approval_against_a_cancellation(bureau: Bureau) -> None:
    bazaar = bureau.bazaar
    for _ in range(4):
        done = await bureau.confirmed(component(1_000, programme="checked"))
        application = await bureau.application(done)
        cancel = {"reason": "buyer_changed_plans"}
        statuses = await race(
            bureau.turn(bazaar.desk, application, "approve", version=1),
            bazaar.turn(bazaar.buyer, done, "cancel", cancel, version="*"),
        )
        # Cancelling first leaves nothing to approve; approving first leaves an issued voucher that is returned.
        ended = await bazaar.read(done)
        if ended["state"] == "confirmed":  # the approval changed what the buyer had read
            assert statuses == [200, 412]
            await bazaar.turn(bazaar.buyer, done, "cancel", cancel)
        state = (await bureau.voucher(done))["state"]
        assert state in ("voided", "revoked")
        assert await bureau.left("checked") == (POOL, CAP)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "UPDATE voucher SET state = 'earmarked', issued_fen = NULL, rate_ppm = NULL, issued_at = NULL",
            "never changes",
        ),
        ("UPDATE voucher SET issued_fen = 1 WHERE state = 'issued'", "never changes"),
        ("UPDATE voucher SET subject_id = gen_random_uuid()", "never changes"),
        ("UPDATE voucher SET state = 'voided' WHERE state = 'issued'", "voucher_issued_whole"),
        (
            (
                "UPDATE voucher SET state = 'exhausted', issued_fen = 1, rate_ppm = 1, issued_at = now()"
                " WHERE state = 'earmarked'"
            ),
            "does not turn so",
        ),
        ("UPDATE voucher_application SET state = 'submitted', decided_at = NULL, decided_by = NULL", "decided once"),
        ("UPDATE voucher_application SET decided_at = now()", "decided once"),
        ("UPDATE voucher_application SET state = 'rejected'", 'violates check constraint "voucher_application_'),
    ],
)
async def test_the_database_refuses_other_turns(
    bureau: Bureau, app_database: Database, statement: str, told: str
) -> None:
    await bureau.confirmed(component(10_000))
    await bureau.hold(component(10_000))
    with pytest.raises(DBAPIError, match=told):
        async with app_database.write(SYSTEM) as session:
            await session.execute(text(statement))


def test_every_turn_of_the_enum_is_what_the_database_allows() -> None:
    written = next(Path("migrations/versions").glob("*contracts.py")).read_text()
    body = written.partition("(r.state, a.state) NOT IN (")[2].partition("))")[0]
    allowed = {
        tuple(part.strip(" '\n") for part in pair.strip(" \n()").split(","))
        for pair in body.split("),")
        if pair.strip()
    }
    assert allowed == {(one.value, other.value) for one, others in TURNS.items() for other in others}
