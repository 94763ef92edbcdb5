"""The books folded again in plain Python, with nothing of the code that writes them: PostgreSQL only hands out rows."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

import asyncpg

LIVE: Final = frozenset({"held", "confirmed", "active", "completed"})
HOUR: Final = timedelta(hours=1)
SHOWN: Final = ("offer_id", "cards", "starts_at", "ends_at", "state")


@dataclass
class Tables:
    """The rows that a fold reads, all of one moment."""

    steps: list[dict[str, Any]]
    books: dict[UUID, int]
    journal: list[dict[str, Any]]
    reservations: dict[UUID, dict[str, Any]]
    accounts: dict[UUID, dict[str, Any]]
    transfers: list[dict[str, Any]]

    @classmethod
    async def read(cls, connection: asyncpg.Connection) -> "Tables":
        async def rows(query: str) -> list[dict[str, Any]]:
            return [dict(row) for row in await connection.fetch(query)]

        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return cls(
                steps=await rows("SELECT * FROM capacity_step ORDER BY offer_id, starts_at"),
                books={row["offer_id"]: row["seq"] for row in await rows("SELECT * FROM offer_book")},
                journal=await rows("SELECT * FROM reservation_journal ORDER BY offer_id, seq, reservation_id"),
                reservations={row["id"]: row for row in await rows("SELECT * FROM reservation")},
                accounts={row["id"]: row for row in await rows("SELECT * FROM ledger_account")},
                transfers=await rows("SELECT * FROM ledger_transfer ORDER BY seq"),
            )


def differences(tables: Tables) -> list[str]:
    """Return how the tables differ from what their journals add up to; nothing where they are identical."""
    return [*_replay(tables), *_fold(tables)]


def _replay(tables: Tables) -> Iterable[str]:
    """Play each offer's book in the order of its numbers: within capacity at every step, at the end as it stands."""
    now: dict[UUID, dict[str, Any]] = {}
    for offer, entries in groupby(tables.journal, key=itemgetter("offer_id")):
        steps = [row for row in tables.steps if row["offer_id"] == offer]
        used: dict[datetime, int] = defaultdict(int)
        for seq, together in groupby(entries, key=itemgetter("seq")):
            if seq > tables.books.get(offer, 0):
                yield f"offer {offer}: entry {seq} is beyond the book, which is at {tables.books.get(offer)}"
            touched: set[datetime] = set()
            for entry in together:
                for row, sign in ((now.get(entry["reservation_id"]), -1), (entry, 1)):
                    if row is not None and row["state"] in LIVE:
                        for hour in _hours(row):
                            used[hour] += sign * row["cards"]
                            touched.add(hour)
                now[entry["reservation_id"]] = entry
            for hour in touched:
                if used[hour] > _capacity(steps, hour):
                    yield f"offer {offer}: {used[hour]} cards of {_capacity(steps, hour)} at {hour} after entry {seq}"
    for key in now.keys() | tables.reservations.keys():
        played, stored = now.get(key), tables.reservations.get(key)
        if played is None or stored is None or any(played[name] != stored[name] for name in SHOWN):
            yield f"reservation {key}: its journal says {played}, the table {stored}"


def _hours(row: dict[str, Any]) -> Iterable[datetime]:
    """The hours that a reservation takes; an end within an hour takes that hour's cards too."""
    at = row["starts_at"]
    while at < row["ends_at"]:
        yield at
        at += HOUR


def _capacity(steps: list[dict[str, Any]], at: datetime) -> int:
    return next((row["cards"] for row in reversed(steps) if row["starts_at"] <= at), 0)


@dataclass
class _Balance:
    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0


@dataclass
class _Books:
    balances: dict[UUID, _Balance] = field(default_factory=lambda: defaultdict(_Balance))
    pending: dict[UUID, dict[str, Any]] = field(default_factory=dict)

    def move(self, transfer: dict[str, Any], kind: str, amount: int) -> None:
        debit, credit = self.balances[transfer["debit_id"]], self.balances[transfer["credit_id"]]
        setattr(debit, f"debits_{kind}", getattr(debit, f"debits_{kind}") + amount)
        setattr(credit, f"credits_{kind}", getattr(credit, f"credits_{kind}") + amount)


def _fold(tables: Tables) -> Iterable[str]:
    """Add up the ledger's transfers: each pending one resolved at most once, at the end the balances as stored."""
    books = _Books()
    for transfer in tables.transfers:
        kind, amount = transfer["kind"], transfer["amount_fen"]
        if kind == "single":
            books.move(transfer, "posted", amount)
        elif kind == "pending":
            books.pending[transfer["id"]] = transfer
            books.move(transfer, "pending", amount)
        else:
            reserved = books.pending.pop(transfer["pending_id"], None)
            if reserved is None or amount > reserved["amount_fen"]:
                yield f"transfer {transfer['id']} resolves {reserved}"
                continue
            books.move(reserved, "pending", -reserved["amount_fen"])
            if kind == "post":
                books.move(reserved, "posted", amount)
    for key in books.balances.keys() | tables.accounts.keys():
        stored, folded = tables.accounts.get(key), books.balances[key]
        if stored is None or any(stored[name] != value for name, value in vars(folded).items()):
            yield f"account {key}: its transfers come to {folded}, the table says {stored}"
    debits = sum(each.debits_posted for each in books.balances.values())
    if debits != sum(each.credits_posted for each in books.balances.values()):
        yield f"debits of {debits} fen are not the credits"
