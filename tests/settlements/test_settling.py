"""What a contract is billed and its vouchers redeem: deliveries, corrections, early ends and cancellations."""

import pytest

from app.contracts.models import Payment
from app.kit.db import Database
from app.kit.ids import encode_id
from app.verification.service import verify
from tests.bazaar import Bazaar, keyed
from tests.settlements.deals import Deal, Granted

pytestmark = pytest.mark.anyio
COST = 34_000  # 4 cards × 10 hours × 850
HALF = Granted(17_000)


@pytest.fixture
async def auditor_database(database_url, app_database: Database):
    database = Database(database_url.set(username="cardhour_auditor"), role="cardhour_auditor", pool_size=1)
    yield database
    assert [finding.told for finding in await verify(database) if not finding.holds] == []
    await database.dispose()


@pytest.fixture(autouse=True)
async def everything_holds_afterwards(auditor_database: Database) -> None:
    """`cardhour verify` passes after every test here."""


async def test_chengdu_s_four_settlements(bazaar: Bazaar) -> None:
    """3 000 000 CNY, a voucher of 1 000 000, four periods of 750 000: 375 000, 375 000, 250 000 and 0 are redeemed."""
    voucher = Granted(100_000_000, "chengdu-2023")
    deal = await Deal(bazaar, cards=100, hours=3_000, price_fen=1_000, grants=(voucher,)).over()
    redeemed = []
    for quarter in range(4):
        answer = await deal.report(deal.period(quarter * 750, 750))
        [line] = answer["settlements"]
        assert line["amount_fen"] == 75_000_000
        redeemed.append(line["redeemed_fen"])
        assert line["payable_fen"] == 75_000_000 - line["redeemed_fen"]
    assert redeemed == [37_500_000, 37_500_000, 25_000_000, 0]
    assert await deal.claimable("chengdu-2023") == 100_000_000
    assert (await deal.left(), await deal.states()) == (0, ["exhausted"])
    assert [row["number"] for row in await deal.settlements()] == [1, 2, 3, 4]


async def test_a_line_for_each_period_of_a_batch(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar, price_fen=1, cards=1).over()
    thirds = [deal.period(third / 3, 1 / 3) for third in range(3)]
    answer = await deal.report(*thirds)
    # A fen for three thirds of a card-hour, billed when the total comes to half a fen: no line is of 0 fen.
    assert [line["amount_fen"] for line in answer["settlements"]] == [1]
    assert answer["settlements"][0]["report_id"] == answer["reports"][1]["id"]


async def test_corrections_downward_give_back_exactly_what_is_due(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar, grants=(HALF,)).over()
    first = (await deal.report(deal.period(0, 5), deal.period(5, 5)))["reports"][0]
    assert (await deal.left(), await deal.states()) == (0, ["exhausted"])
    less = deal.period(0, 5, 4 * 2 * 3600, corrects_id=first["id"])  # 2 hours of 5
    [line] = (await deal.report(less))["settlements"]
    assert (line["kind"], line["amount_fen"], line["redeemed_fen"], line["payable_fen"]) == (
        "refund", -10_200, -5_100, -5_100,
    )  # fmt: skip
    assert (await deal.left(), await deal.claimable(), await deal.states()) == (5_100, 11_900, ["issued"])
    more = deal.period(0, 5, corrects_id=(await deal.report_in_force(0))["id"])
    [line] = (await deal.report(more))["settlements"]
    assert (line["kind"], line["amount_fen"], line["redeemed_fen"]) == ("arrears", 10_200, 5_100)
    assert (await deal.left(), await deal.states()) == (0, ["exhausted"])


async def test_what_a_claim_holds_is_netted_at_the_next_line(bazaar: Bazaar, database_url) -> None:
    deal = await Deal(bazaar, grants=(HALF,)).over()
    first = (await deal.report(deal.period(0, 5)))["reports"][0]  # 17 000, redeems 8 500
    await deal.claim_all()
    less = deal.period(0, 5, 0, corrects_id=first["id"])
    [line] = (await deal.report(less))["settlements"]
    # The buyer owes nothing any more; the supplier keeps the claimed 8 500 until the next line.
    assert (line["amount_fen"], line["redeemed_fen"], line["payable_fen"]) == (-17_000, 0, -8_500)
    assert (await deal.left(), await deal.claimable()) == (8_500, 0)  # the claim has set the other half aside
    [line] = (await deal.report(deal.period(5, 5)))["settlements"]
    assert (line["amount_fen"], line["redeemed_fen"], line["payable_fen"]) == (17_000, 0, 8_500)
    assert await deal.left() == 8_500


async def test_a_buyer_who_claims_itself_pays_all(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar, grants=(Granted(17_000, "buyers"),)).over()
    [line] = (await deal.report(deal.period(0, 10)))["settlements"]
    assert (line["amount_fen"], line["redeemed_fen"], line["payable_fen"]) == (COST, 17_000, COST)
    assert await deal.claimable("buyers", by=bazaar.buyer) == 17_000


async def test_stacked_vouchers_are_redeemed_by_one_settlement(bazaar: Bazaar) -> None:
    grants = (Granted(6_800, "first"), Granted(10_200, "second"))
    deal = await Deal(bazaar, grants=grants).over()
    lines = (await deal.report(deal.period(0, 4), deal.period(4, 6)))["settlements"]
    assert [[each["amount_fen"] for each in line["redemptions"]] for line in lines] == [[2_720, 4_080], [4_080, 6_120]]
    assert [line["payable_fen"] for line in lines] == [6_800, 10_200]
    assert (await deal.left(0), await deal.left(1)) == (0, 0)


async def test_what_is_prepaid_is_billed_whole_and_a_shortfall_comes_back(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar, payment=Payment.PREPAID, grants=(HALF,)).confirmed()
    assert await deal.settle_due() == 1
    assert await deal.lines() == [("prepaid", COST, 17_000, 17_000)]
    bazaar.clock.now = deal.ends_at
    await bazaar.sweep()
    await bazaar.sweep()
    await deal.settle_due()
    await deal.report(deal.period(0, 5))
    assert await deal.lines() == [("prepaid", COST, 17_000, 17_000)]
    await deal.report(deal.period(5, 5, 4 * 4 * 3600))  # an hour short
    assert (await deal.lines())[1:] == [("refund", -3_400, -1_700, -1_700)]
    assert await deal.left() == 1_700


async def test_a_prepaid_line_waits_for_its_vouchers_and_no_longer_than_the_start(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar, payment=Payment.PREPAID, grants=(HALF,)).confirmed(issue=False)
    await deal.settle_due()
    assert await deal.lines() == []
    bazaar.clock.now = deal.starts_at
    await bazaar.sweep()
    assert await deal.settle_due() == 1
    assert await deal.lines() == [("prepaid", COST, 0, COST)]
    await deal.issue()
    assert await deal.settle_due() == 1
    assert (await deal.lines())[1:] == [("redemption", 0, 17_000, -17_000)]
    assert await deal.settle_due() == 0


async def test_a_voucher_issued_late_redeems_what_was_billed_before(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar, grants=(HALF,)).over(issue=False)
    await deal.report(deal.period(0, 5))
    await deal.issue()
    await deal.report(deal.period(5, 5))
    assert await deal.lines() == [
        ("arrears", 17_000, 0, 17_000),
        ("redemption", 0, 8_500, -8_500),
        ("arrears", 17_000, 8_500, 8_500),
    ]


async def test_usage_of_what_is_prepaid_is_redeemed_as_it_is_delivered(bazaar: Bazaar) -> None:
    grant = Granted(10_200, "usage")
    deal = await Deal(bazaar, payment=Payment.PREPAID, grants=(grant,)).running()
    await deal.settle_due()
    assert await deal.lines() == [("prepaid", COST, 0, COST)]
    bazaar.clock.now = deal.ends_at
    await deal.report(deal.period(0, 5), deal.period(5, 5))
    assert (await deal.lines())[1:] == [("redemption", 0, 5_100, 0), ("redemption", 0, 5_100, 0)]
    assert {row["payment_state"] for row in (await deal.settlements())[1:]} == {"paid"}


async def test_cancelling_voids_what_nobody_paid(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar, payment=Payment.PREPAID, grants=(HALF,)).confirmed()
    await deal.settle_due()
    done = await bazaar.turn(bazaar.buyer, deal.reservation, "cancel", {"reason": "buyer_changed_plans"})
    assert done.status_code == 200, done.text
    [line] = await deal.settlements()
    assert (line["payment_state"], line["redeemed_fen"]) == ("void", 0)
    assert [each["kind"] for each in line["redemptions"]] == ["redeemed", "given_back"]
    assert (await deal.claimable(), await deal.left()) == (0, 0)
    pool = await deal.account("made-up/pool/2026")
    assert pool.left_fen == 10**9
    assert await deal.settle_due() == 0


async def test_cancelling_refunds_what_was_paid(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar, payment=Payment.PREPAID, grants=(HALF,)).confirmed()
    await deal.settle_due()
    [line] = await deal.settlements()
    assert (await deal.try_pay(line)).status_code == 200
    done = await bazaar.turn(bazaar.supplier, deal.reservation, "cancel", {"reason": "hardware_failure"})
    assert done.status_code == 200, done.text
    assert (await deal.lines())[1:] == [("refund", -COST, -17_000, -17_000)]
    assert await deal.claimable() == 0
    refund = (await deal.settlements())[1]
    assert (await deal.try_pay(refund, by=bazaar.supplier)).status_code == 403
    assert (await deal.try_pay(refund, by=bazaar.buyer)).json()["payment_state"] == "paid"


async def test_an_early_end_gives_back_the_rest_of_what_is_prepaid(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar, payment=Payment.PREPAID, grants=(HALF,)).running()
    await deal.settle_due()
    bazaar.clock.advance(hours=3, minutes=30)
    assert (await bazaar.turn(bazaar.buyer, deal.reservation, "end")).status_code == 200
    assert (await deal.lines())[1:] == [("refund", -20_400, -10_200, -10_200)]  # 6 hours of 10
    assert await deal.left() == 10_200


async def test_an_extension_of_what_is_prepaid_is_billed(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar, payment=Payment.PREPAID, grants=(HALF,)).running()
    await deal.settle_due()
    assert (await bazaar.turn(bazaar.buyer, deal.reservation, "extend", {"hours": 2})).status_code == 200
    assert (await deal.lines())[1:] == [("prepaid", 6_800, 0, 6_800)]  # the voucher is used up


async def test_an_expired_voucher_redeems_no_more(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar, hours=60, grants=(Granted(100_000, "short"),)).running()
    bazaar.clock.advance(hours=20)
    [first] = (await deal.report(deal.period(0, 20)))["settlements"]
    bazaar.clock.advance(hours=40)
    [second] = (await deal.report(deal.period(20, 40)))["settlements"]
    assert (first["redeemed_fen"], second["redeemed_fen"]) == (34_000, 0)


async def test_what_a_revoked_voucher_redeemed_comes_back_and_the_buyer_owes_it(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar, grants=(HALF,)).over()
    await deal.report(deal.period(0, 5))
    voucher = f"/v1/vouchers/{encode_id('vch', deal.vouchers[0])}"
    version = (await bazaar.desk.client.get(voucher)).headers["etag"]
    body = {"reason": "false_statement", "detail": "Revenue was misstated."}
    done = await bazaar.desk.client.post(f"{voucher}/revoke", json=body, headers=keyed(**{"If-Match": version}))
    assert done.status_code == 200, done.text
    assert (await deal.lines())[1:] == [("redemption", 0, -8_500, 8_500)]
    [line] = (await deal.report(deal.period(5, 5)))["settlements"]
    assert (line["redeemed_fen"], line["payable_fen"]) == (0, 17_000)
    assert (await deal.claimable(), (await deal.account("made-up/pool/2026")).left_fen) == (0, 10**9)


async def test_numbers_are_a_supplier_s_own_without_gaps(bazaar: Bazaar, make_actor) -> None:
    deal = await Deal(bazaar).over()
    await deal.report(deal.period(0, 1))
    assert (await deal.try_report(deal.period(0, 1))).status_code == 422
    await deal.report(deal.period(1, 1))
    other = Bazaar(
        bazaar.desk, await make_actor("supplier"), bazaar.buyer, bazaar.clock, bazaar.database, bazaar.worker
    )
    later = await Deal(other, start=12).over()
    await later.report(later.period(0, 1))
    assert [row["number"] for row in await deal.settlements()] == [1, 2]
    assert [row["number"] for row in await later.settlements()] == [1]
