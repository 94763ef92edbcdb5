"""A contract in a test: booked, confirmed and running, with vouchers issued for it, and what its settlements were."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from app.contracts.models import Payment
from app.demand import service as demand
from app.kit.db import SYSTEM, acting_as_system
from app.kit.ids import decode_id, encode_id
from app.kit.time import HOUR, format_rfc3339
from app.ledger.models import Account
from app.ledger.service import accounts_by_name
from app.matching.repository import lock_offers
from app.reservations.holding import Hold, hold_capacity
from app.settlements.service import settle_next_due
from app.vouchers import budgets as caps
from app.vouchers import service as programmes
from app.vouchers.budgets import Component
from tests.bazaar import Bazaar, keyed
from tests.conftest import Actor
from tests.grants import NOW, TOML

QUARTER_OVER = datetime(2027, 1, 2, tzinfo=UTC)
_CHECKED = """
[[desk_checks]]
en = "Something that only the desk can see."
zh = "须由撮合专员核验的事项。"
"""


def made_up(name: str, rate: str, *, by: str = "supplier", base: str = "contract", stacks: str = "") -> str:
    """A programme that the desk decides on, which stacks with another where named."""
    text = TOML.replace('"made-up"', f'"{name}"').replace('rate = "0.5"', f'rate = "{rate}"', 1)
    text = text.replace('by = "supplier"', f'by = "{by}"').replace('base = "contract"', f'base = "{base}"')
    if stacks:
        text = text.replace("partners_only = false", f'partners_only = false\nstacks_with = ["{stacks}"]')
    return text + _CHECKED


PROGRAMMES = (
    made_up("made-up", "0.5"),
    made_up("first", "0.2", stacks="second"),
    made_up("second", "0.3", stacks="first"),
    made_up("buyers", "0.5", by="buyer"),
    made_up("usage", "0.3", by="buyer", base="settled_usage"),
    made_up("short", "0.5").replace("partners_only", "voucher_valid_days = 1\npartners_only"),
)


@dataclass(frozen=True)
class Granted:
    """What is earmarked and then issued of one programme, in fen."""

    amount_fen: int
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
    opened: bool = False
    reservation: Any = None
    contract: Any = None
    vouchers: list[UUID] = field(default_factory=list[UUID])

    async def open_programmes(self) -> None:
        async with self.bazaar.database.write(SYSTEM) as session:
            await programmes.store_shipped_programmes(session, NOW)
            await programmes.store_programmes(session, PROGRAMMES, NOW)
            for programme in {grant.programme for grant in self.grants}:
                await programmes.open_year(session, programme, 1, 2026, 10**9, 10**9, now=NOW)

    async def held(self) -> "Deal":
        if not self.opened:
            await self.open_programmes()
        await self.state(self.bazaar.buyer, "kind", "startup")
        await self.state(self.bazaar.buyer, "integrity", "clean")
        await self.state(self.bazaar.buyer, "prior_year_revenue_fen", 1_000_000_000)
        await self.state(self.bazaar.supplier, "partner", True)
        bazaar, caller, end = self.bazaar, self.bazaar.buyer.caller, self.start + self.hours + 10
        offer = await bazaar.offer(cards=self.cards, end=end, price_fen=self.price_fen)
        window: dict[str, Any] = {"deadline": bazaar.at(end), "max_net_price_fen": self.price_fen}
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
        await self.set_payment()
        if issue:
            await self.issue()
        return self

    async def state(self, actor: Actor, key: str, value: Any) -> None:
        """Put a fact on record, verified by the desk."""
        body = {"key": key, "value": value, "valid_from": "2026-01-01"}
        made = await self.bazaar.desk.client.post(
            f"/v1/organisations/{encode_id('org', actor.org_id)}/facts", json=body
        )
        assert made.status_code == 201 or made.json()["code"] == "fact_exists", made.text

    async def set_payment(self) -> None:
        """Agree on how the contract is paid for."""
        query = {"reservation_id": self.reservation["id"]}
        contracts = (await self.bazaar.buyer.client.get("/v1/contracts", params={"limit": 100})).json()["data"]
        [contract] = [each for each in contracts if each["reservation_id"] == query["reservation_id"]]
        self.contract = contract
        if contract["payment"] != self.payment:
            path = f"/v1/contracts/{contract['id']}"
            headers = keyed(**{"If-Match": f'"{contract["version"]}"'})
            done = await self.bazaar.desk.client.patch(path, json={"payment": self.payment.value}, headers=headers)
            assert done.status_code == 200, done.text

    async def issue(self) -> None:
        """Let the desk approve every application that waits for it; note the vouchers by programme."""
        client = self.bazaar.desk.client
        for each in (await client.get("/v1/voucher-applications", params={"state": "submitted"})).json()["data"]:
            headers = keyed(**{"If-Match": f'"{each["version"]}"'})
            done = await client.post(f"/v1/voucher-applications/{each['id']}/approve", json={}, headers=headers)
            assert done.status_code == 200, done.text
        rows = (await client.get("/v1/vouchers", params={"reservation_id": self.reservation["id"]})).json()["data"]
        self.vouchers = [decode_id("vch", row["id"]) for row in sorted(rows, key=lambda row: row["programme"])]

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

    async def try_claim(
        self, programme: str = "made-up", *, by: Actor | None = None, kinds: Sequence[str] = (), **more: Any
    ) -> httpx.Response:
        """Claim what was redeemed in the last quarter of 2026, with a proof of each kind."""
        actor = by or self.bazaar.supplier
        proofs = [{"kind": kind, "document_id": await self.proof(actor, kind)} for kind in kinds]
        body = {"programme": programme, "period": "2026-Q4", "proofs": proofs} | more
        return await actor.client.post("/v1/claims", json=body, headers=keyed())

    async def proof(self, actor: Actor, text: str) -> str:
        """Upload a proof that says this; return its id."""
        files = {"file": (f"{text}.pdf", b"%PDF-1.7 " + text.encode(), "application/pdf")}
        made = await actor.client.post("/v1/claim-proofs", files=files)
        assert made.status_code == 201, made.text
        return made.json()["id"]

    async def claim(self, programme: str = "made-up", **more: Any) -> Any:
        made = await self.try_claim(programme, **more)
        assert made.status_code == 201, made.text
        return made.json()

    async def claim_all(self) -> Any:
        """Let a live claim hold every redemption so far; time stands where it stood."""
        now = self.bazaar.clock.now
        self.bazaar.clock.now = QUARTER_OVER
        made = await self.claim()
        self.bazaar.clock.now = now
        return made

    async def try_decide(
        self, claim: Any, verb: str, *, by: Actor | None = None, version: int | None = None, **body: Any
    ) -> httpx.Response:
        headers = keyed(**{"If-Match": f'"{version or claim["version"]}"'})
        client = (by or self.bazaar.desk).client
        return await client.post(f"/v1/claims/{claim['id']}/{verb}", json=body, headers=headers)

    async def decide(self, claim: Any, verb: str, **body: Any) -> Any:
        done = await self.try_decide(claim, verb, **body)
        assert done.status_code == 200, done.text
        return done.json()

    async def pay_claim(self, claim: Any) -> Any:
        return await self.decide(claim, "pay", amount_fen=claim["cash_fen"])

    async def settle_due(self) -> int:
        """Settle what waits to be; return how many contracts that was."""
        settled = 0
        while True:
            async with self.bazaar.worker.write(SYSTEM) as session:
                if not await settle_next_due(session, self.bazaar.clock()):
                    return settled
            settled += 1

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
