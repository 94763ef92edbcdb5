"""What an application is refused for, over REST, each by its clause: those that have no test elsewhere.

Elsewhere are an ineligible buyer and a second application (test_applications), a closed pool (test_life), redemptions
above rate and remainder (test_settling, test_chengdu: nobody asks for one, a settlement makes it), claims outside their
quarter and amounts with three decimals (test_claims), deliveries for an expired reservation (test_deliveries) and
corrections beyond zero (test_books).
"""

from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import URL

from app.kit.db import SYSTEM
from app.kit.ids import decode_id
from app.vouchers import service as programmes
from tests.bazaar import keyed
from tests.contracts.bureau import CAP, COST, POOL, Bureau, component
from tests.grants import NOW, TOML

pytestmark = pytest.mark.anyio


async def store(bureau: Bureau, name: str, before: str, after: str) -> None:
    """Store and open the programme with one thing changed."""
    text = TOML.replace('id = "made-up"', f'id = "{name}"').replace(before, after, 1)
    async with bureau.database.write(SYSTEM) as session:
        await programmes.store_programmes(session, [text], NOW)
    await bureau.open_year(2026, name)


def unmet(application: Any) -> list[str]:
    """The clauses that were not met."""
    return [clause["name"] for clause in application["clauses"] if not clause["met"]]


@pytest.mark.parametrize(("minimum", "met"), [("170.00", True), ("170.01", False)])
async def test_a_voucher_below_the_minimum_is_refused_by_that_clause(
    bureau: Bureau, minimum: str, *, met: bool
) -> None:
    """Half of 340 CNY is 170."""
    await store(bureau, "least", 'rate = "0.5"', f'rate = "0.5"\nminimum_voucher_cny = "{minimum}"')
    done = await bureau.confirmed(component(COST // 2, programme="least"))
    application = await bureau.application(done)
    if met:
        assert (application["state"], application["amount_fen"], unmet(application)) == ("approved", COST // 2, [])
        return
    assert (application["state"], application["reason"]["code"]) == ("rejected", "clause_unmet")
    assert unmet(application) == ["minimum_voucher"]
    assert ">= 170.01 CNY" in application["reason"]["told"]
    assert (done["subsidy_fen"], await bureau.left("least")) == (0, (POOL, CAP))


async def test_a_contract_of_another_year_is_refused_by_that_clause(bureau: Bureau, database_url: URL) -> None:
    """Signed in December and applied for in January, as one on record from before there were applications."""
    await store(bureau, "same-year", "partners_only", "applied_in_year_of_signing = true\npartners_only")
    done = await bureau.confirmed()
    await bureau.hold(component(10_000, programme="same-year"))
    connection = await asyncpg.connect(database_url.set(drivername="postgresql").render_as_string(hide_password=False))
    # The earmark of another hold is put on the contract, past the triggers.
    await connection.execute("SET session_replication_role = replica")
    contracted = decode_id("rsv", done["id"])
    await connection.execute("UPDATE voucher SET subject_id = $1", contracted)
    await connection.execute("UPDATE reservation SET subsidy_fen = 0, net_fen = cost_fen WHERE state = 'held'")
    await connection.close()
    bureau.bazaar.clock.now = datetime(2027, 1, 2, tzinfo=UTC)
    body = {"contract_id": (await bureau.contract(done))["id"]}
    made = await bureau.bazaar.buyer.client.post("/v1/voucher-applications", json=body, headers=keyed())
    [application] = made.json()["data"]
    assert (application["state"], application["reason"]["code"]) == ("rejected", "clause_unmet")
    assert unmet(application) == ["contract_year"]
    assert await bureau.left("same-year") == (POOL, CAP)


@pytest.mark.parametrize("amount", ["100.001", 100.001, 10_000.5, -1, 0])
async def test_an_approval_is_over_whole_fen(bureau: Bureau, amount: object) -> None:
    done = await bureau.confirmed(component(10_000, programme="checked"))
    application = await bureau.application(done)
    answer = await bureau.turn(bureau.bazaar.desk, application, "approve", {"amount_fen": amount})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/amount_fen"]
    assert (await bureau.application(done))["state"] == "submitted"
