"""A reservation takes its earmarks with its hold and gives them back when it ends before it runs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from app.demand import service as demand
from app.kit.db import Database, acting_as_system
from app.kit.errors import Problem
from app.kit.ids import decode_id, encode_id
from app.matching.repository import lock_offers
from app.reservations.holding import Hold, hold_capacity
from app.verification.service import verify
from app.vouchers.budgets import Component
from tests.bazaar import Bazaar, refusal
from tests.grants import Grants, component

pytestmark = pytest.mark.anyio
COST = 34_000  # 4 cards × 10 hours × 850


@dataclass
class Fair:
    """A bazaar whose bookings carry subsidies."""

    bazaar: Bazaar
    grants: Grants

    async def hold(self, request: Any, offer: Any, *blocks: tuple[Component, ...], start: int = 1) -> list[Any]:
        """Hold each block for 10 hours, the first `start` hours after the day began, with its components."""
        bazaar, caller = self.bazaar, self.bazaar.buyer.caller
        async with bazaar.database.write(caller.scope) as session:
            row = await demand.get_request(session, caller, decode_id("req", request["id"]), lock=True)
            offer_id = decode_id("offer", offer["id"])
            async with acting_as_system(session, caller.scope):
                listed = (await lock_offers(session, {offer_id}))[offer_id]
            starts_at = datetime.fromisoformat(bazaar.at(start))
            holds = [
                Hold(block=block, offer=listed, cards=4, starts_at=starts_at, hours=10, components=components)
                for block, components in enumerate(blocks)
            ]
            rows = await hold_capacity(session, caller, row, holds, now=bazaar.clock())
            ids = [encode_id("rsv", held.id) for held in rows]
        return [await bazaar.read({"id": rsv}) for rsv in ids]

    async def one(self, amount_fen: int = 10_000, **offer: Any) -> Any:
        listed, request = await self.bazaar.offer(**offer), await self.bazaar.request()
        return (await self.hold(request, listed, (component(amount_fen),)))[0]

    async def left(self) -> tuple[int | None, int | None]:
        """What is left of the pool and of the buyer's cap."""
        budgets = await self.grants.left(self.bazaar.buyer.org_id)
        return (budgets.pool_fen, budgets.buyer_fen[self.bazaar.buyer.org_id])

    async def vouchers(self) -> list[tuple[str, int]]:
        listed = (await self.bazaar.buyer.client.get("/v1/vouchers")).json()["data"]
        return [(voucher["state"], voucher["amount_fen"]) for voucher in listed]

    async def transfers(self, kind: str) -> int:
        answer = await self.bazaar.desk.client.get("/v1/ledger/transfers", params={"kind": kind, "limit": 100})
        return len(answer.json()["data"])


@pytest.fixture
async def fair(bazaar: Bazaar, app_database: Database) -> Fair:
    body = {"key": "integrity", "value": "clean", "valid_from": "2026-01-01", "evidence": "record"}
    path = f"/v1/organisations/{encode_id('org', bazaar.buyer.org_id)}/facts"
    assert (await bazaar.desk.client.post(path, json=body)).status_code == 201
    return Fair(bazaar, await Grants(app_database).open())


@pytest.fixture
async def auditor_database(database_url, app_database: Database):
    database = Database(database_url.set(username="cardhour_auditor"), role="cardhour_auditor", pool_size=1)
    yield database
    findings = await verify(database)
    await database.dispose()
    assert [finding.told for finding in findings if not finding.holds] == []


@pytest.fixture(autouse=True)
async def everything_holds_afterwards(auditor_database: Database) -> None:
    """`cardhour verify` passes after every test here."""


async def test_a_hold_takes_its_earmark(fair: Fair) -> None:
    held = await fair.one(10_000)
    assert (held["subsidy_fen"], held["cost_fen"], held["net_fen"]) == (10_000, COST, COST - 10_000)
    assert await fair.left() == (90_000, 20_000)
    assert await fair.vouchers() == [("earmarked", 10_000)]


async def test_subsidies_of_two_programmes_add_up(fair: Fair) -> None:
    await fair.grants.open(programme="second")
    request, offer = await fair.bazaar.request(), await fair.bazaar.offer()
    [held] = await fair.hold(request, offer, (component(10_000), component(5_000, programme="second")))
    assert held["subsidy_fen"] == 15_000
    await fair.bazaar.turn(fair.bazaar.buyer, held, "cancel", {"reason": "buyer_changed_plans"})
    assert await fair.vouchers() == [("voided", 10_000), ("voided", 5_000)]


async def test_a_refused_earmark_holds_nothing(fair: Fair) -> None:
    request, offer = await fair.bazaar.request(), await fair.bazaar.offer()
    with pytest.raises(Problem) as caught:
        await fair.hold(request, offer, (component(30_001),))
    assert caught.value.code.code == "funds_exhausted"
    assert await fair.bazaar.free(offer, 2) == 8
    assert (await fair.bazaar.read_request(request["id"]))["state"] == "open"
    assert await fair.left() == (100_000, 30_000)


async def test_a_refused_hold_takes_no_earmark(fair: Fair) -> None:
    request, offer = await fair.bazaar.request(), await fair.bazaar.offer(cards=3)
    with pytest.raises(Problem) as caught:
        await fair.hold(request, offer, (component(10_000),))
    assert caught.value.code.code == "capacity_taken"
    assert await fair.left() == (100_000, 30_000)


@pytest.mark.parametrize(
    ("side", "reason"),
    [("buyer", "buyer_changed_plans"), ("supplier", "refused"), ("desk", "desk_decision")],
)
@pytest.mark.parametrize("confirmed", [False, True])
async def test_whoever_cancels_the_earmark_is_voided(fair: Fair, side: str, reason: str, confirmed: bool) -> None:
    held = await fair.one()
    if confirmed:
        await fair.bazaar.confirm(held)
        assert await fair.left() == (90_000, 20_000)
    done = await fair.bazaar.turn(getattr(fair.bazaar, side), held, "cancel", {"reason": reason})
    assert done.status_code == 200, done.text
    assert await fair.left() == (100_000, 30_000)
    # What was issued at the confirmation is returned by new transfers.
    assert await fair.vouchers() == [("revoked" if confirmed else "voided", 10_000)]
    assert (await fair.transfers("post"), await fair.transfers("void")) == ((2, 0) if confirmed else (0, 2))


async def test_a_lapsed_hold_expires_its_earmark(fair: Fair) -> None:
    await fair.one()
    fair.bazaar.clock.advance(hours=2)
    assert (await fair.bazaar.sweep()).expired == 1
    assert await fair.left() == (100_000, 30_000)
    assert (await fair.transfers("void"), await fair.transfers("expire")) == (0, 2)
    assert (await fair.bazaar.sweep()).changed == 0


async def test_blocks_below_min_blocks_give_theirs_back_too(fair: Fair) -> None:
    offer = await fair.bazaar.offer()
    request = await fair.bazaar.request(blocks=2, min_blocks=2)
    first, second = await fair.hold(request, offer, (component(1_000),), (component(2_000),))
    assert await fair.left() == (97_000, 27_000)
    await fair.bazaar.turn(fair.bazaar.supplier, first, "cancel", {"reason": "refused"})
    assert (await fair.bazaar.read(second))["reason_code"] == "below_min_blocks"
    assert await fair.left() == (100_000, 30_000)
    assert await fair.vouchers() == [("voided", 1_000), ("voided", 2_000)]


async def test_a_lapsed_block_takes_the_others_with_it(fair: Fair) -> None:
    offer = await fair.bazaar.offer()
    request = await fair.bazaar.request(blocks=2, min_blocks=2)
    first, _ = await fair.hold(request, offer, (component(1_000),), (component(2_000),), start=30)
    await fair.bazaar.confirm(first)
    fair.bazaar.clock.advance(hours=24, minutes=1)
    swept = await fair.bazaar.sweep()
    assert (swept.expired, swept.released) == (1, 1)
    assert await fair.left() == (100_000, 30_000)
    assert (await fair.transfers("void"), await fair.transfers("expire")) == (0, 2)
    assert await fair.vouchers() == [("revoked", 1_000), ("voided", 2_000)]


async def test_what_runs_and_what_ran_keeps_its_voucher(fair: Fair) -> None:
    held = await fair.one()
    await fair.bazaar.active(held)
    assert await fair.left() == (90_000, 20_000)
    fair.bazaar.clock.advance(hours=11)
    assert (await fair.bazaar.sweep()).completed == 1
    assert await fair.left() == (90_000, 20_000)
    assert await fair.vouchers() == [("issued", 10_000)]


async def test_extending_takes_no_new_subsidy(fair: Fair) -> None:
    held = await fair.one()
    await fair.bazaar.confirm(held)
    done = await fair.bazaar.turn(fair.bazaar.buyer, held, "extend", {"hours": 10})
    assert (done.json()["subsidy_fen"], done.json()["net_fen"]) == (10_000, 2 * COST - 10_000)
    assert await fair.left() == (90_000, 20_000)


async def test_ending_early_leaves_the_voucher_though_the_cost_shrinks(fair: Fair) -> None:
    held = await fair.one()
    await fair.bazaar.active(held)
    fair.bazaar.clock.advance(minutes=10)
    done = await fair.bazaar.turn(fair.bazaar.supplier, held, "end")
    assert (done.json()["cost_fen"], done.json()["subsidy_fen"], done.json()["net_fen"]) == (3_400, 3_400, 0)
    assert await fair.left() == (90_000, 20_000)
    # Extended again before that end, it costs more again, and the earmark covers what it was taken for.
    more = await fair.bazaar.turn(fair.bazaar.buyer, held, "extend", {"hours": 9})
    assert (more.json()["cost_fen"], more.json()["subsidy_fen"]) == (COST, 10_000)


async def test_what_was_given_back_can_be_earmarked_again(fair: Fair) -> None:
    request, offer = await fair.bazaar.request(), await fair.bazaar.offer()
    for _ in range(3):
        [held] = await fair.hold(request, offer, (component(30_000),))
        assert (await fair.left())[1] == 0
        await fair.bazaar.turn(fair.bazaar.buyer, held, "cancel", {"reason": "buyer_changed_plans"})
    assert await fair.left() == (100_000, 30_000)


async def test_a_stale_cancel_releases_nothing(fair: Fair) -> None:
    held = await fair.one()
    done = await fair.bazaar.turn(
        fair.bazaar.buyer, held, "cancel", {"reason": "buyer_changed_plans"}, version=held["version"] + 1
    )
    assert refusal(done) == (412, "stale")
    assert await fair.left() == (90_000, 20_000)


async def test_bookings_without_a_voucher_touch_no_account(bazaar: Bazaar, app_database: Database) -> None:
    await Grants(app_database).open()  # whose clauses the buyer does not meet
    await bazaar.offer()
    [booked] = await bazaar.book()
    await bazaar.turn(bazaar.buyer, booked, "cancel", {"reason": "buyer_changed_plans"})
    answer = await bazaar.desk.client.get("/v1/ledger/transfers", params={"kind": "pending"})
    assert answer.json()["data"] == []
