"""A contract in a test: booked, confirmed and running, with vouchers issued for it, and what its settlements were."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import select, update

from app.contracts.models import Contract, ContractItem, Payment
from app.demand import service as demand
from app.kit.db import SYSTEM, acting_as_system
from app.kit.ids import decode_id, encode_id, new_id
from app.kit.time import HOUR, format_rfc3339
from app.ledger.models import Account
from app.ledger.service import accounts_by_name
from app.matching.repository import lock_offers
from app.reservations.holding import Hold, hold_capacity
from app.settlements.models import Redemption
from app.settlements.service import settle_due
from app.vouchers import budgets as caps
from app.vouchers import life
from app.vouchers import service as programmes
from app.vouchers.budgets import Component
from app.vouchers.models import Voucher
from tests.bazaar import Bazaar, keyed
from tests.conftest import Actor
from tests.grants import NOW, TOML

# Claimed by the buyer, of what was delivered, and one that stacks with the general one.
BUYERS_TOML = TOML.replace('"made-up"', '"buyers"').replace('by = "supplier"', 'by = "buyer"')
USAGE_TOML = BUYERS_TOML.replace('"buyers"', '"usage"').replace('base = "contract"', 'base = "settled_usage"')
SECOND_TOML = TOML.replace('"made-up"', '"second"')


@dataclass(frozen=True)
class Granted:
    """What is earmarked and then issued of one programme, in fen."""

    amount_fen: int
    rate_ppm: int
    programme: str = "made-up"
    tier: str = "general"


@dataclass
class Deal:
    bazaar: Bazaar
    cards: int = 4
    hours: int = 10
    price_fen: int = 850
    payment: Payment = Payment.ARREARS
    grants: tuple[Granted, ...] = ()
    start: int = 1
    reservation: Any = None
    vouchers: list[UUID] = field(default_factory=list[UUID])

    async def open_programmes(self) -> None:
        async with self.bazaar.database.write(SYSTEM) as session:
            await programmes.store_shipped_programmes(session, NOW)
            await programmes.store_programmes(session, [TOML, SECOND_TOML, BUYERS_TOML, USAGE_TOML], NOW)
            for programme in {grant.programme for grant in self.grants}:
                await programmes.open_year(session, programme, 1, 2026, 10**9, 10**9, now=NOW)

    async def held(self) -> "Deal":
        await self.open_programmes()
        bazaar, caller, end = self.bazaar, self.bazaar.buyer.caller, self.start + self.hours + 10
        offer = await bazaar.offer(cards=self.cards, end=end, price_fen=self.price_fen)
        window = {"deadline": bazaar.at(end), "max_net_price_fen": self.price_fen}
        request = await bazaar.request(cards=self.cards, hours=self.hours, **window)
        components = tuple(Component(g.programme, 1, g.tier, 2026, g.amount_fen) for g in self.grants)
        async with bazaar.database.write(caller.scope) as session:
            row = await demand.get_request(session, caller, decode_id("req", request["id"]), lock=True)
            offer_id = decode_id("offer", offer["id"])
            async with acting_as_system(session, caller.scope):
                listed = (await lock_offers(session, {offer_id}))[offer_id]
            starts_at = datetime.fromisoformat(bazaar.at(self.start))
            hold = Hold(0, listed, self.cards, starts_at, self.hours, components)
            [made] = await hold_capacity(session, caller, row, [hold], now=bazaar.clock())
            self.reservation = await self._shown(made.id)
        return self

    async def _shown(self, reservation_id: UUID) -> Any:
        return {"id": encode_id("rsv", reservation_id)}

    async def confirmed(self, *, issue: bool = True) -> "Deal":
        await self.held()
        await self.bazaar.confirm(self.reservation)
        self.reservation = await self.bazaar.read(self.reservation)
        await self.sign()
        if issue:
            await self.issue()
        return self

    async def sign(self) -> None:
        """Make the contract of the reservation as it was confirmed."""
        row = self.reservation
        amount = row["cost_fen"]
        async with self.bazaar.database.write(SYSTEM) as session:
            session.add(
                Contract(
                    reservation_id=self.reservation_id,
                    buyer_org_id=self.bazaar.buyer.org_id,
                    supplier_org_id=self.bazaar.supplier.org_id,
                    chip_model=row["chip_model"],
                    region=row["region"],
                    cards=row["cards"],
                    starts_at=datetime.fromisoformat(row["starts_at"]),
                    ends_at=datetime.fromisoformat(row["ends_at"]),
                    price_fen=row["price_fen"],
                    amount_fen=amount,
                    payment=self.payment.value,
                    signed_at=self.bazaar.clock(),
                    created_at=self.bazaar.clock(),
                    items=[ContractItem(position=0, kind="compute", amount_fen=amount)],
                )
            )

    async def issue(self, *, expires_in: timedelta = timedelta(days=365)) -> None:
        """Issue every earmark of the reservation whole, at its rate."""
        rates = {grant.programme: grant.rate_ppm for grant in self.grants}
        now = self.bazaar.clock()
        async with self.bazaar.database.write(SYSTEM) as session:
            statement = select(Voucher).where(Voucher.subject_id == self.reservation_id).order_by(Voucher.programme_id)
            rows = list(await session.scalars(statement))
            self.vouchers = [row.id for row in rows]
            issues = [life.Issue(row, row.amount_fen, rates[row.programme_id], now + expires_in) for row in rows]
            await life.issue(session, issues, now)

    async def running(self, **more: Any) -> "Deal":
        await self.confirmed(**more)
        self.bazaar.clock.now = self.starts_at
        assert (await self.bazaar.sweep()).activated == 1
        return self

    async def over(self, **more: Any) -> "Deal":
        """Run, and let the end come."""
        await self.running(**more)
        self.bazaar.clock.now = self.ends_at
        assert (await self.bazaar.sweep()).completed == 1
        return self

    @property
    def reservation_id(self) -> UUID:
        return decode_id("rsv", self.reservation["id"])

    @property
    def starts_at(self) -> datetime:
        return datetime.fromisoformat(self.bazaar.at(self.start))

    @property
    def ends_at(self) -> datetime:
        return self.starts_at + self.hours * HOUR

    def period(self, first: float, hours: float, card_seconds: int | None = None, **more: Any) -> dict[str, Any]:
        """A report of `hours` from the `first` hour of the reservation, of all cards unless told."""
        start = self.starts_at + timedelta(hours=first)
        return {
            "period_start": format_rfc3339(start),
            "period_end": format_rfc3339(start + timedelta(hours=hours)),
            "card_seconds": int(self.cards * hours * 3600) if card_seconds is None else card_seconds,
        } | more

    async def try_report(self, *reports: dict[str, Any], by: Actor | None = None, key: str = "") -> httpx.Response:
        path = f"/v1/reservations/{self.reservation['id']}/deliveries"
        headers = {"Idempotency-Key": key} if key else keyed()
        client = (by or self.bazaar.supplier).client
        return await client.post(path, json={"reports": list(reports)}, headers=headers)

    async def report(self, *reports: dict[str, Any]) -> Any:
        answer = await self.try_report(*reports)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def report_in_force(self, first: float) -> Any:
        path = f"/v1/reservations/{self.reservation['id']}/deliveries"
        rows = (await self.bazaar.supplier.client.get(path, params={"in_force": "true"})).json()["data"]
        wanted = format_rfc3339(self.starts_at + timedelta(hours=first))
        return next(row for row in rows if row["period_start"] == wanted)

    async def claim_all(self) -> None:
        """Let a live claim hold every redemption so far, as a claim's submission does."""
        async with self.bazaar.database.write(SYSTEM) as session:
            await session.execute(update(Redemption).values(claim_id=new_id()))

    async def settle_due(self) -> int:
        async with self.bazaar.worker.write(SYSTEM) as session:
            return await settle_due(session, self.bazaar.clock())

    async def settlements(self) -> list[Any]:
        query = {"reservation_id": self.reservation["id"], "limit": 100}
        return (await self.bazaar.buyer.client.get("/v1/settlements", params=query)).json()["data"]

    async def lines(self) -> list[tuple[str, int, int, int]]:
        """Kind, amount, redeemed and payable of each settlement."""
        return [
            (row["kind"], row["amount_fen"], row["redeemed_fen"], row["payable_fen"])
            for row in await self.settlements()
        ]

    async def try_pay(self, row: Any, *, by: Actor | None = None, version: int | None = None, **more: Any) -> Any:
        body = {"amount_fen": abs(row["payable_fen"])} | more
        headers = keyed(**{"If-Match": f'"{version or row["version"]}"'})
        client = (by or self.bazaar.supplier).client
        return await client.post(f"/v1/settlements/{row['id']}/pay", json=body, headers=headers)

    async def left(self, voucher: int = 0) -> int:
        """What is left of a voucher on the ledger."""
        return (await self.account(caps.voucher_account_name(self.vouchers[voucher]))).left_fen

    async def claimable(self, programme: str = "made-up", *, by: Actor | None = None) -> int:
        name = caps.claimable_name(programme, (by or self.bazaar.supplier).org_id)
        async with self.bazaar.database.read(SYSTEM) as session:
            found = await accounts_by_name(session, [name])
        return found[name].left_fen if found else 0

    async def account(self, name: str) -> Account:
        async with self.bazaar.database.read(SYSTEM) as session:
            return (await accounts_by_name(session, [name]))[name]

    async def states(self) -> list[str]:
        rows = (await self.bazaar.desk.client.get("/v1/vouchers")).json()["data"]
        return [row["state"] for row in rows]
