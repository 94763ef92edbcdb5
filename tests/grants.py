"""A made-up voucher programme, stored and opened for a year, and what is on the ledger of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from app.kit.db import SYSTEM, Database
from app.kit.ids import new_id
from app.ledger.models import Account
from app.ledger.service import accounts_by_name
from app.vouchers import service
from app.vouchers.budgets import Budgets, Component, Earmark

NOW = datetime(2026, 12, 1, 0, 30, tzinfo=UTC)
PROGRAMME = "made-up"
TOML = """
id = "made-up"
version = 1
grade = "example"
sources = ["Made up for tests."]
time_zone = "Asia/Shanghai"
base = "contract"
buyer_year_cny = "300"
pool_year_cny = "1000"
partners_only = false

[title]
en = "Made up"
zh = "虚构项目"

[claim]
by = "supplier"

[[tiers]]
id = "general"
rate = "0.5"
mode = "up_to"

[[tiers.clauses]]
integrity = "clean"

[[tiers]]
id = "lead"
rate = "0.3"
mode = "up_to"
buyer_total_cny = "200"

[[tiers.clauses]]
project_lead = ["national"]
"""
OTHER_TOML = TOML.replace('"made-up"', '"second"')


def component(amount_fen: int, *, programme: str = PROGRAMME, tier: str = "general", year: int = 2026) -> Component:
    return Component(programme, 1, tier, year, amount_fen)


@dataclass
class Grants:
    """The programme as tests handle it."""

    database: Database

    async def open(
        self,
        pool_fen: int | None = 100_000,
        buyer_year_fen: int | None = 30_000,
        *,
        year: int = 2026,
        programme: str = PROGRAMME,
    ) -> "Grants":
        async with self.database.write(SYSTEM) as session:
            await service.store_programmes(session, [TOML, OTHER_TOML], NOW)
            await service.open_year(session, programme, 1, year, pool_fen, buyer_year_fen, now=NOW)
        return self

    async def take(
        self,
        buyer: UUID,
        *amounts_fen: int,
        tier: str = "general",
        year: int = 2026,
        version: int = 1,
        programme: str = PROGRAMME,
    ) -> list[UUID]:
        """Earmark amounts for reservations made up here; return the reservations' ids."""
        reservations = [new_id() for _ in amounts_fen]
        earmarks = [
            Earmark(reservation, buyer, programme, version, tier, year, amount)
            for reservation, amount in zip(reservations, amounts_fen, strict=True)
        ]
        async with self.database.write(SYSTEM) as session:
            await service.take_earmarks(session, earmarks, now=NOW)
        return reservations

    async def left(self, *buyers: UUID, year: int = 2026) -> Budgets:
        async with self.database.read(SYSTEM) as session:
            return await service.load_budgets(session, PROGRAMME, year, buyers)

    async def account(self, name: str) -> Account:
        async with self.database.read(SYSTEM) as session:
            return (await accounts_by_name(session, [name]))[name]


def balances(account: Account) -> tuple[int, int, int, int]:
    """Pending and posted debits, then credits."""
    return (account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted)
