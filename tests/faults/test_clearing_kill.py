"""`kill -9` of solver, worker, service and PostgreSQL in each phase of a clearing that is to be applied.

Whatever dies, the run ends with a reason or goes on, all of it is reserved or nothing, and the market can be cleared
again. A phase is not aimed at by the clock: locks of PostgreSQL, a process that is halted (SIGSTOP) or the run's own
row hold it where it is to be hit. With `CARDHOUR_FAULT_ROUNDS` of 6 or more there are more cases and each is repeated:
30, as `make faults` takes, means ten times.
"""

import asyncio
import os
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg
import pytest

from app.kit.db import AUDITOR_ROLE, Database, async_url
from app.verification.service import verify
from tests.faults.stage import Held, Stage, connection, halted, is_gone, locked, until, wait_for

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

REPEATS = max(1, int(os.environ.get("CARDHOUR_FAULT_ROUNDS") or "3") // 3)
BLOCKS: Final = 6

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

        async def commit_until_it_waits() -> None:
            # The setting reaches each backend in its own time: commits before that don't wait.
            while True:
                await probe.execute("SELECT pg_logical_emit_message(true, 'probe', '')")

        await admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        await admin.execute("SELECT pg_reload_conf()")
        hanging = asyncio.create_task(commit_until_it_waits())
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
            hanging.cancel()
            # Where the server was killed, so was its connection.
            with suppress(asyncio.CancelledError, asyncpg.PostgresConnectionError):
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


# Each process and each phase once; the rest in the long run.
CASES: Final = [
    ("queued", "service"),
    ("reading", "postgres"),
    ("solving", "solver"),
    ("solving", "worker"),
    ("verifying", "worker"),
    ("written", "service"),
    ("written", "postgres"),
    ("committed", "worker"),
]
VICTIMS: Final = ("worker", "service", "postgres")
# A service can't start while commits wait.
NEVER: Final = {("committed", "service")}
ALL: Final = [("solving", "solver"), *((p, v) for p in PHASES for v in VICTIMS if (p, v) not in NEVER)]


@pytest.mark.parametrize("again", range(REPEATS))
@pytest.mark.parametrize(("phase", "victim"), CASES if REPEATS == 1 else ALL)
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
