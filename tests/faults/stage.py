"""A market with a subsidy on a real service, and ways to hold a clearing on it where it is to be hit."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import httpx
import psutil

from app.kit.time import format_rfc3339
from tests.faults.harness import Market, Service, child_of

SOLVER: Final = "app.matching.solver_process"
# Also on a machine that is busy with other things, where a checkpoint may take that long.
PATIENCE_S: Final = 120
OVER: Final = ("succeeded", "failed", "cancelled")
SUBSIDY: Final = "open-example"
Held = AsyncGenerator[str]


def wait_for(what: str, seen: Callable[[], Any], seconds: float = 30) -> Any:
    """Look until there is something to see; return it."""
    deadline = time.monotonic() + seconds
    while True:
        found = seen()
        if found:
            return found
        assert time.monotonic() < deadline, f"not seen within {seconds} s: {what}"
        time.sleep(0.005)


@dataclass
class Stage:
    """The service, a market with a subsidy, and how to put a clearing on it."""

    service: Service
    market: Market
    buyer: str
    asked: list[str] = field(default_factory=list)

    @property
    def api(self) -> httpx.Client:
        return self.market.api

    def key(self) -> dict[str, str]:
        return {"Idempotency-Key": os.urandom(8).hex()}

    def get(self, path: str, **query: Any) -> Any:
        """Read, however often the service or its database is away meanwhile."""

        def read() -> Any:
            try:
                answer = self.api.get(path, params=query)
            except httpx.HTTPError:
                return None
            assert answer.status_code in {200, 503}, answer.text
            return answer.json() if answer.status_code == 200 else None

        return wait_for(path, read, 60)

    def listed(self, path: str, **query: Any) -> list[Any]:
        page = self.get(path, limit=100, **query)
        assert not page["has_more"]
        return page["data"]

    def post_requests(self) -> None:
        """Post two requests of three blocks that only a subsidy can pay."""
        for _ in range(2):
            body = {
                "buyer_org_id": self.buyer,
                "alternatives": [{"chips": "any", "cards": 8, "hours": 24, "max_net_price_fen": 890}],
                "earliest_start": format_rfc3339(self.market.start),
                "deadline": format_rfc3339(self.market.start + timedelta(hours=self.market.hours)),
                "blocks": 3,
            }
            made = self.api.post("/v1/requests", json=body, headers=self.key())
            assert made.status_code == 201, made.text
            self.asked.append(made.json()["id"])

    def clear(self) -> str:
        """Ask for a clearing that is to be applied."""
        body = {"mode": "apply", "work_limit": 5, "programmes": [{"id": SUBSIDY}]}
        made = self.api.post("/v1/clearings", json=body, headers=self.key())
        assert made.status_code == 202, made.text
        return made.json()["id"]

    def ended(self, clearing: str, seconds: float = 60) -> Any:
        return wait_for(
            "the run's end",
            lambda: (body := self.get(f"/v1/clearings/{clearing}")) and body["state"] in OVER and body,
            seconds,
        )

    def held(self) -> list[Any]:
        return self.listed("/v1/reservations", state="held")

    def earmarked(self) -> int:
        return sum(voucher["amount_fen"] for voucher in self.listed("/v1/vouchers", state="earmarked"))

    def withdraw(self) -> None:
        """Take everything back, so that the next case begins as this one did."""
        for state in ("queued", "running"):
            for clearing in self.listed("/v1/clearings", state=state):
                self.api.post(f"/v1/clearings/{clearing['id']}/cancel", headers=self.key())
        for reservation in self.held():
            path = f"/v1/reservations/{reservation['id']}"
            etag = self.api.get(path).headers["etag"]
            body = {"reason": "desk_decision"}
            done = self.api.post(f"{path}/cancel", json=body, headers=self.key() | {"If-Match": etag})
            assert done.status_code == 200, done.text
        for request in self.asked:
            path = f"/v1/requests/{request}"
            etag = self.api.get(path).headers["etag"]
            done = self.api.post(f"{path}/withdraw", headers=self.key() | {"If-Match": etag})
            assert done.status_code == 200, done.text
        self.asked.clear()

    def worker(self) -> psutil.Process:
        return wait_for("the worker", self.service.worker)

    def solver(self) -> psutil.Process:
        return wait_for("the solver", lambda: child_of(self.worker(), SOLVER))

    def phase(self, clearing: str) -> tuple[str, str]:
        body = self.get(f"/v1/clearings/{clearing}")
        return body["state"], body["progress"]["phase"]


@asynccontextmanager
async def connection(stage: Stage) -> AsyncGenerator[asyncpg.Connection]:
    """As the superuser; it may be gone with the server at the end."""
    opened = await asyncpg.connect(stage.service.dsn())
    try:
        yield opened
    finally:
        opened.terminate()


@asynccontextmanager
async def halted(process: psutil.Process) -> AsyncGenerator[None]:
    """Halt a process; it may be dead at the end."""
    process.suspend()
    try:
        yield
    finally:
        with suppress(psutil.NoSuchProcess):
            process.resume()


async def until(look: asyncpg.Connection, what: str, query: str, *arguments: object) -> None:
    """Wait until a query finds something."""
    deadline = time.monotonic() + PATIENCE_S
    while not await look.fetchval(query, *arguments):
        assert time.monotonic() < deadline, f"not seen within {PATIENCE_S} s: {what}"
        await asyncio.sleep(0.002)


@asynccontextmanager
async def locked(stage: Stage, table: str, mode: str, statement: str) -> Held:
    """Hold a run where its worker wants a table that we have locked."""
    async with connection(stage) as lock, connection(stage) as look:
        await lock.execute(f"BEGIN; LOCK TABLE {table} IN {mode} MODE")
        clearing = stage.clear()
        await until(
            look,
            f"the worker waits at {statement}",
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1"
            " AND application_name = 'cardhour/cardhour_worker'",
            f"%{statement}%",
        )
        yield clearing


def opened_stage(service: Service, market: Market) -> Stage:
    """Open a programme that the buyer and the supplier are eligible for."""
    api = market.api
    buyer = Market.organisation(api, "buyer")
    year = (datetime.now(UTC) + timedelta(hours=8)).year
    supplier = api.get(f"/v1/offers/{market.offer_id}").json()["supplier"]["org_id"]
    for org, key, value in ((buyer, "integrity", "clean"), (supplier, "partner", True)):
        body = {"key": key, "value": value, "valid_from": f"{year}-01-01"}
        made = api.post(f"/v1/organisations/{org}/facts", json=body)
        assert made.status_code == 201, made.text
    opened = api.post(f"/v1/programmes/{SUBSIDY}/open", json={"year": year}, headers={"Idempotency-Key": "open"})
    assert opened.status_code == 201, opened.text
    return Stage(service, market, buyer)


def is_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
