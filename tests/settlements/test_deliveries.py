"""What suppliers may report, what they may not, disputes and payments; the database refuses the same by itself."""

from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import URL

from app.kit.ids import encode_id, new_id
from tests.bazaar import Bazaar, keyed, refusal
from tests.conftest import MakeActor
from tests.settlements.deals import Deal

pytestmark = pytest.mark.anyio


def codes(answer: Any) -> list[tuple[str, str]]:
    """Where each report is wrong, and how."""
    assert (answer.status_code, answer.json()["code"]) == (422, "deliveries_refused"), answer.text
    return [(error["pointer"], error["code"]) for error in answer.json()["errors"]]


async def test_a_report_repeated_with_its_key_has_one_effect(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar).over()
    first = await deal.try_report(deal.period(0, 5), key="once")
    again = await deal.try_report(deal.period(0, 5), key="once")
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert len(await deal.settlements()) == 1
    assert refusal(await deal.try_report(deal.period(5, 5), key="once")) == (422, "idempotency_key_reused")


async def test_every_report_that_is_wrong_is_named_and_none_is_taken(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar).running()
    bazaar.clock.advance(hours=6)
    mine = (await deal.report(deal.period(2, 1)))["reports"][0]
    stranger = encode_id("dlv", new_id())
    half_second = deal.period(3, 1)["period_start"].replace("Z", ".5Z")
    wrong = [
        deal.period(-1, 1),
        deal.period(0, 1, 4 * 3600 + 1),
        deal.period(3, 0.5) | {"period_start": half_second},
        deal.period(4, 0.5) | {"period_end": deal.period(4, 0)["period_end"]},
        deal.period(5, 0.5, corrects_id=mine["id"]),
        deal.period(5.5, 0.5, corrects_id=stranger),
    ]
    answer = await deal.try_report(deal.period(1, 1), *wrong)
    assert codes(answer) == [
        ("/reports/1/period_start", "outside_reservation"),
        ("/reports/2/card_seconds", "above_reserved"),
        ("/reports/3/period_start", "not_whole_seconds"),
        ("/reports/4/period_end", "period_order"),
        ("/reports/5/corrects_id", "corrects_other_period"),
        ("/reports/6/corrects_id", "unknown_report"),
    ]
    assert answer.json()["detail"].startswith("6 of the reports")
    assert len(await deal.settlements()) == 1


@pytest.mark.parametrize(
    ("first", "hours", "seconds", "field", "code"),
    [
        (-1, 1, 0, "period_start", "outside_reservation"),
        (9.5, 1, 0, "period_start", "outside_reservation"),
        (0, 1, 4 * 3600 + 1, "card_seconds", "above_reserved"),
        (1, 1.5, 0, "period_start", "overlaps"),
        (1.5, 3, 0, "period_start", "overlaps"),
        (2.25, 0.5, 0, "period_start", "overlaps"),
        (2, 1, 0, "period_start", "overlaps"),
        (5.5, 1, 0, "period_end", "period_not_over"),
    ],
)
async def test_a_wrong_report_is_told_by_its_field(
    bazaar: Bazaar, first: float, hours: float, seconds: int, field: str, code: str
) -> None:
    deal = await Deal(bazaar).running()
    bazaar.clock.advance(hours=6)
    await deal.report(deal.period(2, 1))
    assert codes(await deal.try_report(deal.period(first, hours, seconds))) == [(f"/reports/0/{field}", code)]
    assert len(await deal.settlements()) == 1


@pytest.mark.parametrize("seconds", [-1, 1.5, "3600", 2**63, True])
async def test_card_seconds_are_whole_and_never_below_zero(bazaar: Bazaar, seconds: object) -> None:
    deal = await Deal(bazaar).over()
    first = (await deal.report(deal.period(0, 5)))["reports"][0]
    wrong = deal.period(0, 5, corrects_id=first["id"]) | {"card_seconds": seconds}
    assert (await deal.try_report(wrong)).status_code == 422
    assert len(await deal.settlements()) == 1


async def test_only_the_newest_report_of_a_period_is_corrected(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar).over()
    first = (await deal.report(deal.period(0, 5)))["reports"][0]
    await deal.report(deal.period(0, 5, 100, corrects_id=first["id"]))
    again = await deal.try_report(deal.period(0, 5, 200, corrects_id=first["id"]))
    assert codes(again) == [("/reports/0/corrects_id", "already_corrected")]
    other = await deal.try_report(deal.period(0, 4, 0, corrects_id=(await deal.report_in_force(0))["id"]))
    assert codes(other) == [("/reports/0/corrects_id", "corrects_other_period")]
    path = f"/v1/reservations/{deal.reservation['id']}/deliveries"
    rows = (await bazaar.buyer.client.get(path)).json()["data"]
    assert [(row["card_seconds"], row["corrected_by"] is None) for row in rows] == [(72_000, False), (100, True)]


@pytest.mark.parametrize(
    ("ends", "code"),
    [("cancelled", "delivery_reservation_ended"), ("expired", "delivery_reservation_ended"),
     ("confirmed", "delivery_not_started")],
)  # fmt: skip
async def test_nothing_is_delivered_under_what_does_not_run(bazaar: Bazaar, ends: str, code: str) -> None:
    deal = Deal(bazaar)
    if ends == "expired":
        await deal.held()
        bazaar.clock.now = deal.starts_at
        await bazaar.sweep()
    else:
        await deal.confirmed()
    if ends == "cancelled":
        await bazaar.turn(bazaar.buyer, deal.reservation, "cancel", {"reason": "buyer_changed_plans"})
    assert refusal(await deal.try_report(deal.period(0, 1))) == (409, code)


async def test_others_report_nothing(bazaar: Bazaar, make_actor: MakeActor) -> None:
    deal = await Deal(bazaar).over()
    assert (await deal.try_report(deal.period(0, 1), by=bazaar.buyer)).status_code == 403
    assert (await deal.try_report(deal.period(0, 1), by=await make_actor("supplier"))).status_code == 404
    assert (await deal.try_report(deal.period(0, 1), by=bazaar.desk)).status_code == 201


async def test_the_buyer_disputes_and_a_correction_ends_it(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar).over()
    first = (await deal.report(deal.period(0, 5)))["reports"][0]
    path = f"/v1/deliveries/{first['id']}"
    why = {"reason": "Two cards were down."}
    assert (await bazaar.supplier.client.post(f"{path}/dispute", json=why)).status_code == 403
    told = (await bazaar.buyer.client.post(f"{path}/dispute", json=why)).json()
    assert told["dispute_reason"] == "Two cards were down."
    assert refusal(await bazaar.buyer.client.post(f"{path}/dispute", json=why)) == (409, "already_disputed")
    withdrawn = await bazaar.buyer.client.post(f"{path}/withdraw-dispute", json={})
    assert withdrawn.json()["disputed_at"] is None
    assert refusal(await bazaar.buyer.client.post(f"{path}/withdraw-dispute", json={})) == (409, "not_disputed")
    await bazaar.buyer.client.post(f"{path}/dispute", json=why)
    listed = f"/v1/reservations/{deal.reservation['id']}/deliveries"
    query = {"in_force": "true", "disputed": "true"}
    assert len((await bazaar.buyer.client.get(listed, params=query)).json()["data"]) == 1
    await deal.report(deal.period(0, 5, 36_000, corrects_id=first["id"]))
    assert (await bazaar.buyer.client.get(listed, params=query)).json()["data"] == []
    assert refusal(await bazaar.buyer.client.post(f"{path}/dispute", json=why)) == (409, "report_corrected")


async def test_a_payment_is_recorded_once_in_full_by_who_got_it(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar).over()
    [line] = (await deal.report(deal.period(0, 5)))["settlements"]
    assert (await deal.try_pay(line, by=bazaar.buyer)).status_code == 403
    assert refusal(await deal.try_pay(line, amount_fen=line["payable_fen"] - 1)) == (422, "payment_differs")
    assert refusal(await deal.try_pay(line, paid_at=bazaar.at(1_000))) == (422, "paid_in_future")
    assert refusal(await deal.try_pay(line, version=9)) == (412, "stale")
    paid = (await deal.try_pay(line, reference="ICBC 42")).json()
    assert (paid["payment_state"], paid["payment_reference"], paid["version"]) == ("paid", "ICBC 42", 2)
    assert refusal(await deal.try_pay(paid)) == (409, "payment_state")
    query = {"payment_state": "open"}
    assert (await bazaar.buyer.client.get("/v1/settlements", params=query)).json()["data"] == []


async def test_strangers_see_no_settlement(bazaar: Bazaar, make_actor: MakeActor) -> None:
    deal = await Deal(bazaar).over()
    [line] = (await deal.report(deal.period(0, 5)))["settlements"]
    stranger = await make_actor("buyer", "supplier")
    assert (await stranger.client.get("/v1/settlements")).json()["data"] == []
    for path in (line["id"], f"{line['id']}/invoice"):
        assert (await stranger.client.get(f"/v1/settlements/{path}")).status_code == 404
    assert (await deal.try_pay(line, by=stranger)).status_code == 404
    path = f"/v1/reservations/{deal.reservation['id']}/deliveries"
    assert (await stranger.client.get(path)).status_code == 404
    body = {"reason": "mine"}
    dispute = await stranger.client.post(f"/v1/deliveries/{line['report_id']}/dispute", json=body, headers=keyed())
    assert dispute.status_code == 404


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ("r.starts_at - interval '1 hour', r.starts_at, 0, NULL", "delivery_report_within_reservation"),
        ("r.starts_at, r.starts_at + interval '1 hour', r.cards * 3600 + 1, NULL", "delivery_report_within_reserved"),
        ("r.starts_at + interval '2.5 hours', r.starts_at + interval '4 hours', 0, NULL", "delivery_report_no_overlap"),
        (
            "r.starts_at + interval '4 hours', r.starts_at + interval '5 hours', 0, d.id",
            "delivery_report_corrects_same_period",
        ),
        ("d.period_start, d.period_end, -1, d.id", "delivery_report_card_seconds_range"),
    ],
)
async def test_the_database_refuses_it_too(bazaar: Bazaar, database_url: URL, values: str, constraint: str) -> None:
    deal = await Deal(bazaar).over()
    await deal.report(deal.period(2, 1))
    connection = await asyncpg.connect(database_url.set(drivername="postgresql").render_as_string(False))
    try:
        with pytest.raises(asyncpg.CheckViolationError) as caught:
            await connection.execute(
                "INSERT INTO delivery_report (id, reservation_id, buyer_org_id, supplier_org_id, period_start,"
                f" period_end, card_seconds, corrects_id, created_at) SELECT gen_random_uuid(), r.id, r.buyer_org_id,"
                f" r.supplier_org_id, {values}, now() FROM reservation r JOIN delivery_report d"
                " ON d.reservation_id = r.id"
            )
        assert getattr(caught.value, "constraint_name", None) == constraint
        with pytest.raises(asyncpg.CheckViolationError) as caught:
            await connection.execute("UPDATE reservation SET ends_at = starts_at + interval '2 hours'")
        assert getattr(caught.value, "constraint_name", None) == "reservation_covers_deliveries"
        for table in ("delivery_report", "settlement", "redemption", "settlement_counter", "delivery_book"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"DELETE FROM {table}")
    finally:
        await connection.close()
