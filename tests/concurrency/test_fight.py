"""Many real connections fight for the last cards of an offer: exactly the capacity is sold."""

import asyncio
import random
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from .conftest import HOUR, INSERT, ROUNDS, START, Market, act_as, constraint_of

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(1800)]
CONTENDERS = 64
BUYERS = 8
LEVELS = ["read_committed", "repeatable_read", "serializable"]


async def book(
    connection: asyncpg.Connection, buyer: UUID, row: tuple[Any, ...], level: str, *, look_first: bool = False
) -> bool:
    """Book as the service would: the whole transaction again after a serialization failure."""
    while True:
        try:
            async with connection.transaction(isolation=level):
                await act_as(connection, buyer)
                if look_first:
                    free = await connection.fetchval(
                        "SELECT (SELECT cards FROM capacity_step WHERE offer_id = $1 ORDER BY starts_at LIMIT 1)"
                        " - coalesce((SELECT max(cards) FROM offer_usage(ARRAY[$1::uuid], $2, $3)), 0)",
                        row[1],
                        START,
                        START + HOUR,
                    )
                    if free < row[6]:
                        return False
                    await asyncio.sleep(0.01)
                await connection.execute(INSERT, *row)
        except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(random.uniform(0, 0.01))
        except asyncpg.CheckViolationError as refused:
            if constraint_of(refused) != "reservation_within_capacity":
                raise
            return False
        else:
            return True


class Arena:
    def __init__(self, market: Market, buyers: list[UUID], connections: list[asyncpg.Connection]) -> None:
        self.market, self.buyers, self.connections = market, buyers, connections

    async def fight(self, capacity: int, level: str, *, look_first: bool = False) -> tuple[int, int]:
        """Let everyone book one card of a new offer at once; return winners and cards sold."""
        offer = await self.market.offer((0, capacity), (10, 0))
        requests = [await self.market.request(buyer, CONTENDERS) for buyer in self.buyers]
        won = await asyncio.gather(
            *(
                book(
                    connection,
                    self.buyers[i % BUYERS],
                    self.market.row(offer, requests[i % BUYERS], self.buyers[i % BUYERS], i),
                    level,
                    look_first=look_first,
                )
                for i, connection in enumerate(self.connections)
            )
        )
        return sum(won), await self.market.sold(offer)


@pytest.fixture
async def arena(market: Market) -> Arena:
    buyers = [await market.organisation("buyer") for _ in range(BUYERS)]
    return Arena(market, buyers, [await market.connect() for _ in range(CONTENDERS)])


@pytest.mark.parametrize("level", LEVELS)
async def test_exactly_the_capacity_is_sold(arena: Arena, level: str) -> None:
    for turn in range(ROUNDS):
        capacity = (1, 4, 13)[turn % 3]
        assert await arena.fight(capacity, level) == (capacity, capacity)
    await arena.market.assert_sound()


async def test_gangs_of_all_sizes_leave_no_room_for_a_loser(arena: Arena) -> None:
    for turn in range(ROUNDS):
        offer = await arena.market.offer((0, 40), (6, 20), (10, 0))
        request = await arena.market.request(arena.buyers[0], CONTENDERS)
        sizes = [random.Random(turn * 1000 + i).randint(1, 16) for i in range(CONTENDERS)]
        rows = [
            arena.market.row(offer, request, arena.buyers[0], i, cards=size, end=10) for i, size in enumerate(sizes)
        ]
        won = await asyncio.gather(
            *(
                book(connection, arena.buyers[0], row, "read_committed")
                for connection, row in zip(arena.connections, rows, strict=True)
            )
        )
        sold = await arena.market.sold(offer)
        assert sold == sum(size for size, mine in zip(sizes, won, strict=True) if mine) <= 20
        assert min((size for size, mine in zip(sizes, won, strict=True) if not mine), default=21) > 20 - sold
    await arena.market.assert_sound()


@pytest.mark.parametrize("look_first", [False, True])
async def test_without_the_guard_the_same_fight_oversells(arena: Arena, look_first: bool) -> None:
    """The control: were this to pass with the guard off, the tests above would prove nothing."""
    admin = arena.market.admin
    await admin.execute("ALTER TABLE reservation DISABLE TRIGGER guard_insert")
    try:
        won, sold = await arena.fight(4, "read_committed", look_first=look_first)
    finally:
        await admin.execute("ALTER TABLE reservation ENABLE TRIGGER guard_insert")
    assert won == sold > 4


async def test_one_live_reservation_per_block(arena: Arena) -> None:
    offer = await arena.market.offer((0, 1000), (10, 0))
    buyer = arena.buyers[0]
    for _ in range(3):
        request = await arena.market.request(buyer)

        async def take(connection: asyncpg.Connection, request: UUID = request) -> bool:
            try:
                async with connection.transaction():
                    await act_as(connection, buyer)
                    await connection.execute(INSERT, *arena.market.row(offer, request, buyer))
            except asyncpg.UniqueViolationError as refused:
                if constraint_of(refused) != "reservation_one_live_per_block":
                    raise
                return False
            return True

        assert sum(await asyncio.gather(*(take(connection) for connection in arena.connections))) == 1
    await arena.market.assert_sound()


async def test_capacity_lowered_during_a_fight_stays_above_what_is_sold(arena: Arena) -> None:
    """The supplier lowers its capacity while everyone books: whoever comes second is refused."""
    market = arena.market
    supplier = await market.connect()
    for turn in range(ROUNDS):
        offer = await market.offer((0, 30), (10, 0))
        requests = [await market.request(buyer, CONTENDERS) for buyer in arena.buyers]

        async def lower(offer: UUID = offer) -> bool:
            await asyncio.sleep(0.002 * (turn % 5))  # noqa: B023  awaited inside the turn
            try:
                async with supplier.transaction():
                    await act_as(supplier, market.supplier)
                    await supplier.execute(
                        "UPDATE capacity_step SET cards = 10 WHERE offer_id = $1 AND cards > 0", offer
                    )
            except asyncpg.CheckViolationError:
                return False
            return True

        lowered, *won = await asyncio.gather(
            lower(),
            *(
                book(
                    connection,
                    arena.buyers[i % BUYERS],
                    market.row(offer, requests[i % BUYERS], arena.buyers[i % BUYERS], i),
                    "read_committed",
                )
                for i, connection in enumerate(arena.connections)
            ),
        )
        assert sum(won) == await market.sold(offer) == (10 if lowered else 30)
    await market.assert_sound()
