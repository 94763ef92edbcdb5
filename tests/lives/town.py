"""A town on the real services and a real PostgreSQL: its buyers, suppliers and desk do what a life of vouchers has.

Every action is one transaction, as an endpoint has it, and answers with the code of its refusal or None. The worker's
part (`work`) is run after each. A town is emptied and opened again for each sequence; organisations stay.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy.engine import URL

from app.accounts import service as accounts
from app.accounts.callers import Caller
from app.accounts.models import FactKey, OrganisationState, Role
from app.accounts.schemas import FactIn
from app.catalog import service as catalog
from app.catalog.schemas import ChipIn, OfferIn
from app.claims import advances, deciding
from app.claims import service as claims
from app.claims.schemas import AdvanceIn, ApproveClaimIn, ClaimIn, PayClaimIn, RejectClaimIn
from app.contracts import service as contracts
from app.contracts.documents import UploadedDocument
from app.contracts.models import DocumentKind
from app.contracts.schemas import ApproveIn, PaymentIn, RejectIn, RevokeIn
from app.demand import service as demand
from app.demand.schemas import RequestIn
from app.kit.db import APP_ROLE, AUDITOR_ROLE, SYSTEM, WORKER_ROLE, Database, WriteSession, acting_as_system
from app.kit.errors import Problem
from app.kit.ids import encode_id, new_id
from app.kit.time import HOUR, format_rfc3339
from app.matching.repository import lock_offers
from app.reservations import service as reservations
from app.reservations.holding import Hold, hold_capacity
from app.reservations.models import Reservation as HeldReservation
from app.reservations.schemas import AcceptIn, CancelIn
from app.settlements import deliveries
from app.settlements import service as settlements
from app.settlements.schemas import DeliveriesIn, PayIn
from app.verification.service import verify
from app.vouchers import service as programmes
from app.vouchers.budgets import Component
from tests.conftest import empty
from tests.lives.model import Claim, Model, Programme, Report, Reservation, Tier, Voucher
from tests.settlements.deals import made_up

OPENED = datetime(2026, 11, 1, tzinfo=UTC)
PRICES = (1_000, 1_357)
NAMES = ("阿里云计算有限公司", "北京超级云计算中心")
GENERAL = Tier("general", 500_000, least=1_000_000)
LEAD = Tier("project-lead-national", 300_000, least=1_000_000, checked=True, for_leads=True)
CHENGDU = Programme(
    "chengdu-2023",
    "supplier",
    {2026: (4_000_000, 2_500_000), 2027: (5_000_000, 3_000_000)},
    reserve=True,
    totals={LEAD.id: 300_000_000, "project-lead-provincial": 150_000_000},
    proofs=("contract", "settlement", "delivery record"),
)
BEIJING = Programme("beijing-2023", "buyer", {2026: (None, 1_500_000)}, proofs=("invoice", "delivery record"))
# A total that the made-up programmes have for a tier that nobody is under here.
_TOTALS = {"lead": 20_000}
BRIEF = Programme(
    "brief",
    "buyer",
    {2026: (2_000_000, 900_001), 2027: (500_000, None)},
    usage=True,
    totals=_TOTALS,
    valid_days=1,
    claim_days=60,
)
FIRST = Programme("first", "supplier", {2026: (3_000_000, 2_000_000), 2027: (900_000, 900_000)}, totals=_TOTALS)
SECOND = Programme("second", "buyer", {2026: (3_000_000, 2_000_000)}, totals=_TOTALS)
PROGRAMMES = {each.id: each for each in (CHENGDU, BEIJING, BRIEF, FIRST, SECOND)}
# What a hold may be subsidised with.
PACKAGES: tuple[tuple[tuple[Programme, Tier], ...], ...] = (
    ((CHENGDU, GENERAL),),
    ((CHENGDU, LEAD),),
    ((BEIJING, Tier("general", 200_000)),),
    ((BRIEF, Tier("general", 333_333, checked=True)),),
    ((FIRST, Tier("general", 600_000)), (SECOND, Tier("general", 700_000, checked=True))),
)
_CHECKS = '\n[[desk_checks]]\nen = "Something that only the desk can see."\nzh = "须由撮合专员核验的事项。"\n'
TEXTS = (
    made_up("brief", "0.333333", by="buyer", base="settled_usage")
    .replace("partners_only", "voucher_valid_days = 1\npartners_only")
    .replace('by = "buyer"', 'by = "buyer"\nwithin_days = 60'),
    made_up("first", "0.6", stacks="second").removesuffix(_CHECKS),
    made_up("second", "0.7", by="buyer", stacks="first"),
)
_KEPT = ("alembic_version", "organisation", "organisation_role", "organisation_fact", "chip_model", "programme_version")
_VACUUM_EVERY = 20
_RECORD = {
    "reservations": "SELECT id, state, ends_at FROM reservation",
    "settlements": """SELECT reservation_id, amount_fen, payable_fen, payment_state FROM settlement
        WHERE payment_state <> 'void' ORDER BY 2, 3, 4""",
    "applications": "SELECT id, state, choice, choice_ends_at FROM voucher_application",
    "vouchers": "SELECT id, state, amount_fen, issued_fen, expires_at FROM voucher",
    "redemptions": """SELECT r.voucher_id, (r.amount_fen - coalesce((SELECT sum(b.amount_fen) FROM redemption b
        WHERE b.of_id = r.id), 0))::bigint, r.claim_id FROM redemption r WHERE r.kind = 'redeemed' ORDER BY r.id""",
    "claims": "SELECT id, state, approved_fen, recovered_fen, netted_fen, cash_fen FROM claim",
    "lines": "SELECT claim_id, amount_fen, state FROM claim_line ORDER BY 2, 3",
}


def _any_version(version: int) -> None:
    """Whatever version a row has: here nobody else changes it."""


@dataclass
class Town:
    url: URL
    database: Database
    worker: Database
    auditor: Database
    admin: asyncpg.Connection
    desk: Caller
    buyers: list[Caller]
    suppliers: list[Caller]
    tables: list[str]
    now: datetime = OPENED
    opened: int = 0
    offers: list[UUID] = field(default_factory=list[UUID])
    papers: dict[UUID, UUID] = field(default_factory=dict[UUID, UUID])
    answer: Any = None

    @classmethod
    async def build(cls, url: URL) -> "Town":
        """Register who is there, and store the programmes."""
        admin = await asyncpg.connect(url.set(drivername="postgresql").render_as_string(False))
        # Nothing crashes here: a commit need not wait for the disk.
        await admin.execute(f'ALTER DATABASE "{url.database}" SET synchronous_commit = off')
        await admin.execute("SET synchronous_commit = off")
        database = Database(url.set(username=APP_ROLE), role=APP_ROLE, pool_size=1)
        worker = Database(url.set(username=WORKER_ROLE), role=WORKER_ROLE, pool_size=1)
        auditor = Database(url.set(username=AUDITOR_ROLE), role=AUDITOR_ROLE, pool_size=1)
        rows = await admin.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        tables = [row[0] for row in rows if row[0] not in _KEPT]
        wanted = [("desk", "desk"), *(("buyer", f"buyer {n}") for n in range(3)), *(("supplier", n) for n in NAMES)]
        async with database.write(SYSTEM) as session:
            desk, *others = [await _register(session, Role(role), name) for role, name in wanted]
            await programmes.store_shipped_programmes(session, OPENED)
            await programmes.store_programmes(session, TEXTS, OPENED)
        town = cls(url, database, worker, auditor, admin, desk, others[:3], others[3:], tables)
        async with database.write(desk.scope) as session:
            await catalog.create_chip(session, ChipIn(name="A100 80G", vendor="NVIDIA", domestic=False))
            for buyer, lead, record in zip(
                town.buyers, ("none", "national", "none"), ("clean", "clean", "flagged"), strict=True
            ):
                facts = {"kind": "startup", "prior_year_revenue_fen": 10**9, "project_lead": lead, "integrity": record}
                for key, value in facts.items():
                    await town._fact(session, buyer, key, value)
            for supplier in town.suppliers:
                await town._fact(session, supplier, "partner", True)
        return town

    async def _fact(self, session: WriteSession, of: Caller, key: str, value: str | int | bool) -> None:
        body = FactIn(key=FactKey(key), value=value, valid_from=datetime(2020, 1, 1, tzinfo=UTC).date())
        await accounts.record_fact(session, self.desk, of.org_id, body, OPENED)

    async def close(self) -> None:
        """Leave nothing behind."""
        for database in (self.database, self.worker, self.auditor):
            await database.dispose()
        await self.admin.execute(f'ALTER DATABASE "{self.url.database}" RESET synchronous_commit')
        await self.admin.close()
        await empty(self.url)

    async def open(self, now: datetime) -> Model:
        """Forget the sequence before, list offers and open the programmes' years; return the model of it."""
        self.now, self.papers = now, {}
        await self.admin.execute("SET session_replication_role = replica")
        await self.admin.execute(";".join(f'DELETE FROM "{table}"' for table in self.tables))
        await self.admin.execute("SET session_replication_role = origin")
        if self.opened % _VACUUM_EVERY == 0:
            await self.admin.execute("VACUUM ANALYZE")
        self.opened += 1
        steps = [
            {"starts_at": "2026-11-01T00:00:00Z", "cards": 100_000},
            {"starts_at": "2029-01-01T00:00:00Z", "cards": 0},
        ]
        self.offers = []
        for supplier, price in zip(self.suppliers, PRICES, strict=True):
            body = {"chip_model": "A100 80G", "region": "北京", "price_fen": price, "capacity": steps}
            async with self.database.write(supplier.scope) as session:
                made = await catalog.create_offer(session, supplier, _body(OfferIn, body), OPENED)
                self.offers.append(made.id)
        async with self.database.write(SYSTEM) as session:
            for programme in PROGRAMMES.values():
                for year, (pool, cap) in programme.years.items():
                    await programmes.open_year(session, programme.id, 1, year, pool, cap, now=OPENED)
        clean, lead = (each.org_id for each in self.buyers[:2])
        return Model(PROGRAMMES, frozenset({clean, lead}), frozenset({lead}), now)

    async def act(self, caller: Caller, work: Callable[[WriteSession], Awaitable[Any]]) -> str | None:
        """Run a transaction with a caller's eyes; return the code of its refusal."""
        try:
            async with self.database.write(caller.scope) as session:
                self.answer = await work(session)
        except Problem as problem:
            return problem.code.code
        return None

    async def work(self, *, time_passed: bool = True) -> None:
        """What the worker does, until there is nothing left to do; where no time passed, only the settling."""
        changed = 1
        while changed:
            changed = 0
            if time_passed:
                async with self.worker.write(SYSTEM) as session:
                    changed += await contracts.sweep_choices(session, self.now)
                async with self.worker.write(SYSTEM) as session:
                    changed += (await reservations.sweep(session, self.now)).changed
                async with self.worker.write(SYSTEM) as session:
                    changed += await contracts.sweep_vouchers(session, self.now)
            async with self.worker.write(SYSTEM) as session:
                changed += int(await settlements.settle_next_due(session, self.now))

    # Hold and confirmation

    async def hold(
        self,
        buyer: Caller,
        supplier: int,
        cards: int,
        hours: int,
        starts_at: datetime,
        subsidies: Sequence[tuple[Programme, Tier, int]],
        year: int,
    ) -> str | None:
        """Post a request and hold capacity for it with its subsidies; the answer is the reservation."""
        body = {
            "alternatives": [{"chips": "any", "cards": cards, "hours": hours, "max_net_price_fen": 10_000}],
            "earliest_start": format_rfc3339(starts_at),
            "deadline": format_rfc3339(starts_at + hours * HOUR),
        }
        parts = tuple(Component(each.id, 1, tier.id, year, fen) for each, tier, fen in subsidies)

        async def work(session: WriteSession) -> HeldReservation:
            request = await demand.create_request(session, buyer, _body(RequestIn, body), self.now)
            row = await demand.get_request(session, buyer, request.id, lock=True)
            async with acting_as_system(session, buyer.scope):
                offer = (await lock_offers(session, {self.offers[supplier]}))[self.offers[supplier]]
            holds = [Hold(0, offer, cards, starts_at, hours, parts)]
            [made] = await hold_capacity(session, buyer, row, holds, now=self.now)
            return made

        return await self.act(buyer, work)

    async def vouchers_of(self, reservation: UUID) -> dict[str, UUID]:
        """The voucher of each programme that was set aside first."""
        rows = await self.admin.fetch(
            "SELECT programme_id, id FROM voucher WHERE subject_id = $1 ORDER BY id DESC", reservation
        )
        return {row[0]: row[1] for row in rows}

    async def accept(self, reservation: Reservation) -> str | None:
        refused: str | None = None
        for side in (reservation.buyer, reservation.supplier):
            caller = self.caller(side)
            refused = refused or await self.act(
                caller,
                lambda session, caller=caller: reservations.accept(
                    session, caller, reservation.id, AcceptIn(), _any_version, self.now
                ),
            )
        return refused

    async def applications_of(self, reservation: UUID) -> tuple[UUID, dict[str, tuple[UUID, UUID]]]:
        """A reservation's contract, and each application with its voucher by programme."""
        contract: UUID | None = await self.admin.fetchval(
            "SELECT id FROM contract WHERE reservation_id = $1", reservation
        )
        assert contract is not None
        rows = await self.admin.fetch(
            "SELECT programme_id, id, voucher_id FROM voucher_application WHERE contract_id = $1", contract
        )
        return contract, {row[0]: (row[1], row[2]) for row in rows}

    def caller(self, org_id: UUID) -> Caller:
        return next(each for each in (*self.buyers, *self.suppliers) if each.org_id == org_id)

    # Turns of reservations, applications and vouchers

    async def pay_ahead(self, reservation: Reservation) -> str | None:
        supplier = self.caller(reservation.supplier)
        body = _body(PaymentIn, {"payment": "prepaid"})
        contract = reservation.contract
        assert contract is not None
        return await self.act(
            supplier, lambda session: contracts.set_payment(session, supplier, contract, body, _any_version)
        )

    async def cancel(self, reservation: Reservation) -> str | None:
        body = _body(CancelIn, {"reason": "buyer_changed_plans"})
        buyer = self.caller(reservation.buyer)
        return await self.act(
            buyer, lambda session: reservations.cancel(session, buyer, reservation.id, body, _any_version, self.now)
        )

    async def end(self, reservation: Reservation) -> str | None:
        buyer = self.caller(reservation.buyer)
        return await self.act(
            buyer, lambda session: reservations.end(session, buyer, reservation.id, _any_version, self.now)
        )

    async def extend(self, reservation: Reservation, hours: int) -> str | None:
        buyer = self.caller(reservation.buyer)
        return await self.act(
            buyer, lambda session: reservations.extend(session, buyer, reservation.id, hours, _any_version, self.now)
        )

    async def approve(self, application: UUID, amount: int | None) -> str | None:
        body = ApproveIn(amount_fen=amount)
        return await self.act(
            self.desk,
            lambda session: contracts.approve(session, self.desk, application, body, _any_version, self.now),
        )

    async def reject(self, application: UUID) -> str | None:
        body = _body(RejectIn, {"reason": "desk_check_failed", "detail": "It was not."})
        return await self.act(
            self.desk, lambda session: contracts.reject(session, self.desk, application, body, _any_version, self.now)
        )

    async def withdraw(self, application: UUID, buyer: UUID) -> str | None:
        caller = self.caller(buyer)
        return await self.act(
            caller, lambda session: contracts.withdraw(session, caller, application, _any_version, self.now)
        )

    async def accept_full_price(self, application: UUID, buyer: UUID) -> str | None:
        caller = self.caller(buyer)
        return await self.act(
            caller, lambda session: contracts.accept_full_price(session, caller, application, _any_version, self.now)
        )

    async def revoke(self, voucher: Voucher) -> str | None:
        body = _body(RevokeIn, {"reason": "false_statement", "detail": "It was not so."})
        return await self.act(
            self.desk, lambda session: contracts.revoke(session, self.desk, voucher.id, body, _any_version, self.now)
        )

    # Delivery, payment, claims

    async def report(self, reservation: Reservation, report: Report, corrects: Report | None) -> str | None:
        """Report a delivery; the answer is the report's id."""
        supplier = self.caller(reservation.supplier)
        row = {
            "period_start": format_rfc3339(report.start),
            "period_end": format_rfc3339(report.end),
            "card_seconds": report.card_seconds,
            "corrects_id": None if corrects is None else encode_id("dlv", corrects.id),
        }

        async def work(session: WriteSession) -> UUID:
            body = _body(DeliveriesIn, {"reports": [row]})
            [made], _ = await deliveries.report(session, supplier, reservation.id, body, self.now)
            return made.id

        return await self.act(supplier, work)

    async def open_settlement(self, reservation: UUID, amount: int, payable: int) -> UUID | None:
        """A settlement of these figures that waits to be paid."""
        return await self.admin.fetchval(
            "SELECT id FROM settlement WHERE reservation_id = $1 AND amount_fen = $2 AND payable_fen = $3"
            " AND payment_state = 'open' ORDER BY number LIMIT 1",
            reservation,
            amount,
            payable,
        )

    async def pay(self, settlement: UUID, payable: int) -> str | None:
        body = PayIn(amount_fen=abs(payable))
        return await self.act(
            self.desk, lambda session: settlements.pay(session, self.desk, settlement, body, _any_version, self.now)
        )

    async def claim(self, programme: Programme, claimant: Caller, period: tuple[int, int]) -> str | None:
        """Claim what was redeemed in a quarter; the answer is the claim."""
        if claimant.org_id not in self.papers:
            paper = UploadedDocument(DocumentKind.CLAIM_PROOF, "proof.pdf", "application/pdf", b"%PDF-1.7 proof", b"")
            async with self.database.write(claimant.scope) as session:
                made = await claims.add_proof(session, claimant, paper, claimant.org_id, self.now)
                self.papers[claimant.org_id] = made.id
        proof = encode_id("doc", self.papers[claimant.org_id])
        body = {
            "programme": programme.id,
            "period": f"{period[0]}-Q{period[1]}",
            "proofs": [{"kind": kind, "document_id": proof} for kind in programme.proofs],
        }
        return await self.act(
            claimant, lambda session: claims.submit(session, claimant, _body(ClaimIn, body), self.now)
        )

    async def lines_of(self, claim: UUID) -> dict[tuple[UUID, int], UUID]:
        """The line of each redemption in a claim, by voucher and the redemption's place among the voucher's."""
        rows = await self.admin.fetch(
            """SELECT l.voucher_id, l.id, (SELECT count(*) FROM redemption r
                   WHERE r.voucher_id = l.voucher_id AND r.kind = 'redeemed' AND r.id < l.redemption_id)
               FROM claim_line l WHERE claim_id = $1""",
            claim,
        )
        return {(row[0], row[2]): row[1] for row in rows}

    async def decide(self, claim: Claim, rejected: Sequence[UUID]) -> str | None:
        """Approve a claim but for some lines; all of them rejected is a rejection."""
        why = {"reason": "wrong_amount", "detail": "It was less."}
        if len(rejected) == len(claim.lines):
            body = _body(RejectClaimIn, why)
            return await self.act(
                self.desk, lambda session: deciding.reject(session, self.desk, claim.id, body, _any_version, self.now)
            )
        lines = [{"line_id": encode_id("cll", line)} | why for line in rejected]
        approval = _body(ApproveClaimIn, {"rejected": lines})
        return await self.act(
            self.desk, lambda session: deciding.approve(session, self.desk, claim.id, approval, _any_version, self.now)
        )

    async def pay_claim(self, claim: Claim, cash: int) -> str | None:
        body = PayClaimIn(amount_fen=cash)
        return await self.act(
            self.desk, lambda session: deciding.pay(session, self.desk, claim.id, body, _any_version, self.now)
        )

    async def advance(self, programme: Programme, supplier: UUID, amount: int) -> str | None:
        body = {"supplier_org_id": encode_id("org", supplier), "amount_fen": amount}
        return await self.act(
            self.desk,
            lambda session: advances.advance(session, self.desk, programme.id, _body(AdvanceIn, body), self.now),
        )

    # What there is

    async def accounts(self) -> dict[str, tuple[int, int, int]]:
        """Each account's credits less debits (posted), its pending debits and credits; zeros left out."""
        rows = await self.admin.fetch(
            "SELECT name, credits_posted - debits_posted, debits_pending, credits_pending FROM ledger_account"
        )
        return {row[0]: (row[1], row[2], row[3]) for row in rows if any(row[1:])}

    async def record(self) -> dict[str, dict[Any, Any]]:
        """Everything else that the model tells, by kind and id."""
        found = {kind: await self.admin.fetch(query) for kind, query in _RECORD.items()}
        alone = ("reservations", "applications", "vouchers", "claims")
        record: dict[str, dict[Any, Any]] = {kind: {row[0]: tuple(row)[1:] for row in found[kind]} for kind in alone}
        for kind in found.keys() - set(alone):
            lists: dict[UUID, list[tuple[Any, ...]]] = {}
            for row in found[kind]:
                lists.setdefault(row[0], []).append(tuple(row)[1:])
            record[kind] = lists
        return record

    async def findings(self) -> list[str]:
        """What `cardhour verify` has to tell."""
        return [line for finding in await verify(self.auditor) if not finding.holds for line in finding.told]


def _body(model: type[Any], body: dict[str, Any]) -> Any:
    """A body as it comes in over REST."""
    return model.model_validate(body, strict=False)


async def _register(session: WriteSession, role: Role, name: str) -> Caller:
    org_id = new_id()
    await accounts.create_organisation(
        session, org_id=org_id, name=name, roles=[role], ref=name, contact="x@example.test", approved_at=OPENED
    )
    return Caller(org_id, OrganisationState.APPROVED, frozenset([role]))
