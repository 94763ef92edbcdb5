"""A market reached through the API only: offers listed, requests posted, quotes booked, reservations turned."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx

from app.kit.db import SYSTEM, Database
from app.kit.ids import new_id
from app.kit.time import format_rfc3339
from app.matching.service import sweep_quotes
from app.reservations.service import SweepResult, sweep
from tests.conftest import Actor, Clock

CHIPS = (
    {
        "name": "A100 80G",
        "vendor": "NVIDIA",
        "fp16_tflops": 312,
        "memory_gb": 80,
        "domestic": False,
        "chip_class": "A100-class",
    },
    {
        "name": "X910",
        "vendor": "示例",
        "fp16_tflops": 320,
        "memory_gb": 64,
        "domestic": True,
        "chip_class": "A100-class",
    },
    {"name": "Mystery"},
)


def keyed(**headers: str) -> dict[str, str]:
    return {"Idempotency-Key": new_id().hex} | headers


@dataclass
class Bazaar:
    desk: Actor
    supplier: Actor
    buyer: Actor
    clock: Clock
    database: Database
    worker: Database

    @property
    def day(self) -> datetime:
        """Midnight of the first day; the clock starts half an hour later."""
        return self.clock.now.replace(hour=0, minute=0)

    def at(self, hour: float) -> str:
        return format_rfc3339(datetime.fromisoformat("2026-12-01T00:00:00+00:00") + timedelta(hours=hour))

    async def open(self) -> "Bazaar":
        for chip in CHIPS:
            assert (await self.desk.client.post("/v1/chips", json=chip)).status_code == 201
        return self

    async def offer(
        self, cards: int = 8, *, start: int = 0, end: int = 100, by: Actor | None = None, **more: Any
    ) -> Any:
        body = {
            "chip_model": "A100 80G",
            "region": "北京",
            "price_fen": 850,
            "interconnect_gbps": 200,
            "capacity": [
                {"starts_at": self.at(start), "cards": cards},
                {"starts_at": self.at(end), "cards": 0},
            ],
        }
        made = await (by or self.supplier).client.post("/v1/offers", json=body | more, headers=keyed())
        assert made.status_code == 201, made.text
        return made.json()

    def alternative(self, **more: Any) -> dict[str, Any]:
        return {"chips": "any", "cards": 4, "hours": 10, "max_net_price_fen": 2000} | more

    async def request(self, *, by: Actor | None = None, **more: Any) -> Any:
        alternative = {
            name: more.pop(name) for name in ("chips", "cards", "hours", "max_net_price_fen") if name in more
        }
        body = {
            "alternatives": [self.alternative(**alternative)],
            "earliest_start": self.at(0),
            "deadline": self.at(100),
        }
        made = await (by or self.buyer).client.post("/v1/requests", json=body | more, headers=keyed())
        assert made.status_code == 201, made.text
        return made.json()

    def need(self, *, site: dict[str, Any] | None = None, blocks: int = 1, **alternative: Any) -> dict[str, Any]:
        window = {name: alternative.pop(name) for name in ("earliest_start", "deadline") if name in alternative}
        return {
            "alternatives": [self.alternative(**alternative)],
            "earliest_start": self.at(0),
            "deadline": self.at(100),
            "blocks": blocks,
            "site": site or {},
        } | window

    async def quote(self, by: Actor | None = None, **body: Any) -> Any:
        made = await (by or self.buyer).client.post("/v1/quotes", json=body)
        assert made.status_code == 201, made.text
        return made.json()

    async def try_book(self, quote: Any, option: int = 1, by: Actor | None = None) -> httpx.Response:
        body = {"quote_id": quote["id"], "option": option}
        return await (by or self.buyer).client.post("/v1/reservations", json=body, headers=keyed())

    async def book(self, quote: Any = None, option: int = 1, **need: Any) -> list[Any]:
        """Book an option, or a need quoted for it; return the reservations."""
        quote = quote or await self.quote(need=self.need(**need))
        made = await self.try_book(quote, option)
        assert made.status_code == 201, made.text
        return made.json()["data"]

    async def turn(
        self, by: Actor, reservation: Any, verb: str, body: Any = None, *, version: int | str | None = None
    ) -> httpx.Response:
        """POST a state change with the version given, else the present one."""
        path = f"/v1/reservations/{reservation['id']}"
        if version is None:
            version = (await self.desk.client.get(path)).headers["etag"].strip('"')
        return await by.client.post(f"{path}/{verb}", json=body or {}, headers=keyed(**{"If-Match": f'"{version}"'}))

    async def confirm(self, reservation: Any) -> Any:
        for actor in (self.buyer, self.supplier):
            done = await self.turn(actor, reservation, "accept")
            assert done.status_code == 200, done.text
        assert done.json()["state"] == "confirmed"
        return done.json()

    async def active(self, reservation: Any) -> Any:
        """Confirm, and let the start come."""
        await self.confirm(reservation)
        self.clock.now = datetime.fromisoformat(reservation["starts_at"])
        assert (await self.sweep()).activated >= 1
        return await self.read(reservation)

    async def read(self, reservation: Any) -> Any:
        return (await self.desk.client.get(f"/v1/reservations/{reservation['id']}")).json()

    async def read_request(self, request_id: str) -> Any:
        return (await self.desk.client.get(f"/v1/requests/{request_id}")).json()

    async def sweep(self) -> SweepResult:
        async with self.worker.write(SYSTEM) as session:
            return await sweep(session, self.clock())

    async def sweep_quotes(self) -> int:
        async with self.worker.write(SYSTEM) as session:
            return await sweep_quotes(session, self.clock())

    async def free(self, offer: Any, hour: int) -> int:
        body = (await self.desk.client.get(f"/v1/offers/{offer['id']}/capacity")).json()
        moment = self.at(hour)
        return next(part["free"] for part in body["segments"] if part["from"] <= moment < part["to"])


MakeBazaar = Callable[[], Bazaar]


def refusal(response: httpx.Response) -> tuple[int, str]:
    """The status and code of a problem."""
    return (response.status_code, response.json()["code"])
