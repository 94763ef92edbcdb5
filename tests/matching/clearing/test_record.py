"""What is on record of a clearing can't be changed alone: `cardhour verify` names what was, past every guard."""

import json
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import asyncpg
import pytest
from sqlalchemy.engine import URL

from app.kit.db import Database
from app.verification.service import verify
from tests.bazaar import Bazaar
from tests.conftest import Clock
from tests.matching.clearing.conftest import Run, make_eligible, open_example

pytestmark = pytest.mark.anyio


@pytest.fixture
async def superuser(database_url: URL, app_database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url.set(drivername="postgresql").render_as_string(False))
    await connection.execute("SET session_replication_role = replica")
    yield connection
    await connection.close()


TABLES: Final = ("clearing", "clearing_file", "clearing_row", "reservation", "voucher")


async def mend(superuser: asyncpg.Connection) -> None:
    """Put every row back as it was kept."""
    for table in TABLES:
        await superuser.execute(f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table}")


async def stored(superuser: asyncpg.Connection, column: str) -> Any:
    return json.loads(zlib.decompress(await superuser.fetchval(f"SELECT {column} FROM clearing_file") or b""))


def packed(body: Any) -> bytes:
    return zlib.compress(json.dumps(body).encode())


@pytest.fixture
async def applied(
    bazaar: Bazaar, clear: Run, worker_database: Database, clock: Clock, superuser: asyncpg.Connection
) -> Any:
    """An applied clearing: two subsidised blocks held, one request left out."""
    await open_example(worker_database, clock)
    await make_eligible(bazaar)
    await bazaar.offer(8, price_fen=2000, list_price_fen=4000)
    await bazaar.request(cards=4, hours=24, max_net_price_fen=1900, blocks=2)
    await bazaar.request(cards=64)
    done = await clear()
    assert (done["state"], done["result"]["reserved"]) == ("succeeded", 2)
    for table in TABLES:
        await superuser.execute(f"CREATE TEMP TABLE kept_{table} AS SELECT * FROM {table}")
    return done


async def found(database: Database) -> dict[str, tuple[str, ...]]:
    return {finding.name: finding.told for finding in await verify(database) if not finding.holds}


async def test_a_sound_record_passes_and_survives_what_comes_after(
    bazaar: Bazaar, applied: Any, clear: Run, app_database: Database
) -> None:
    assert await found(app_database) == {}
    held = (await bazaar.desk.client.get("/v1/reservations")).json()["data"]
    await bazaar.confirm(held[0])
    assert (await bazaar.turn(bazaar.desk, held[1], "cancel", {"reason": "desk_decision"})).status_code == 200
    await clear(mode="dry_run")
    findings = {finding.name: finding for finding in await verify(app_database)}
    assert [finding.told for finding in findings.values() if not finding.holds] == []
    assert findings["clearings"].counted == findings["clearing_rows"].counted == 2
    assert findings["clearing_reservations"].counted >= 2


ROWS: Final[list[tuple[str, str, str]]] = [
    (
        "UPDATE clearing_row SET body = jsonb_set(body, '{net_fen}', '1') WHERE kind = 'match' AND position = 1",
        "clearing_rows",
        "match 1 is not shown as it was made",
    ),
    (
        (
            "UPDATE clearing_row SET body = jsonb_set(body, '{subsidies,0,amount_fen}', '1') WHERE position = 0"
            " AND kind = 'match'"
        ),
        "clearing_rows",
        "match 0 is not shown as it was made",
    ),
    (
        (
            "UPDATE clearing_row SET request_id = (SELECT id FROM request ORDER BY id DESC LIMIT 1)"
            " WHERE kind = 'match' AND position = 0"
        ),
        "clearing_rows",
        "match 0 is not shown as it was made",
    ),
    (
        "UPDATE clearing_row SET body = jsonb_set(body, '{block}', '1') WHERE kind = 'match'",
        "clearing_rows",
        "are not shown as they were matched",
    ),
    ("DELETE FROM clearing_row WHERE kind = 'match' AND position = 1", "clearing_rows", "1 matches are shown of 2"),
    (
        (
            "INSERT INTO clearing_row SELECT clearing_id, kind, 7, request_id, offer_id, buyer_org_id,"
            " supplier_org_id, NULL, body FROM clearing_row WHERE kind = 'match' AND position = 1"
        ),
        "clearing_rows",
        "3 matches are shown of 2",
    ),
    (
        "UPDATE clearing_row SET body = jsonb_set(body, '{code}', '\"outbid\"') WHERE kind = 'unmatched'",
        "clearing_rows",
        "unmatched request 0 is not shown as it was found",
    ),
    ("DELETE FROM clearing_row WHERE kind = 'unmatched'", "clearing_rows", "unmatched request 0 is not shown"),
    ("UPDATE clearing SET bound_fen = bound_fen + 1", "clearing_rows", "its result says"),
    ("UPDATE clearing SET objective_fen = objective_fen - 1", "clearing_rows", "its result says"),
    (
        """UPDATE clearing SET losers = '[{"position": 0, "code": "capacity_taken"}]'""",
        "clearing_rows",
        "its losers are not the matches that were lost",
    ),
    ("DELETE FROM reservation WHERE block = 1", "clearing_reservations", "is missing"),
    (
        "UPDATE clearing_row SET reservation_id = NULL WHERE position = 1 AND kind = 'match'",
        "clearing_reservations",
        "was neither reserved nor lost",
    ),
    (
        (
            "UPDATE clearing_row SET reservation_id = (SELECT min(reservation_id::text)::uuid FROM clearing_row)"
            " WHERE kind = 'match'"
        ),
        "clearing_reservations",
        "is of 2 matches",
    ),
    (
        "UPDATE reservation SET price_fen = price_fen - 1 WHERE block = 0",
        "clearing_reservations",
        "is not what match 0",
    ),
    (
        "UPDATE reservation SET starts_at = starts_at + interval '1 hour'",
        "clearing_reservations",
        "is not what match",
    ),
    ("UPDATE voucher SET amount_fen = amount_fen - 1", "clearing_reservations", "has not the vouchers"),
    ("DELETE FROM voucher", "clearing_reservations", "has not the vouchers"),
    ("UPDATE clearing SET mode = 'dry_run'", "clearing_reservations", "is in a dry run and names a reservation"),
    ("DELETE FROM clearing_file", "clearings", "has no input and result"),
    ("UPDATE clearing_file SET outcome = 'no zlib'", "clearings", "Error -3"),
    ("UPDATE clearing_file SET instance = outcome", "clearings", "is unknown"),
]


async def test_a_row_that_was_changed_is_named(
    applied: Any, app_database: Database, superuser: asyncpg.Connection
) -> None:
    for statement, name, words in ROWS:
        await superuser.execute(statement)
        told = await found(app_database)
        assert any(words in line for line in told.get(name, ())), (statement, told)
        await mend(superuser)


def _later(body: Any) -> None:
    body["matches"][0]["start"] = "2027-12-04T00:00:00Z"


def _cheaper(body: Any) -> None:
    body["matches"][0]["cost_fen"] -= 1
    body["matches"][0]["net_fen"] -= 1


def _richer(body: Any) -> None:
    match = body["matches"][0]
    match["subsidies"][0]["amount_fen"] += 1
    match["subsidy_fen"] += 1
    match["net_fen"] -= 1
    match["surplus_fen"] += 1


def _tighter(body: Any) -> None:
    body["bound_fen"] -= 1
    body["objectives"][0]["bound"] -= 1


def _dual(body: Any) -> None:
    rows = body["duals"]["budgets"]
    rows.append({"budget": "open-example/pool/2026", "mu": 5}) if not rows else rows[0].update(mu=rows[0]["mu"] + 7)


def _reason(body: Any) -> None:
    body["unmatched"][0]["code"] = "outbid"


def _fewer(body: Any) -> None:
    body["matches"].pop()


def _worth_more(body: Any) -> None:
    body["objective_fen"] += 1


def _of_another(body: Any) -> None:
    body["instance_sha256"] = "0" * 64


def _without_duals(body: Any) -> None:
    del body["duals"]


RESULTS: Final[list[tuple[Callable[[Any], None], str]]] = [
    (_later, "leaves the window"),
    (_cheaper, "cost"),
    (_richer, "96001 fen is above the most"),
    (_tighter, "the duals prove"),
    (_dual, "the duals prove"),
    (_reason, "recomputed"),
    (_fewer, "objectives are"),
    (_worth_more, "objective_fen is"),
    (_of_another, "its input is not the one"),
    (_without_duals, "KeyError"),
]


async def test_a_result_that_was_changed_is_named(
    applied: Any, app_database: Database, superuser: asyncpg.Connection
) -> None:
    for change, words in RESULTS:
        body = await stored(superuser, "outcome")
        change(body)
        await superuser.execute("UPDATE clearing_file SET outcome = $1", packed(body))
        told = await found(app_database)
        assert words in told["clearings"][0], (change.__name__, told)
        await mend(superuser)


async def test_an_input_that_was_changed_is_named(
    applied: Any, app_database: Database, superuser: asyncpg.Connection
) -> None:
    body = await stored(superuser, "instance")
    body["offers"][0]["price_fen"] -= 1
    await superuser.execute("UPDATE clearing_file SET instance = $1", packed(body))
    assert "its input is not the one" in (await found(app_database))["clearings"][0]
