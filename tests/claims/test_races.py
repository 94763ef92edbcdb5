"""Two real connections race for one line and one payment: exactly one wins, every round. Rounds: CARDHOUR_ROUNDS."""

import asyncio
import os
from typing import Any

import pytest

from app.vouchers import budgets as caps
from tests.bazaar import Bazaar, refusal
from tests.settlements.deals import QUARTER_OVER, Deal, Granted

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(3600)]
ROUNDS = int(os.environ.get("CARDHOUR_ROUNDS", "12"))
SECONDS = 36
LINE = 17  # half of what 4 cards cost in that time
MOST_REPORTS = 500


@pytest.fixture
async def deal(bazaar: Bazaar) -> Deal:
    """A redemption of 17 fen for each round, of a quarter that is over."""
    hours = -(-ROUNDS * SECONDS // 3600)
    made = await Deal(bazaar, hours=hours, grants=(Granted(hours * 1_700),)).over()
    periods = [made.period(n * SECONDS / 3600, SECONDS / 3600) for n in range(ROUNDS)]
    for first in range(0, ROUNDS, MOST_REPORTS):
        await made.report(*periods[first : first + MOST_REPORTS])
    bazaar.clock.now = QUARTER_OVER
    return made


async def redemptions(deal: Deal) -> list[Any]:
    """Every redemption, in the order of its settlement."""
    query: dict[str, Any] = {"reservation_id": deal.reservation["id"], "limit": 100}
    found: list[Any] = []
    while True:
        page = (await deal.bazaar.buyer.client.get("/v1/settlements", params=query)).json()
        found += [each for row in page["data"] for each in row["redemptions"]]
        if not page["has_more"]:
            return found
        query["after"] = page["next_cursor"]


async def books(deal: Deal) -> tuple[tuple[int, int], tuple[int, int]]:
    """What is set aside and left to claim, and what is set aside and paid."""
    claimable = await deal.account(caps.claimable_name("made-up", deal.bazaar.supplier.org_id))
    paid = await deal.account(caps.paid_name("made-up", 2026))
    return (claimable.debits_pending, claimable.left_fen), (paid.credits_pending, paid.credits_posted)


async def test_two_claims_race_for_one_line(deal: Deal) -> None:
    """One names it, the other claims all that is left; where both would hold it, one is refused."""
    found = await redemptions(deal)
    assert len(found) == ROUNDS
    for n, redemption in enumerate(found):
        # The last line is left to `all`; those before are held by the claims of earlier rounds.
        everything = deal.try_claim() if n == ROUNDS - 1 else deal.try_claim(redemption_ids=[redemption["id"]])
        answers = await asyncio.gather(deal.try_claim(redemption_ids=[redemption["id"]]), everything)
        [won] = [answer.json() for answer in answers if answer.status_code == 201]
        [lost] = [refusal(answer) for answer in answers if answer.status_code != 201]
        assert lost[1] in ("already_claimed", "nothing_to_claim")
        assert [line["redemption_id"] for line in won["lines"]] == [redemption["id"]]
        held = (n + 1) * LINE
        assert await books(deal) == ((held, ROUNDS * LINE - held), (held, 0))


async def test_two_payments_race_for_one_claim(deal: Deal) -> None:
    for n, redemption in enumerate(await redemptions(deal)):
        claim = await deal.decide(await deal.claim(redemption_ids=[redemption["id"]]), "approve")
        answers = await asyncio.gather(*(deal.try_decide(claim, "pay", amount_fen=LINE) for _ in range(2)))
        [won] = [answer.json() for answer in answers if answer.status_code == 200]
        [lost] = [refusal(answer) for answer in answers if answer.status_code != 200]
        assert lost in ((409, "claim_state"), (412, "stale"))
        assert (won["state"], won["cash_fen"]) == ("paid", LINE)
        paid = (n + 1) * LINE
        assert await books(deal) == ((0, ROUNDS * LINE - paid), (0, paid))
