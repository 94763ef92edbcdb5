"""What becomes of issued vouchers: the turn of the year, expiry, cancellation, revocation, evaluation and its bonus."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from app.kit.db import SYSTEM
from app.kit.ids import decode_id
from app.ledger.service import accounts_by_name
from app.vouchers import budgets, life
from app.vouchers.models import VoucherState
from app.vouchers.repository import lock_vouchers
from tests.bazaar import keyed, refusal
from tests.contracts.bureau import CAP, COST, POOL, Bureau, component

pytestmark = pytest.mark.anyio
MIDNIGHT = datetime.fromisoformat("2027-01-01T00:00:00+08:00")
FALSE = {"reason": "false_statement", "detail": "Revenue was misstated."}


async def held_over_the_year(bureau: Bureau, programme: str = "made-up", amount_fen: int = 10_000) -> Any:
    """A hold of the last day of 2026 in Shanghai, for later; its supplier has accepted."""
    bureau.bazaar.clock.now = MIDNIGHT - timedelta(hours=10)
    held = await bureau.hold(component(amount_fen, programme=programme), start=24 * 33)
    assert (await bureau.bazaar.turn(bureau.bazaar.supplier, held, "accept")).status_code == 200
    return held


async def test_a_hold_confirmed_before_midnight_in_shanghai_keeps_its_year(bureau: Bureau) -> None:
    await bureau.open_year(2027)
    held = await held_over_the_year(bureau)
    bureau.bazaar.clock.now = MIDNIGHT - timedelta(microseconds=1)
    assert (await bureau.bazaar.turn(bureau.bazaar.buyer, held, "accept")).json()["subsidy_fen"] == 10_000
    voucher = await bureau.voucher(held)
    assert (voucher["year"], voucher["state"]) == (2026, "issued")
    assert await bureau.left(year=2027) == (POOL, CAP)


async def test_at_midnight_it_is_taken_again_in_the_new_year(bureau: Bureau) -> None:
    await bureau.open_year(2027)
    held = await held_over_the_year(bureau)
    bureau.bazaar.clock.now = MIDNIGHT
    done = (await bureau.bazaar.turn(bureau.bazaar.buyer, held, "accept")).json()
    assert (done["state"], done["subsidy_fen"]) == ("confirmed", 10_000)
    listed = (await bureau.bazaar.buyer.client.get("/v1/vouchers")).json()["data"]
    assert [(each["year"], each["state"]) for each in listed] == [(2026, "voided"), (2027, "issued")]
    assert (await bureau.application(done))["voucher_id"] == listed[1]["id"]
    assert await bureau.left() == (POOL, CAP)
    assert await bureau.left(year=2027) == (POOL - 10_000, CAP - 10_000)


async def test_the_new_year_gives_what_it_has(bureau: Bureau) -> None:
    await bureau.open_year(2027, pool_fen=4_000)
    held = await held_over_the_year(bureau)
    bureau.bazaar.clock.now = MIDNIGHT
    assert (await bureau.bazaar.turn(bureau.bazaar.buyer, held, "accept")).json()["subsidy_fen"] == 4_000
    assert await bureau.left(year=2027) == (0, CAP - 4_000)


@pytest.mark.parametrize(("opened", "code"), [(False, "programme_not_open"), (True, "funds_exhausted")])
async def test_or_it_is_refused(bureau: Bureau, opened: bool, code: str) -> None:
    if opened:
        await bureau.open_year(2027, pool_fen=0)
    held = await held_over_the_year(bureau)
    bureau.bazaar.clock.now = MIDNIGHT
    done = (await bureau.bazaar.turn(bureau.bazaar.buyer, held, "accept")).json()
    assert (done["state"], done["subsidy_fen"]) == ("confirmed", 0)
    application = await bureau.application(done)
    assert (application["state"], application["reason"]["code"]) == ("rejected", code)
    assert await bureau.left() == (POOL, CAP)
    kept = await bureau.turn(bureau.bazaar.buyer, application, "accept-full-price")
    assert kept.json()["choice"] == "full_price"


async def test_the_desk_still_decides_in_the_new_year_what_was_taken_again(bureau: Bureau) -> None:
    await bureau.open_year(2027, "checked")
    held = await held_over_the_year(bureau, "checked")
    bureau.bazaar.clock.now = MIDNIGHT
    await bureau.bazaar.turn(bureau.bazaar.buyer, held, "accept")
    approved = await bureau.turn(bureau.bazaar.desk, await bureau.application(held), "approve")
    assert approved.json()["state"] == "approved"
    assert (await bureau.voucher(held))["year"] == 2027


async def issued(bureau: Bureau, amount_fen: int = 10_000, **more: Any) -> Any:
    """A confirmed reservation whose voucher the desk has issued; valid for 30 days."""
    done = await bureau.confirmed(component(amount_fen, programme="checked"), **more)
    approved = await bureau.turn(bureau.bazaar.desk, await bureau.application(done), "approve")
    assert approved.status_code == 200, approved.text
    return done


async def test_a_voucher_expires_with_its_days_and_the_rest_goes_back(bureau: Bureau) -> None:
    done = await issued(bureau, start=1000)
    await bureau.redeem(await bureau.voucher(done), 3_000)
    bureau.bazaar.clock.now = datetime.fromisoformat("2026-12-31T15:59:59+00:00")
    assert await bureau.sweep() == (0, 0)
    bureau.bazaar.clock.advance(seconds=1)
    assert await bureau.sweep() == (0, 1)
    voucher = await bureau.voucher(done)
    assert (voucher["state"], voucher["reason_code"], voucher["left_fen"], voucher["redeemed_fen"]) == (
        "expired",
        "time_over",
        0,
        3_000,
    )
    assert await bureau.left("checked") == (POOL - 3_000, CAP - 3_000)
    assert (await bureau.bazaar.read(done))["subsidy_fen"] == 3_000
    assert await bureau.sweep() == (0, 0)


async def test_an_exhausted_voucher_does_not_expire_and_one_given_back_is_issued_again(bureau: Bureau) -> None:
    done = await issued(bureau, start=1000)
    voucher = await bureau.voucher(done)
    await bureau.redeem(voucher, 10_000)
    assert (await bureau.voucher(done))["state"] == "exhausted"
    bureau.bazaar.clock.advance(hours=24 * 40)
    assert await bureau.sweep() == (0, 0)
    await bureau.give_back(voucher, 4_000)
    again = await bureau.voucher(done)
    assert (again["state"], again["redeemed_fen"], again["left_fen"]) == ("issued", 6_000, 4_000)
    assert await bureau.sweep() == (0, 1)
    assert await bureau.left("checked") == (POOL - 6_000, CAP - 6_000)


async def test_no_more_is_redeemed_than_was_issued(bureau: Bureau) -> None:
    done = await issued(bureau)
    with pytest.raises(Exception, match="funds_exhausted"):
        await bureau.redeem(await bureau.voucher(done), 10_001)


async def test_cancelling_returns_what_was_issued(bureau: Bureau) -> None:
    done = await issued(bureau)
    cancelled = await bureau.bazaar.turn(bureau.bazaar.supplier, done, "cancel", {"reason": "hardware_failure"})
    assert cancelled.status_code == 200
    voucher = await bureau.voucher(done)
    assert (voucher["state"], voucher["reason_code"], voucher["left_fen"]) == ("revoked", "reservation_cancelled", 0)
    assert await bureau.left("checked") == (POOL, CAP)


async def test_revoking_before_anything_was_redeemed(bureau: Bureau) -> None:
    done = await issued(bureau)
    voucher_id = (await bureau.voucher(done))["id"]
    revoked = await bureau.turn_voucher(bureau.bazaar.desk, voucher_id, "revoke", FALSE)
    told = revoked.json()
    assert (told["state"], told["reason_code"], told["reason_detail"]) == ("revoked", *FALSE.values())
    assert [step["state"] for step in told["history"]] == ["earmarked", "issued", "revoked"]
    assert await bureau.left("checked") == (POOL, CAP)
    assert (await bureau.bazaar.read(done))["net_fen"] == COST
    again = await bureau.turn_voucher(bureau.bazaar.desk, voucher_id, "revoke", FALSE)
    assert refusal(again) == (409, "voucher_state")


async def test_what_was_redeemed_is_claimed_back_by_new_transfers(bureau: Bureau) -> None:
    done = await issued(bureau)
    voucher = await bureau.voucher(done)
    await bureau.redeem(voucher, 6_000)
    transfers = (await bureau.bazaar.desk.client.get("/v1/ledger/transfers", params={"limit": 100})).json()["data"]
    await bureau.turn_voucher(bureau.bazaar.desk, voucher["id"], "revoke", FALSE)
    now = (await bureau.bazaar.desk.client.get("/v1/ledger/transfers", params={"limit": 100})).json()["data"]
    assert now[: len(transfers)] == transfers
    assert {each["kind"] for each in now[len(transfers) :]} == {"single"}
    assert await bureau.left("checked") == (POOL, CAP)
    name = budgets.clawback_name("checked", bureau.bazaar.supplier.org_id)
    async with bureau.database.read(SYSTEM) as session:
        owed = (await accounts_by_name(session, [name]))[name]
    assert (owed.debits_posted, owed.credits_posted, owed.owner_org_id) == (6_000, 0, bureau.bazaar.supplier.org_id)


async def test_who_may_revoke_what(bureau: Bureau) -> None:
    done = await issued(bureau)
    waiting = await bureau.confirmed(component(1_000, programme="checked"))
    for actor in (bureau.bazaar.buyer, bureau.bazaar.supplier):
        voucher_id = (await bureau.voucher(done))["id"]
        assert refusal(await bureau.turn_voucher(actor, voucher_id, "revoke", FALSE))[0] == 403
    undecided = await bureau.turn_voucher(bureau.bazaar.desk, (await bureau.voucher(waiting))["id"], "revoke", FALSE)
    assert refusal(undecided) == (409, "voucher_state")
    wordless = await bureau.turn_voucher(
        bureau.bazaar.desk, (await bureau.voucher(done))["id"], "revoke", {"reason": "misuse"}
    )
    assert refusal(wordless)[0] == 422


async def test_what_comes_back_onto_an_ended_voucher_goes_on_to_its_budgets(bureau: Bureau) -> None:
    done = await issued(bureau, start=1000)
    voucher = await bureau.voucher(done)
    await bureau.redeem(voucher, 6_000)
    bureau.bazaar.clock.advance(hours=24 * 31)
    assert await bureau.sweep() == (0, 1)
    await bureau.give_back(voucher, 6_000)
    async with bureau.database.write(SYSTEM) as session:
        rows = await lock_vouchers(session, ids=[decode_id("vch", voucher["id"])])
        await life.give_back_ended(session, rows)
        assert rows[0].state == VoucherState.EXPIRED
    assert await bureau.left("checked") == (POOL, CAP)
    await bureau.refresh(done)


async def over(bureau: Bureau, redeemed_fen: int = 10_000) -> Any:
    """A completed reservation whose voucher was redeemed."""
    done = await issued(bureau)
    await bureau.redeem(await bureau.voucher(done), redeemed_fen)
    bureau.bazaar.clock.advance(hours=1)
    await bureau.bazaar.sweep()
    bureau.bazaar.clock.advance(hours=10)
    await bureau.bazaar.sweep()
    return await bureau.bazaar.read(done)


async def evaluate(bureau: Bureau, reservation: Any, score: float, by: Any = None) -> Any:
    contract = await bureau.contract(reservation)
    body = {"score": score, "remarks": "The model was published."}
    path = f"/v1/contracts/{contract['id']}/evaluation"
    return await (by or bureau.bazaar.desk).client.post(path, json=body, headers=keyed())


async def test_a_good_outcome_earns_a_bonus_that_another_contract_uses(bureau: Bureau) -> None:
    done = await over(bureau)
    made = await evaluate(bureau, done, 80)
    assert made.status_code == 201, made.text
    [bonus] = made.json()["bonuses"]
    assert (bonus["kind"], bonus["state"], bonus["issued_fen"], bonus["reservation_id"]) == (
        "bonus",
        "issued",
        1_000,  # a tenth of what was redeemed
        None,
    )
    assert (await bureau.contract(done))["evaluation"]["score"] == 80
    assert await bureau.left("checked") == (POOL - 11_000, CAP - 11_000)
    other = await bureau.confirmed(start=200)
    contract = await bureau.contract(other)
    used = await bureau.turn_voucher(bureau.bazaar.buyer, bonus["id"], "use", {"contract_id": contract["id"]})
    assert used.json()["reservation_id"] == other["id"], used.text
    assert (await bureau.bazaar.read(other))["subsidy_fen"] == 1_000
    again = await bureau.turn_voucher(bureau.bazaar.buyer, bonus["id"], "use", {"contract_id": contract["id"]})
    assert refusal(again) == (409, "not_a_free_bonus")


async def test_a_middling_outcome_earns_nothing(bureau: Bureau) -> None:
    made = await evaluate(bureau, await over(bureau), 79)
    assert made.json()["bonuses"] == []


async def test_a_bonus_that_nobody_used_expires(bureau: Bureau) -> None:
    await evaluate(bureau, await over(bureau), 100)
    bureau.bazaar.clock.advance(hours=24 * 31)
    assert await bureau.sweep() == (0, 1)
    assert await bureau.left("checked") == (POOL - 10_000, CAP - 10_000)


async def test_what_is_not_evaluated(bureau: Bureau) -> None:
    done = await issued(bureau)
    assert refusal(await evaluate(bureau, done, 90)) == (409, "not_over")
    for bad in (-1, 101, 90.5):
        assert refusal(await evaluate(bureau, done, bad))[0] == 422
    finished = await over(bureau)
    assert refusal(await evaluate(bureau, finished, 90, by=bureau.bazaar.buyer))[0] == 403
    assert (await evaluate(bureau, finished, 50)).status_code == 201
    assert refusal(await evaluate(bureau, finished, 90)) == (409, "already_evaluated")


async def test_an_evaluation_in_time(bureau: Bureau) -> None:
    done = await over(bureau)
    bureau.bazaar.clock.now = datetime.fromisoformat(done["ends_at"]) + timedelta(days=60, microseconds=1)
    assert refusal(await evaluate(bureau, done, 90)) == (409, "evaluation_late")
    bureau.bazaar.clock.now -= timedelta(microseconds=1)
    assert (await evaluate(bureau, done, 90)).status_code == 201


async def test_an_ordinary_voucher_is_not_put_on_another_contract(bureau: Bureau) -> None:
    done = await issued(bureau)
    other = await bureau.contract(await bureau.confirmed(start=200))
    used = await bureau.turn_voucher(
        bureau.bazaar.buyer, (await bureau.voucher(done))["id"], "use", {"contract_id": other["id"]}
    )
    assert refusal(used) == (409, "not_a_free_bonus")


async def test_a_bonus_obeys_the_clauses_of_its_programme(bureau: Bureau) -> None:
    [bonus] = (await evaluate(bureau, await over(bureau), 100)).json()["bonuses"]
    await bureau.fact("integrity", "flagged", "2026-12-01")
    other = await bureau.contract(await bureau.confirmed(start=200))
    used = await bureau.turn_voucher(bureau.bazaar.buyer, bonus["id"], "use", {"contract_id": other["id"]})
    assert refusal(used) == (409, "clause_unmet")
