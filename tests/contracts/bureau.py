"""A bazaar with voucher programmes whose holds carry subsidies, and whose contracts apply for them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx

from app.contracts.repository import lock_reservation
from app.contracts.service import sweep_choices, sweep_vouchers
from app.demand import service as demand
from app.kit.db import SYSTEM, Database, acting_as_system
from app.kit.ids import decode_id, encode_id, new_id
from app.ledger import service as ledger
from app.ledger.models import Guard, TransferKind
from app.ledger.repository import NewAccount, NewTransfer
from app.matching.repository import lock_offers
from app.reservations.holding import Hold, hold_capacity
from app.reservations.service import refresh_subsidy
from app.vouchers import budgets, life, service
from app.vouchers.budgets import Budgets, Component
from app.vouchers.repository import lock_vouchers
from tests.bazaar import Bazaar, keyed
from tests.conftest import Actor
from tests.grants import NOW, OTHER_TOML, TOML

COST = 34_000  # 4 cards × 10 hours × 850
POOL, CAP = 100_000, 30_000
# Under this one the desk checks something, a voucher is valid for 30 days, and good outcomes are rewarded.
CHECKED = TOML.replace('id = "made-up"', 'id = "checked"', 1).replace(
    "partners_only = false",
    """partners_only = false
voucher_valid_days = 30
excluded_items = ["storage"]

[[desk_checks]]
en = "the project was won together"
zh = "项目由双方共同中标"

[evaluation]
within_days = 60

[evaluation.bonus]
min_score = 80
rate = "0.1"
""",
)
STACKED = [
    text.replace("partners_only = false", f'partners_only = false\nstacks_with = ["{other}"]')
    for text, other in ((TOML.replace('"made-up"', '"one"'), "two"), (OTHER_TOML.replace('"second"', '"two"'), "one"))
]


def component(amount_fen: int, *, programme: str = "made-up", tier: str = "general", year: int = 2026) -> Component:
    return Component(programme, 1, tier, year, amount_fen)


@dataclass
class Bureau:
    bazaar: Bazaar
    database: Database
    worker: Database
    by_hand: list[UUID]

    async def open(self) -> "Bureau":
        """Store the programmes, open them for the year, and record that the buyer is clean."""
        async with self.database.write(SYSTEM) as session:
            await service.store_programmes(session, [TOML, CHECKED, *STACKED], NOW)
        for programme in ("made-up", "checked", "one", "two"):
            await self.open_year(2026, programme)
        await self.fact("integrity", "clean", "2026-01-01")
        return self

    async def open_year(self, year: int, programme: str = "made-up", pool_fen: int = POOL) -> None:
        async with self.database.write(SYSTEM) as session:
            await service.open_year(session, programme, 1, year, pool_fen, CAP, now=NOW)

    async def fact(self, key: str, value: Any, since: str, of: Actor | None = None) -> None:
        body = {"key": key, "value": value, "valid_from": since, "evidence": "record"}
        org = encode_id("org", (of or self.bazaar.buyer).org_id)
        made = await self.bazaar.desk.client.post(f"/v1/organisations/{org}/facts", json=body)
        assert made.status_code == 201, made.text

    async def hold(self, *components: Component, start: int = 1, hours: int = 10, blocks: int = 1) -> Any:
        """Hold a block (the first of `blocks`, all of which the request needs) with its subsidies."""
        bazaar, caller = self.bazaar, self.bazaar.buyer.caller
        offer = await bazaar.offer(end=2000)
        request = await bazaar.request(deadline=bazaar.at(2000), blocks=blocks, min_blocks=blocks)
        async with bazaar.database.write(caller.scope) as session:
            row = await demand.get_request(session, caller, decode_id("req", request["id"]), lock=True)
            offer_id = decode_id("offer", offer["id"])
            async with acting_as_system(session, caller.scope):
                listed = (await lock_offers(session, {offer_id}))[offer_id]
            starts_at = datetime.fromisoformat(bazaar.at(start))
            holds = [
                Hold(
                    block=n,
                    offer=listed,
                    cards=4,
                    starts_at=starts_at,
                    hours=hours,
                    components=components if n == 0 else (),
                )
                for n in range(blocks)
            ]
            held = [
                encode_id("rsv", each.id)
                for each in await hold_capacity(session, caller, row, holds, now=bazaar.clock())
            ]
        return await bazaar.read({"id": held[0]})

    async def confirmed(self, *components: Component, **more: Any) -> Any:
        """Hold, let both sides accept, and return the reservation as it then is."""
        held = await self.hold(*components, **more)
        return await self.bazaar.confirm(held)

    async def contract(self, reservation: Any, by: Actor | None = None) -> Any:
        """The contract of a reservation, whole."""
        client = (by or self.bazaar.buyer).client
        listed = (await client.get("/v1/contracts", params={"reservation_id": reservation["id"]})).json()["data"]
        assert len(listed) == 1
        return (await client.get(f"/v1/contracts/{listed[0]['id']}")).json()

    async def application(self, reservation: Any, programme: str | None = None) -> Any:
        """The application of a reservation's contract, the only one or that of a programme."""
        [found] = [
            each
            for each in (await self.contract(reservation))["applications"]
            if programme in (None, each["programme"])
        ]
        return found

    async def turn(
        self, by: Actor, application: Any, verb: str, body: Any = None, *, version: int | None = None
    ) -> httpx.Response:
        path = f"/v1/voucher-applications/{application['id']}"
        if version is None:
            version = (await self.bazaar.desk.client.get(path)).json()["version"]
        return await by.client.post(f"{path}/{verb}", json=body or {}, headers=keyed(**{"If-Match": f'"{version}"'}))

    async def turn_voucher(self, by: Actor, voucher_id: str, verb: str, body: Any) -> httpx.Response:
        path = f"/v1/vouchers/{voucher_id}"
        version = (await self.bazaar.desk.client.get(path)).json()["version"]
        return await by.client.post(f"{path}/{verb}", json=body, headers=keyed(**{"If-Match": f'"{version}"'}))

    async def voucher(self, reservation: Any, by: Actor | None = None) -> Any:
        """The reservation's newest voucher, whole."""
        subsidies = (await self.bazaar.read(reservation))["subsidies"]
        return (await (by or self.bazaar.buyer).client.get(f"/v1/vouchers/{subsidies[-1]['voucher_id']}")).json()

    async def left(self, programme: str = "made-up", year: int = 2026) -> tuple[int | None, int | None]:
        """What is left of a pool and of the buyer's cap."""
        buyer = self.bazaar.buyer.org_id
        async with self.database.read(SYSTEM) as session:
            found: Budgets = await service.load_budgets(session, programme, year, [buyer])
        return (found.pool_fen, found.buyer_fen[buyer])

    async def redeem(self, voucher: Any, amount_fen: int) -> None:
        """Redeem of a voucher, as a settlement does: from its account to what the supplier may claim."""
        voucher_id, supplier = decode_id("vch", voucher["id"]), self.bazaar.supplier.org_id
        name = budgets.claimable_name(voucher["programme"], supplier)
        async with self.database.write(SYSTEM) as session:
            [row] = await lock_vouchers(session, ids=[voucher_id])
            account = NewAccount(name, budgets.CLAIMABLE, Guard.DEBITS_LE_CREDITS, supplier)
            await ledger.open_accounts(session, [account])
            claimable = (await ledger.accounts_by_name(session, [name]))[name]
            transfer = NewTransfer(
                new_id(), row.account_id, claimable.id, amount_fen, TransferKind.SINGLE, subject=voucher_id
            )
            await ledger.post_transfers(session, [transfer])
            await life.set_exhausted(session, [row])
        self.by_hand.append(transfer.id)

    async def give_back(self, voucher: Any, amount_fen: int) -> None:
        """Give back of what a voucher redeemed, as the correction of a settlement does."""
        voucher_id = decode_id("vch", voucher["id"])
        name = budgets.claimable_name(voucher["programme"], self.bazaar.supplier.org_id)
        async with self.database.write(SYSTEM) as session:
            [row] = await lock_vouchers(session, ids=[voucher_id])
            claimable = (await ledger.accounts_by_name(session, [name]))[name]
            transfer = NewTransfer(
                new_id(), claimable.id, row.account_id, amount_fen, TransferKind.SINGLE, subject=voucher_id
            )
            await ledger.post_transfers(session, [transfer])
            await life.set_exhausted(session, [row])
        self.by_hand.append(transfer.id)

    async def refresh(self, reservation: Any) -> None:
        """Set a reservation's subsidy anew, as whoever gives back does."""
        async with self.database.write(SYSTEM) as session:
            row = await lock_reservation(session, decode_id("rsv", reservation["id"]))
            await refresh_subsidy(session, row, self.bazaar.clock())

    async def sweep(self) -> tuple[int, int]:
        """End lapsed choices, and expire vouchers whose time is over; return how many of each."""
        async with self.worker.write(SYSTEM) as session:
            ended = await sweep_choices(session, self.bazaar.clock())
        async with self.worker.write(SYSTEM) as session:
            return ended, await sweep_vouchers(session, self.bazaar.clock())
