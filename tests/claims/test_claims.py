"""Claims: what is refused, what a decision lets go of, what payments net, and races between real connections."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.contracts.models import Payment
from app.kit.db import SYSTEM
from app.kit.ids import encode_id, new_id
from app.vouchers import budgets as caps
from app.vouchers import service as programmes
from tests.bazaar import Bazaar, keyed
from tests.conftest import Actor, MakeActor
from tests.grants import NOW
from tests.settlements.deals import QUARTER_OVER, Deal, Granted, made_up

pytestmark = pytest.mark.anyio
HALF = Granted(17_000)
WHY: dict[str, Any] = {"reason": "proof_insufficient", "detail": "It is unsigned."}


@pytest.fixture
async def deal(bazaar: Bazaar) -> Deal:
    """Two redemptions of 8 500 fen in the last quarter of 2026, which is over."""
    made = await Deal(bazaar, grants=(HALF,)).over()
    await made.report(made.period(0, 5), made.period(5, 5))
    bazaar.clock.now = QUARTER_OVER
    return made


async def redemptions(deal: Deal) -> list[str]:
    return [each["id"] for row in await deal.settlements() for each in row["redemptions"]]


def refusal(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def voucher(deal: Deal, verb: str = "", **body: Any) -> Any:
    path = f"/v1/vouchers/{encode_id('vch', deal.vouchers[0])}"
    client = deal.bazaar.desk.client
    read = (await client.get(path)).json()
    if not verb:
        return read
    done = await client.post(f"{path}/{verb}", json=body, headers=keyed(**{"If-Match": f'"{read["version"]}"'}))
    assert done.status_code == 200, done.text
    return done.json()


async def revoke(deal: Deal) -> None:
    await voucher(deal, "revoke", reason="misuse", detail="Resold.")


async def owed(deal: Deal) -> int:
    """What the supplier owes for revoked vouchers."""
    return -(await deal.account(f"made-up/clawback/{encode_id('org', deal.bazaar.supplier.org_id)}")).left_fen


async def test_a_claim_gathers_what_is_redeemed_and_not_claimed(deal: Deal) -> None:
    first, second = await redemptions(deal)
    claim = await deal.claim(redemption_ids=[first], amount_fen=8_500)
    assert [line["redemption_id"] for line in claim["lines"]] == [first]
    rest = await deal.claim()
    assert [line["redemption_id"] for line in rest["lines"]] == [second]
    assert refusal(await deal.try_claim()) == (409, "nothing_to_claim")
    assert refusal(await deal.try_claim(redemption_ids=[first])) == (409, "already_claimed")
    listed = (await deal.bazaar.desk.client.get("/v1/claims?state=submitted&period=2026-Q4")).json()["data"]
    assert [row["id"] for row in listed] == [claim["id"], rest["id"]]


@pytest.mark.parametrize(
    ("more", "status", "code", "pointer"),
    [
        ({"period": "2027-Q1"}, 409, "claim_period_not_over", None),
        ({"period": "2026-Q3"}, 409, "nothing_to_claim", None),
        ({"period": "2026-12"}, 422, "other_period", "/period"),
        ({"period": "2026-Q5"}, 422, "other_period", "/period"),
        ({"period": "2026"}, 422, "other_period", "/period"),
        ({"programme": "nowhere"}, 404, "not_found", None),
        ({"programme_version": 7}, 404, "not_found", None),
        ({"amount_fen": 16_999}, 422, "claim_differs", "/amount_fen"),
        ({"amount_fen": 17_000.125}, 422, "invalid", "/amount_fen"),
        ({"amount_fen": "170.001"}, 422, "invalid", "/amount_fen"),
        ({"redemption_ids": [encode_id("rdm", new_id())]}, 422, "unknown_redemption", "/redemption_ids/0"),
        ({"redemption_ids": []}, 422, "invalid", "/redemption_ids"),
        ({"proofs": [{"kind": "photo", "document_id": encode_id("doc", new_id())}]}, 422, "unknown_proof",
         "/proofs/0/kind"),
        ({"state": "paid"}, 422, "invalid", "/state"),
    ],
)  # fmt: skip
async def test_what_can_t_be_claimed(deal: Deal, more: dict[str, Any], status: int, code: str, pointer: str) -> None:
    answer = await deal.try_claim(**more)
    assert refusal(answer) == (status, code), answer.text
    assert pointer is None or pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert (await deal.bazaar.desk.client.get("/v1/claims")).json()["data"] == []


async def test_a_redemption_is_claimed_with_its_own_period(deal: Deal) -> None:
    first, _ = await redemptions(deal)
    answer = await deal.try_claim(period="2026-Q3", redemption_ids=[first])
    assert refusal(answer) == (422, "outside_period")


async def test_who_is_not_the_claimant(deal: Deal, make_actor: MakeActor) -> None:
    first, _ = await redemptions(deal)
    bazaar = deal.bazaar
    assert refusal(await deal.try_claim(by=bazaar.buyer)) == (403, "not_the_claimant")
    other = await make_actor("supplier")
    assert refusal(await deal.try_claim(by=other)) == (409, "nothing_to_claim")
    assert refusal(await deal.try_claim(by=other, redemption_ids=[first])) == (422, "unknown_redemption")
    own = encode_id("org", bazaar.supplier.org_id)
    assert refusal(await deal.try_claim(by=other, claimant_org_id=own)) == (403, "not_the_claimant")
    assert refusal(await deal.try_claim(by=bazaar.desk)) == (422, "claimant_needed")
    files = {"file": ("a.pdf", b"%PDF-1", "application/pdf")}
    answer = await other.client.post("/v1/claim-proofs", params={"claimant_org_id": own}, files=files)
    assert refusal(answer) == (403, "forbidden")
    claim = await deal.claim(by=bazaar.desk, claimant_org_id=own)
    assert claim["claimant_org_id"] == own
    for stranger in (other, bazaar.buyer):
        assert refusal(await stranger.client.get(f"/v1/claims/{claim['id']}")) == (404, "not_found")
        assert (await stranger.client.get("/v1/claims")).json()["data"] == []
    assert (await bazaar.supplier.client.get("/v1/claims")).json()["data"][0]["id"] == claim["id"]
    assert refusal(await deal.try_decide(claim, "approve", by=bazaar.supplier)) == (403, "forbidden")


async def test_a_buyer_claims_where_its_programme_says_so(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar, grants=(Granted(17_000, "buyers"),)).over()
    await deal.report(deal.period(0, 10))
    bazaar.clock.now = QUARTER_OVER
    assert refusal(await deal.try_claim("buyers")) == (403, "not_the_claimant")
    claim = await deal.claim("buyers", by=bazaar.buyer)
    paid = await deal.pay_claim(await deal.decide(claim, "approve"))
    assert (paid["cash_fen"], await deal.claimable("buyers", by=bazaar.buyer)) == (17_000, 0)


async def test_every_kind_of_proof_is_needed(bazaar: Bazaar, make_actor: MakeActor) -> None:
    deal = await Deal(bazaar, cards=40, price_fen=10_000, grants=(Granted(2_000_000, "chengdu-2023"),)).over()
    await deal.report(deal.period(0, 10))
    bazaar.clock.now = QUARTER_OVER
    answer = await deal.try_claim("chengdu-2023", kinds=("contract", "settlement"))
    assert refusal(answer) == (422, "proofs_missing")
    assert "delivery record" in answer.json()["detail"]
    other = await make_actor("supplier")
    theirs = {"kind": "contract", "document_id": await deal.proof(other, "contract")}
    assert refusal(await deal.try_claim("chengdu-2023", proofs=[theirs])) == (422, "unknown_document")
    own = {"kind": "contract", "document_id": await deal.proof(bazaar.supplier, "contract")}
    assert refusal(await deal.try_claim("chengdu-2023", proofs=[own, own])) == (422, "proof_twice")
    claim = await deal.claim("chengdu-2023", kinds=("contract", "settlement", "delivery record"))
    proof = claim["proofs"][0]
    path = f"/v1/claims/{claim['id']}/proofs/{proof['document_id']}"
    read = await bazaar.desk.client.get(path)
    assert (read.content, read.headers["etag"]) == (b"%PDF-1.7 contract", f'"{proof["sha256"]}"')
    assert (await bazaar.buyer.client.get(path)).status_code == 404
    unrelated = f"/v1/claims/{claim['id']}/proofs/{theirs['document_id']}"
    assert refusal(await bazaar.desk.client.get(unrelated)) == (404, "not_found")


@pytest.mark.parametrize(
    ("content", "name", "status", "code"),
    [
        (b"MZ\x90", "proof.pdf", 422, "document_type"),
        (b"", "proof.pdf", 422, "document_type"),
        (b"%PDF-" + bytes(10 * 1024 * 1024 + 70_000), "proof.pdf", 413, "upload_too_large"),
    ],
)
async def test_proofs_have_a_type_and_a_size(bazaar: Bazaar, content: bytes, name: str, status: int, code: str) -> None:
    answer = await bazaar.supplier.client.post("/v1/claim-proofs", files={"file": (name, content, "application/pdf")})
    assert refusal(answer) == (status, code)


async def test_a_rejected_line_is_claimed_again(deal: Deal) -> None:
    claim = await deal.claim()
    bad = claim["lines"][0]["id"]
    unknown = {"line_id": encode_id("cll", new_id())} | WHY
    assert refusal(await deal.try_decide(claim, "approve", rejected=[unknown])) == (422, "unknown_line")
    twice = [{"line_id": bad} | WHY] * 2
    assert refusal(await deal.try_decide(claim, "approve", rejected=twice)) == (422, "line_twice")
    every = [{"line_id": line["id"]} | WHY for line in claim["lines"]]
    assert refusal(await deal.try_decide(claim, "approve", rejected=every)) == (422, "all_lines_rejected")
    assert refusal(await deal.try_decide(claim, "pay", amount_fen=17_000)) == (409, "claim_state")
    approved = await deal.decide(claim, "approve", rejected=[{"line_id": bad} | WHY])
    assert [(line["state"], line["reason"], line["detail"]) for line in approved["lines"]] == [
        ("rejected", "proof_insufficient", "It is unsigned."),
        ("approved", None, None),
    ]
    assert (approved["approved_fen"], await deal.claimable()) == (8_500, 8_500)
    again = await deal.claim()
    assert [line["redemption_id"] for line in again["lines"]] == [claim["lines"][0]["redemption_id"]]
    assert refusal(await deal.try_decide(approved, "approve")) == (409, "claim_state")
    assert refusal(await deal.try_decide(approved, "pay", amount_fen=8_499)) == (422, "claim_payment_differs")
    late: dict[str, Any] = {"amount_fen": 8_500, "paid_at": "2027-01-02T00:00:01Z"}
    assert refusal(await deal.try_decide(approved, "pay", **late)) == (422, "paid_in_future")
    assert refusal(await deal.try_decide(approved, "pay", version=1, amount_fen=8_500)) == (412, "stale")
    paid = await deal.pay_claim(approved)
    assert refusal(await deal.try_decide(paid, "reject", **WHY)) == (409, "claim_state")
    rejected = await deal.decide(again, "reject", **WHY)
    assert (rejected["state"], rejected["approved_fen"], await deal.claimable()) == ("rejected", 0, 8_500)


async def test_what_a_correction_could_not_give_back_comes_back_after_a_rejection(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar, grants=(HALF,)).over()
    first = (await deal.report(deal.period(0, 5)))["reports"][0]
    claim = await deal.claim_all()
    await deal.report(deal.period(0, 5, 0, corrects_id=first["id"]))
    assert await deal.left() == 8_500
    await deal.decide(claim, "reject", **WHY)
    assert await deal.settle_due() == 1
    assert (await deal.left(), await deal.claimable()) == (17_000, 0)


async def test_a_rejected_claim_on_a_revoked_voucher_is_returned_once(deal: Deal) -> None:
    pool = await deal.account("made-up/pool/2026")
    before = pool.left_fen
    claim = await deal.claim()
    await revoke(deal)
    # The clawback gave pool and cap theirs at once; the supplier owes what it is not paid yet.
    assert ((await deal.account("made-up/pool/2026")).left_fen, await owed(deal)) == (before + 17_000, 17_000)
    assert refusal(await deal.try_claim(redemption_ids=await redemptions(deal))) == (409, "already_claimed")
    await deal.decide(claim, "reject", **WHY)
    assert refusal(await deal.try_claim()) == (409, "nothing_to_claim")
    named = await deal.try_claim(redemption_ids=await redemptions(deal))
    assert refusal(named) == (409, "voucher_revoked")
    assert await deal.settle_due() == 1
    # Nothing is owed any more, and nothing came back twice.
    assert ((await deal.account("made-up/pool/2026")).left_fen, await owed(deal)) == (before + 17_000, 0)
    assert (await deal.claimable(), await deal.left()) == (0, 0)
    buyer = encode_id("org", deal.bazaar.buyer.org_id)
    assert (await deal.account(f"made-up/buyer/{buyer}/2026")).left_fen == 10**9


async def test_what_was_paid_for_a_revoked_voucher_is_recovered_from_the_next_claim(deal: Deal) -> None:
    paid = await deal.pay_claim(await deal.decide(await deal.claim(), "approve"))
    assert paid["cash_fen"] == 17_000
    await revoke(deal)
    assert await owed(deal) == 17_000
    bazaar = deal.bazaar
    bazaar.clock.now = QUARTER_OVER.replace(year=2026, month=12)
    following = await Deal(bazaar, hours=20, start=24 + 12, grants=(Granted(34_000),), opened=True).over()
    await following.report(following.period(0, 20))
    bazaar.clock.now = QUARTER_OVER
    approved = await following.decide(await following.claim(), "approve")
    assert [approved[each] for each in ("approved_fen", "recovered_fen", "netted_fen", "cash_fen")] == [
        34_000, 17_000, 0, 17_000,
    ]  # fmt: skip
    await following.pay_claim(approved)
    assert await owed(deal) == 0


async def advance(bazaar: Bazaar, programme: str, amount_fen: Any, *, to: Actor | None = None) -> Any:
    body = {"supplier_org_id": encode_id("org", (to or bazaar.supplier).org_id), "amount_fen": amount_fen}
    return await bazaar.desk.client.post(f"/v1/programmes/{programme}/advances", json=body, headers=keyed())


@pytest.mark.parametrize("paid", [True, False])
async def test_what_a_claim_holds_of_a_contract_that_is_cancelled_its_claimant_owes(
    bazaar: Bazaar, *, paid: bool
) -> None:
    """Paid ahead in one quarter, claimed after it, cancelled before it began: the pool has all of it back once."""
    deal = await Deal(bazaar, start=24 * 40, payment=Payment.PREPAID, grants=(HALF,)).confirmed()
    await deal.settle_due()
    bazaar.clock.now = QUARTER_OVER
    claim = await deal.claim()
    approved = await deal.decide(claim, "approve") if paid else claim
    await bazaar.turn(bazaar.buyer, deal.reservation, "cancel", {"reason": "buyer_changed_plans"})
    assert (await voucher(deal))["state"] == "revoked"
    pool = await deal.account(caps.pool_name("made-up", 2026))
    assert pool.left_fen == 10**9
    assert (await deal.account(caps.clawback_name("made-up", bazaar.supplier.org_id))).left_fen == -HALF.amount_fen
    if paid:
        done = await deal.decide(approved, "pay", amount_fen=0)
        assert (done["recovered_fen"], done["cash_fen"]) == (HALF.amount_fen, 0)
    else:
        await deal.decide(claim, "reject", **WHY)
        await deal.settle_due()
    assert (await deal.account(caps.clawback_name("made-up", bazaar.supplier.org_id))).left_fen == 0
    assert (await deal.account(caps.pool_name("made-up", 2026))).left_fen == 10**9
    assert await deal.claimable() == 0


async def test_advances_are_of_programmes_with_a_reserve_fund_and_up_to_their_limit(bazaar: Bazaar) -> None:
    await Deal(bazaar, grants=(Granted(1, "suzhou-example"),)).open_programmes()
    assert refusal(await advance(bazaar, "made-up", 1)) == (409, "no_reserve_fund")
    assert refusal(await advance(bazaar, "beijing-2023", 1)) == (409, "no_reserve_fund")
    assert refusal(await advance(bazaar, "chengdu-2023", 1)) == (409, "programme_never_opened")
    assert refusal(await advance(bazaar, "nowhere", 1)) == (404, "not_found")
    assert refusal(await advance(bazaar, "suzhou-example", 1, to=bazaar.buyer)) == (422, "not_a_supplier")
    assert refusal(await advance(bazaar, "suzhou-example", 0)) == (422, "invalid")
    assert refusal(await advance(bazaar, "suzhou-example", 10.125)) == (422, "invalid")
    most = await advance(bazaar, "suzhou-example", 50_000_000)
    assert (most.json()["outstanding_fen"], most.json()["cap_fen"]) == (50_000_000, 50_000_000)
    assert refusal(await advance(bazaar, "suzhou-example", 1)) == (409, "advance_above_cap")
    path = "/v1/programmes/suzhou-example/advances"
    assert [row["amount_fen"] for row in (await bazaar.supplier.client.get(path)).json()["data"]] == [50_000_000]
    assert (await bazaar.buyer.client.get(path)).json()["data"] == []
    body = {"supplier_org_id": encode_id("org", bazaar.supplier.org_id), "amount_fen": 1}
    assert (await bazaar.supplier.client.post(path, json=body, headers=keyed())).status_code == 403


async def test_an_advance_above_a_claim_is_netted_over_several(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar, cards=40, price_fen=10_000, grants=(Granted(2_000_000, "chengdu-2023"),)).over()
    assert (await advance(bazaar, "chengdu-2023", 1_500_000)).status_code == 201
    await deal.report(deal.period(0, 5), deal.period(5, 5))
    bazaar.clock.now = QUARTER_OVER
    kinds = ("contract", "settlement", "delivery record")
    amounts: list[tuple[int, int]] = []
    for redemption in await redemptions(deal):
        claim = await deal.claim("chengdu-2023", kinds=kinds, redemption_ids=[redemption])
        paid = await deal.pay_claim(await deal.decide(claim, "approve"))
        amounts.append((paid["netted_fen"], paid["cash_fen"]))
    assert amounts == [(1_000_000, 0), (500_000, 500_000)]


async def test_a_stranger_sees_and_writes_nothing_of_claims(bazaar: Bazaar, make_actor: MakeActor) -> None:
    deal = await Deal(bazaar, cards=40, price_fen=10_000, grants=(Granted(2_000_000, "chengdu-2023"),)).over()
    assert (await advance(bazaar, "chengdu-2023", 1)).status_code == 201
    await deal.report(deal.period(0, 10))
    bazaar.clock.now = QUARTER_OVER
    await deal.claim("chengdu-2023", kinds=("contract", "settlement", "delivery record"))
    seen: dict[str, list[int]] = {}
    for actor in (bazaar.supplier, bazaar.buyer, await make_actor("supplier"), bazaar.desk):
        async with bazaar.database.read(actor.caller.scope) as session:
            for table in ("claim", "claim_line", "claim_proof", "advance"):
                rows = await session.scalar(text(f"SELECT count(*) FROM {table}"))
                seen.setdefault(table, []).append(rows or 0)
    assert seen == {
        "claim": [1, 0, 0, 1],
        "claim_line": [1, 0, 0, 1],
        "claim_proof": [3, 0, 0, 3],
        "advance": [1, 0, 0, 1],
    }
    for statement in (
        "UPDATE claim SET version = 9",
        "UPDATE claim_line SET state = 'approved'",
    ):
        async with bazaar.database.write(bazaar.supplier.caller.scope) as session:
            done = await session.execute(text(statement))
            assert done.rowcount == 0, statement  # pyright: ignore[reportAttributeAccessIssue]  of a cursor's result


async def test_two_submissions_of_one_redemption(deal: Deal) -> None:
    for _ in range(5):
        answers = await asyncio.gather(*(deal.try_claim() for _ in range(2)))
        assert sorted(answer.status_code for answer in answers) == [201, 409]
        [won] = [answer.json() for answer in answers if answer.status_code == 201]
        await deal.decide(won, "reject", **WHY)


async def test_approve_against_reject(deal: Deal) -> None:
    for _ in range(5):
        claim = await deal.claim()
        answers = await asyncio.gather(deal.try_decide(claim, "approve"), deal.try_decide(claim, "reject", **WHY))
        assert sorted(answer.status_code for answer in answers) in ([200, 409], [200, 412])
        [won] = [answer.json() for answer in answers if answer.status_code == 200]
        if won["state"] == "approved":
            await deal.pay_claim(won)
            return


async def test_a_repeated_submission_has_one_effect(deal: Deal) -> None:
    headers, body = keyed(), {"programme": "made-up", "period": "2026-Q4"}
    client = deal.bazaar.supplier.client
    first, again = [await client.post("/v1/claims", json=body, headers=headers) for _ in range(2)]
    assert (first.json(), again.headers["Idempotent-Replayed"]) == (again.json(), "true")
    assert refusal(await client.post("/v1/claims", json=body)) == (400, "idempotency_key_required")


async def test_signals_are_stored_for_the_desk(bazaar: Bazaar) -> None:
    """Affiliated sides, a price fifteen times the last, and a voucher redeemed ahead of delivery."""
    usual = await Deal(bazaar, grants=(Granted(100),)).over()
    bazaar.clock.now = usual.starts_at - timedelta(minutes=30)
    org, other = (encode_id("org", actor.org_id) for actor in (bazaar.buyer, bazaar.supplier))
    body = {"org_id": org, "other_org_id": other, "valid_from": "2026-01-01", "evidence": "Register."}
    made = await bazaar.desk.client.post("/v1/affiliations", json=body)
    assert made.status_code == 201, made.text
    deal = Deal(
        bazaar, hours=20, start=24, price_fen=12_750, payment=Payment.PREPAID, grants=(Granted(30_000),), opened=True
    )
    await deal.confirmed()
    await deal.settle_due()
    [application] = [
        each
        for each in (await bazaar.desk.client.get("/v1/voucher-applications")).json()["data"]
        if each["contract_id"] == deal.contract["id"]
    ]
    at_application = ["affiliated_parties", "price_above_recent"]
    assert [signal["code"] for signal in application["signals"]] == at_application
    own = await bazaar.buyer.client.get(f"/v1/voucher-applications/{application['id']}")
    assert own.json()["signals"] is None
    bazaar.clock.now = QUARTER_OVER
    claim = await deal.claim()
    assert claim["signals"] is None
    shown = (await bazaar.desk.client.get(f"/v1/claims/{claim['id']}", headers={"Accept-Language": "zh-CN"})).json()
    assert [signal["code"] for signal in shown["signals"]] == [*at_application, "claimed_above_metered"]
    assert "关联" in shown["signals"][0]["told"]


async def test_a_proof_that_proves_another_claim_is_signalled(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar, cards=40, price_fen=10_000, grants=(Granted(2_000_000, "chengdu-2023"),)).over()
    await deal.report(deal.period(0, 5), deal.period(5, 5))
    bazaar.clock.now = QUARTER_OVER
    first, second = await redemptions(deal)
    kinds = ("contract", "settlement", "delivery record")
    claims = [await deal.claim("chengdu-2023", kinds=kinds, redemption_ids=[each]) for each in (first, second)]
    shown = [(await bazaar.desk.client.get(f"/v1/claims/{each['id']}")).json()["signals"] for each in claims]
    assert shown[0] == []
    assert [(signal["code"], signal["against"]) for signal in shown[1]] == [("proof_reused", claims[0]["id"])] * 3
    await deal.decide(claims[0], "reject", **WHY)
    await deal.decide(claims[1], "reject", **WHY)
    again = await deal.claim("chengdu-2023", kinds=kinds)
    # The proofs of a rejected claim may come again.
    assert (await bazaar.desk.client.get(f"/v1/claims/{again['id']}")).json()["signals"] == []


async def test_a_claim_after_its_time(bazaar: Bazaar) -> None:
    """A programme claimed by the month, within 30 days."""
    text = made_up("monthly", "0.5").replace(
        'by = "supplier"', 'by = "supplier"\ncadence = "month"\nproofs = ["invoice"]\nwithin_days = 30'
    )
    async with bazaar.database.write(SYSTEM) as session:
        await programmes.store_programmes(session, [text], NOW)
    deal = await Deal(bazaar, grants=(Granted(17_000, "monthly"),)).over()
    await deal.report(deal.period(0, 10))
    assert refusal(await deal.try_claim("monthly")) == (422, "other_period")
    end = datetime(2026, 12, 31, 16, tzinfo=UTC)
    claim: dict[str, Any] = {"period": "2026-12", "kinds": ("invoice",)}
    bazaar.clock.now = end - timedelta(seconds=1)
    assert refusal(await deal.try_claim("monthly", **claim)) == (409, "claim_period_not_over")
    bazaar.clock.now = end + timedelta(days=30)
    assert refusal(await deal.try_claim("monthly", **claim)) == (409, "claim_late")
    bazaar.clock.now -= timedelta(seconds=1)
    assert (await deal.claim("monthly", **claim))["amount_fen"] == 17_000
