"""Direct SQL against the capacity guard, as the application under row-level security and as the superuser."""

import statistics
import time
from uuid import UUID

import asyncpg
import pytest

from .conftest import HOUR, INSERT, START, Market, act_as, constraint_of

pytestmark = pytest.mark.anyio
WITHIN, COVERS = "reservation_within_capacity", "capacity_covers_commitments"


class Scene:
    """An offer of 8 cards for 20 hours and 4 for 20 more, with 6 cards held over hours 5–15."""

    def __init__(self, market: Market, connection: asyncpg.Connection, who: str) -> None:
        self.market, self.connection, self.who = market, connection, who
        self.offer = self.buyer = self.request = self.held = UUID(int=0)

    async def set(self) -> "Scene":
        self.offer = await self.market.offer((0, 8), (20, 4), (40, 0))
        self.buyer = await self.market.organisation("buyer")
        self.request = await self.market.request(self.buyer, 10)
        row = self.market.row(self.offer, self.request, self.buyer, cards=6, start=5, end=15)
        self.held = row[0]
        await self.market.admin.execute(INSERT, *row)
        return self

    async def run(self, sql: str, *values: object) -> None:
        """Run as the buyer (reservations) or the supplier (capacity), or as the superuser."""
        async with self.connection.transaction():
            if self.who != "superuser":
                owner = self.market.supplier if "capacity_step" in sql else self.buyer
                await act_as(self.connection, owner)
            result = await self.connection.execute(sql, *values)
            assert not result.endswith(" 0"), "the statement must reach a row to be refused"

    async def refused(self, constraint: str, sql: str, *values: object) -> None:
        with pytest.raises(asyncpg.CheckViolationError) as refusal:
            await self.run(sql, *values)
        assert (refusal.value.sqlstate, constraint_of(refusal.value)) == ("23514", constraint)


@pytest.fixture(params=["cardhour_app", "superuser"])
async def scene(market: Market, request: pytest.FixtureRequest) -> Scene:
    connection = market.admin if request.param == "superuser" else await market.connect(request.param)
    return await Scene(market, connection, request.param).set()


def at(hour: int):
    return START + hour * HOUR


async def test_overbooking_is_refused(scene: Scene) -> None:
    m = scene.market
    for cards, start, end in ((3, 5, 6), (3, 14, 16), (9, 0, 1), (5, 19, 21), (1, 39, 41), (1, 50, 51), (1, -3, 1)):
        row = m.row(scene.offer, scene.request, scene.buyer, 1, cards=cards, start=start, end=end)
        await scene.refused(WITHIN, INSERT, *row)
    await scene.run(INSERT, *m.row(scene.offer, scene.request, scene.buyer, 1, cards=2, start=0, end=20))
    await scene.run(INSERT, *m.row(scene.offer, scene.request, scene.buyer, 2, cards=6, start=15, end=20))
    await scene.refused(WITHIN, INSERT, *m.row(scene.offer, scene.request, scene.buyer, 3, start=19, end=20))
    await m.assert_sound()


async def test_a_row_of_several_that_does_not_fit_refuses_all(scene: Scene) -> None:
    sql = """INSERT INTO reservation (id, offer_id, request_id, block, buyer_org_id, supplier_org_id, cards, starts_at,
        ends_at, state, hold_ends_at, price_fen, cost_fen, subsidy_fen, net_fen, version)
        SELECT gen_random_uuid(), $1, $2, n, $3, $4, 1, $5, $6, 'held', $5, 1, 1, 0, 1, 1
        FROM generate_series(1, $7) AS n"""
    values = (scene.offer, scene.request, scene.buyer, scene.market.supplier, at(5), at(6))
    await scene.refused(WITHIN, sql, *values, 3)
    assert await scene.market.sold(scene.offer, 5) == 6
    await scene.run(sql, *values, 2)
    assert await scene.market.sold(scene.offer, 5) == 8
    await scene.market.assert_sound()


async def test_extending_moving_growing_and_reviving_are_refused(scene: Scene) -> None:
    await scene.refused(WITHIN, "UPDATE reservation SET ends_at = $2 WHERE id = $1", scene.held, at(21))
    await scene.refused(WITHIN, "UPDATE reservation SET starts_at = $2 WHERE id = $1", scene.held, at(-1))
    await scene.refused(
        WITHIN, "UPDATE reservation SET starts_at = $2, ends_at = $3 WHERE id = $1", scene.held, at(20), at(30)
    )
    await scene.refused(WITHIN, "UPDATE reservation SET cards = 9 WHERE id = $1", scene.held)
    other = await scene.market.offer((0, 100), (40, 0))
    await scene.refused("reservation_identity", "UPDATE reservation SET offer_id = $2 WHERE id = $1", scene.held, other)
    cancel = "UPDATE reservation SET state = 'cancelled', reason_code = 'x' WHERE id = $1"
    await scene.run(cancel, scene.held)
    await scene.run(INSERT, *scene.market.row(scene.offer, scene.request, scene.buyer, 1, cards=6, start=5, end=15))
    for state in ("held", "confirmed", "active", "completed"):
        await scene.refused(
            "reservation_transition",
            "UPDATE reservation SET state = $2, reason_code = NULL WHERE id = $1",
            scene.held,
            state,
        )
    await scene.market.assert_sound()


async def test_turns_that_do_not_exist_are_refused(scene: Scene) -> None:
    turn = "UPDATE reservation SET state = $2 WHERE id = $1"
    for state in ("active", "completed"):
        await scene.refused("reservation_transition", turn, scene.held, state)
    await scene.run(turn, scene.held, "confirmed")
    for state in ("held", "completed"):
        await scene.refused("reservation_transition", turn, scene.held, state)
    await scene.run(turn, scene.held, "active")
    await scene.refused(
        "reservation_transition",
        "UPDATE reservation SET state = 'cancelled', reason_code = 'x' WHERE id = $1",
        scene.held,
    )
    await scene.run(turn, scene.held, "completed")
    await scene.refused("reservation_transition", turn, scene.held, "active")
    await scene.market.assert_sound()


async def test_lowering_capacity_below_commitments_is_refused(scene: Scene) -> None:
    update = "UPDATE capacity_step SET cards = $2 WHERE offer_id = $1 AND starts_at = $3"
    insert = "INSERT INTO capacity_step (offer_id, starts_at, cards) VALUES ($1, $2, $3)"
    delete = "DELETE FROM capacity_step WHERE offer_id = $1 AND starts_at = $2"
    await scene.refused(COVERS, update, scene.offer, 5, at(0))
    await scene.refused(COVERS, insert, scene.offer, at(10), 5)
    await scene.refused(COVERS, insert, scene.offer, at(14), 0)
    await scene.refused(COVERS, delete, scene.offer, at(0))
    await scene.refused(
        COVERS, "UPDATE capacity_step SET starts_at = $2 WHERE offer_id = $1 AND starts_at = $3",
        scene.offer, at(6), at(0),
    )  # fmt: skip
    await scene.refused("capacity_ends_at_zero", delete, scene.offer, at(40))
    await scene.refused("capacity_ends_at_zero", insert, scene.offer, at(50), 1)
    await scene.refused("capacity_step_whole_hour", insert, scene.offer, at(0) + HOUR / 2, 8)
    await scene.run(update, scene.offer, 6, at(0))
    await scene.run(insert, scene.offer, at(15), 0)
    await scene.run(delete, scene.offer, at(20))
    await scene.market.assert_sound()


@pytest.mark.parametrize("sql", ["DELETE FROM reservation", "TRUNCATE reservation CASCADE", "TRUNCATE capacity_step"])
async def test_reservations_are_never_removed(scene: Scene, sql: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await scene.connection.execute(sql)
    assert await scene.market.sold(scene.offer, 5) == 6


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE reservation_journal SET cards = 0",
        "DELETE FROM reservation_journal",
        "TRUNCATE reservation_journal",
        "DELETE FROM offer_book",
    ],
)
async def test_the_journal_and_the_books_are_append_only(scene: Scene, sql: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await scene.connection.execute(sql)
    await scene.market.assert_sound()


async def test_a_stranger_sees_and_changes_nothing_but_learns_the_usage(market: Market) -> None:
    scene = await Scene(market, await market.connect(), "stranger").set()
    stranger = await market.organisation("buyer")
    connection = scene.connection
    async with connection.transaction():
        await act_as(connection, stranger)
        assert await connection.fetchval("SELECT count(*) FROM reservation") == 0
        assert await connection.execute("UPDATE reservation SET cards = 1") == "UPDATE 0"
        usage = await connection.fetch("SELECT * FROM offer_usage(ARRAY[$1::uuid], $2, $3)", scene.offer, at(0), at(9))
        assert [(row["at"], row["cards"]) for row in usage] == [(at(5), 6), (at(9), -6)]
    transaction = connection.transaction()
    await transaction.start()
    await act_as(connection, stranger)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(INSERT, *market.row(scene.offer, scene.request, scene.buyer, 1))
    await transaction.rollback()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("UPDATE offer_book SET seq = 0")


async def many(market: Market, connection: asyncpg.Connection, rows: int, offers: list[UUID], buyer: UUID) -> float:
    """Insert `rows` reservations by one statement and take them back; return the seconds it took."""
    requests = [await market.request(buyer, 1000) for _ in range(rows // 1000)]
    transaction = connection.transaction()
    await transaction.start()
    await act_as(connection, None, "system")
    begun = time.perf_counter()
    result = await connection.execute(
        """INSERT INTO reservation (id, offer_id, request_id, block, buyer_org_id, supplier_org_id, cards, starts_at,
        ends_at, state, hold_ends_at, price_fen, cost_fen, subsidy_fen, net_fen, version)
        SELECT gen_random_uuid(), ($1::uuid[])[1 + n % cardinality($1::uuid[])], ($2::uuid[])[1 + n / 1000], n % 1000,
            $3, $4, 1, s, s + make_interval(hours => 6 + n % 160), 'held', s, 1, 1, 0, 1, 1
        FROM (SELECT n, $5::timestamptz + make_interval(hours => n * 37 % 500) AS s
              FROM generate_series(0, $6::int - 1) AS n) AS g""",
        offers,
        requests,
        buyer,
        market.supplier,
        START,
        rows,
    )
    taken = time.perf_counter() - begun
    assert result == f"INSERT 0 {rows}"
    await transaction.rollback()
    return taken


async def test_one_statement_takes_twenty_thousand_in_linear_time(market: Market) -> None:
    connection = await market.connect("cardhour_worker")
    offers = [await market.offer((0, 400), (800, 0)) for _ in range(200)]
    buyer = await market.organisation("buyer")
    await many(market, connection, 1000, offers, buyer)
    seconds = {
        rows: statistics.median([await many(market, connection, rows, offers, buyer) for _ in range(3)])
        for rows in (5_000, 20_000)
    }
    assert seconds[20_000] < 15
    assert seconds[20_000] / seconds[5_000] <= 8
