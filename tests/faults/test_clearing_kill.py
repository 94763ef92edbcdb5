"""`kill -9` of solver, worker, service and PostgreSQL in each phase of a clearing that is to be applied.

Whatever dies, the run ends with a reason or goes on, all of it is reserved or nothing, and the market can be cleared
again. A phase is not aimed at by the clock: locks of PostgreSQL, a process that is halted (SIGSTOP) or the run's own
row hold it where it is to be hit. With `CARDHOUR_FAULT_ROUNDS` of 6 or more there are more cases and each is repeated:
30, as `make faults` takes, means ten times.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import httpx
import psutil
import pytest

from app.kit.db import AUDITOR_ROLE, Database, async_url
from app.kit.time import format_rfc3339
from app.verification.service import verify
from tests.faults.harness import Market, Service, cardhour, child_of, desk_key

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

REPEATS = max(1, int(os.environ.get("CARDHOUR_FAULT_ROUNDS") or "3") // 3)
SOLVER: Final = "app.matching.solver_process"
OVER: Final = ("succeeded", "failed", "cancelled")
BLOCKS: Final = 6
SUBSIDY: Final = "open-example"


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


Held = AsyncGenerator[str]


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
    deadline = time.monotonic() + 30
    while not await look.fetchval(query, *arguments):
        assert time.monotonic() < deadline, f"not seen within 30 s: {what}"
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


# Each holds a run in a phase while it is killed, and lets go of it then.


@asynccontextmanager
async def queued(stage: Stage) -> Held:
    async with halted(stage.worker()):
        clearing = stage.clear()
        assert stage.phase(clearing) == ("queued", "waiting")
        yield clearing


@asynccontextmanager
async def reading(stage: Stage) -> Held:
    async with locked(stage, "chip_model", "ACCESS EXCLUSIVE", "chip_model") as clearing:
        assert stage.phase(clearing) == ("running", "reading")
        yield clearing


@asynccontextmanager
async def solving(stage: Stage) -> Held:
    clearing = stage.clear()
    async with halted(stage.solver()):
        wait_for("the phase", lambda: stage.phase(clearing) == ("running", "solving"))
        yield clearing


@asynccontextmanager
async def verifying(stage: Stage) -> Held:
    """The check of a small market takes milliseconds: a fresh worker, which has yet to load its code, takes longer."""
    stage.service.kill_worker()
    clearing = stage.clear()
    worker = stage.worker()
    async with connection(stage) as look:
        await until(look, "it is checked", "SELECT progress->>'phase' = 'verifying' FROM clearing ORDER BY id DESC")
        async with halted(worker):
            assert stage.phase(clearing) == ("running", "verifying")
            yield clearing


@asynccontextmanager
async def reserved(stage: Stage) -> Held:
    """Reservations are inserted, their earmarks not yet."""
    async with locked(stage, "voucher", "EXCLUSIVE", "INSERT INTO voucher") as clearing:
        assert stage.held() == []
        yield clearing


@asynccontextmanager
async def written(stage: Stage) -> Held:
    """Everything is inserted but the files, and nothing is committed."""
    async with locked(stage, "clearing_file", "EXCLUSIVE", "INSERT INTO clearing_file") as clearing:
        assert (stage.held(), stage.earmarked()) == ([], 0)
        assert stage.phase(clearing)[0] == "running"
        yield clearing


@asynccontextmanager
async def committed(stage: Stage) -> Held:
    """The commit is on disk but was never acknowledged: PostgreSQL waits for a standby that is not there."""
    async with (
        locked(stage, "clearing_file", "EXCLUSIVE", "INSERT INTO clearing_file") as clearing,
        connection(stage) as probe,
        connection(stage) as admin,
    ):
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = $1"
        await probe.execute("SET application_name = 'probe'")
        await admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        await admin.execute("SELECT pg_reload_conf()")
        hanging = asyncio.create_task(probe.execute("SELECT pg_logical_emit_message(true, 'probe', '')"))
        try:
            await until(admin, "commits wait", waits, "probe")
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks"
                " WHERE relation = 'clearing_file'::regclass AND mode = 'ExclusiveLock' AND granted"
            )
            await until(admin, "the commit waits", waits, "cardhour/cardhour_worker")
            yield clearing
        finally:
            async with connection(stage) as again:
                await again.execute("ALTER SYSTEM RESET synchronous_standby_names")
                await again.execute("SELECT pg_reload_conf()")
            # Where the server was killed, so was its connection.
            with suppress(asyncpg.PostgresConnectionError):
                await hanging


@asynccontextmanager
async def done(stage: Stage) -> Held:
    clearing = stage.clear()
    assert stage.ended(clearing)["state"] == "succeeded"
    yield clearing


PHASES: Final = {
    each.__name__: each for each in (queued, reading, solving, verifying, reserved, written, committed, done)
}


def kill(stage: Stage, victim: str) -> None:
    if victim == "solver":
        stage.solver().kill()
    else:
        assert {
            "worker": stage.service.kill_worker,
            "service": stage.service.kill_service,
            "postgres": stage.service.kill_postgres,
        }[victim]()


async def broken(stage: Stage) -> list[str]:
    """What `cardhour verify` finds."""
    database = Database(async_url(stage.service.dsn(AUDITOR_ROLE)), role=AUDITOR_ROLE, pool_size=1)
    try:
        return [line for finding in await verify(database) for line in finding.told]
    finally:
        await database.dispose()


async def check_all_or_nothing(stage: Stage, clearing: str) -> Any:
    """The run has ended; what it says is what is held and earmarked, to the fen. Return the run."""
    run = stage.ended(clearing)
    held = stage.held()
    states = {stage.get(f"/v1/requests/{request}")["state"] for request in stage.asked}
    if run["state"] == "succeeded":
        matches = stage.listed(f"/v1/clearings/{clearing}/matches")
        assert run["result"]["reserved"] == len(matches) == BLOCKS
        assert {match["reservation_id"] for match in matches} == {row["id"] for row in held}
        assert sum(match["subsidy_fen"] for match in matches) == stage.earmarked() > 0
        assert states == {"matched"}
    else:
        assert run["error"]["detail"]
        assert (held, stage.earmarked(), states) == ([], 0, {"open"})
    assert await broken(stage) == []
    return run


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


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    service = Service(tmp_path_factory.mktemp("clearing") / "data")
    service.start()
    try:
        market = Market.make(service.url, desk_key(service.data_dir), cards=64, hours=200)
        with closing(market.api):
            opened = opened_stage(service, market)
            # On a new machine this compiles the engine, and leaves the cases to what they are about.
            assert opened.ended(opened.clear(), 280)["state"] == "succeeded"
            yield opened
        verified = cardhour(service.data_dir, "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert service.stop() == 0
        assert service.postmaster() is None
    finally:
        if service.process is not None and service.process.poll() is None:
            service.stop()


CASES: Final = [
    ("queued", "service"),
    *(("reading", victim) for victim in ("worker", "postgres")),
    *(("solving", victim) for victim in ("solver", "worker", "service", "postgres")),
    ("verifying", "worker"),
    *(("written", victim) for victim in ("worker", "service", "postgres")),
    *(("committed", victim) for victim in ("worker", "postgres")),
    ("done", "postgres"),
]
RARER: Final = [
    *(("queued", victim) for victim in ("worker", "postgres")),
    ("reading", "service"),
    *(("verifying", victim) for victim in ("service", "postgres")),
    *(("reserved", victim) for victim in ("worker", "service", "postgres")),
    *(("done", victim) for victim in ("worker", "service")),
]


@pytest.mark.parametrize("again", range(REPEATS))
@pytest.mark.parametrize(("phase", "victim"), CASES if REPEATS == 1 else CASES + RARER)
async def test_all_or_nothing(stage: Stage, phase: str, victim: str, again: int) -> None:
    stage.post_requests()
    try:
        async with PHASES[phase](stage) as clearing:
            solver = stage.solver() if phase == "solving" else None
            kill(stage, victim)
            if victim == "postgres":
                stage.service.wait_ready()
        if solver is not None and victim in {"worker", "service", "solver"}:
            wait_for("the solver ends with who asked", lambda: is_gone(solver), 10)
        run = await check_all_or_nothing(stage, clearing)
        if victim == "solver":
            assert (run["state"], run["error"]["code"]) == ("failed", "solver_died")
            run = await check_all_or_nothing(stage, stage.clear())
        assert run["state"] == "succeeded", run
        # What was committed is not done twice, also where nobody was told.
        assert phase not in {"committed", "done"} or run["attempt"] == 1
    finally:
        stage.service.wait_ready()
        stage.withdraw()


def is_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
