"""64 contenders book the last card over HTTP at once: one 201, and the rest are refused with the same code.

`CARDHOUR_ROUNDS=1000` is the long run; the service is a process of its own on a real port.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.kit.ids import new_id
from app.kit.time import ceil_hour, format_rfc3339
from tests.faults.harness import Service, cardhour, desk_key

pytestmark = pytest.mark.anyio
CONTENDERS = 64
BUYERS = 8
ROUNDS = int(os.environ.get("CARDHOUR_ROUNDS", "10"))
REFUSED = (409, "capacity_taken")


@dataclass
class Arena:
    """A supplier, a few buyers and a connection for each contender."""

    desk: httpx.AsyncClient
    supplier: str
    contenders: list[httpx.AsyncClient] = field(default_factory=list)
    start: datetime = field(default_factory=lambda: ceil_hour(datetime.now(UTC)) + timedelta(hours=1))
    round_ms: list[float] = field(default_factory=list)

    async def post(self, path: str, body: Any, by: httpx.AsyncClient | None = None) -> Any:
        made = await (by or self.desk).post(path, json=body, headers={"Idempotency-Key": new_id().hex})
        assert made.status_code in {200, 201}, made.text
        return made.json()

    async def organisation(self, role: str) -> tuple[str, str]:
        made = await self.post("/v1/organisations", {"name": f"示例 {role}", "roles": [role]})
        org = made["organisation"]["id"]
        await self.post(f"/v1/organisations/{org}/approve", {})
        return org, made["key"]["secret"]

    async def last_card(self, region: str) -> str:
        """List one card for an hour, in a region of its own."""
        end = self.start + timedelta(hours=1)
        offer = {
            "supplier_org_id": self.supplier,
            "chip_model": "A100 80G",
            "region": region,
            "price_fen": 900,
            "cards_per_node": 1,
            "capacity": [
                {"starts_at": format_rfc3339(self.start), "cards": 1},
                {"starts_at": format_rfc3339(end), "cards": 0},
            ],
        }
        return (await self.post("/v1/offers", offer))["id"]

    async def fight(self, region: str) -> tuple[list[tuple[int, str]], str]:
        """Let everyone quote the card, then all book it at once; return how each was answered, and the offer."""
        offer = await self.last_card(region)
        need = {
            "alternatives": [{"cards": 1, "hours": 1}],
            "earliest_start": format_rfc3339(self.start),
            "deadline": format_rfc3339(self.start + timedelta(hours=1)),
            "site": {"regions": [region]},
        }
        quotes = await asyncio.gather(*(self.post("/v1/quotes", {"need": need}, each) for each in self.contenders))
        assert {quote["options"][0]["placements"][0]["offer_id"] for quote in quotes} == {offer}
        began = time.perf_counter()
        answers = await asyncio.gather(
            *(
                each.post(
                    "/v1/reservations",
                    json={"quote_id": quote["id"], "option": 1},
                    headers={"Idempotency-Key": new_id().hex},
                )
                for each, quote in zip(self.contenders, quotes, strict=True)
            )
        )
        self.round_ms.append((time.perf_counter() - began) * 1000)
        return [(answer.status_code, answer.json().get("code", "")) for answer in answers], offer

    async def booked(self, offer: str) -> int:
        answer = await self.desk.get("/v1/reservations", params={"offer_id": offer, "limit": 100})
        return len(answer.json()["data"])


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("last-card") / "data")
    service.start()
    try:
        yield service
        verified = cardhour(service.data_dir, "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr
    finally:
        service.stop()


@pytest.fixture
async def arena(service: Service) -> AsyncIterator[Arena]:
    def client(key: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=service.url, headers={"Authorization": f"Bearer {key}"}, timeout=120)

    async with client(desk_key(service.data_dir)) as desk:
        arena = Arena(desk, "")
        arena.supplier, _ = await arena.organisation("supplier")
        keys = [(await arena.organisation("buyer"))[1] for _ in range(BUYERS)]
        # A connection pool for each, so that each has a socket of its own.
        arena.contenders = [client(keys[each % BUYERS]) for each in range(CONTENDERS)]
        yield arena
        for each in arena.contenders:
            await each.aclose()


@pytest.mark.timeout(120 + 10 * ROUNDS)
async def test_one_of_64_gets_the_last_card(arena: Arena) -> None:
    answers: Counter[tuple[int, str]] = Counter()
    for turn in range(ROUNDS):
        told, offer = await arena.fight(f"区域 {turn}")
        assert Counter(told) == {(201, ""): 1, REFUSED: CONTENDERS - 1}
        assert await arena.booked(offer) == 1
        answers.update(told)
    times = sorted(arena.round_ms)
    print(f"{ROUNDS} rounds: {dict(answers)}; 64 bookings in {times[len(times) // 2]:.0f} ms (median)")
    assert answers == {(201, ""): ROUNDS, REFUSED: ROUNDS * (CONTENDERS - 1)}
