"""The worker: expiry sweep, imports and exports, clearings, housekeeping. Any number may run beside each other."""

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import structlog

from app.bulk import service as bulk
from app.contracts import service as contracts
from app.demand import service as demand
from app.kit.db import SYSTEM, WORKER_ROLE, Database
from app.kit.idempotency import forget_old_answers
from app.kit.logging import configure_logging
from app.kit.problems import is_unavailable
from app.kit.time import utc_now
from app.matching import clearing_run as clearings
from app.matching import service as matching
from app.reservations import service as reservations
from app.runtime import Runtime
from app.settings import Settings
from app.settlements import service as settlements

_log: Final = structlog.get_logger("cardhour.worker")
_HOUSEKEEPING_SECONDS: Final = 600.0
_POLL_SECONDS: Final = 0.5
_WATCH_SECONDS: Final = 1.0
_BACK_OFF_SECONDS: Final = 1.0


async def watch_embedded(runtime: Runtime) -> None:
    """Bring the embedded server up again whenever it has died; every process that uses it watches.

    Never returns, also where another database is used and there is nothing to watch.
    """
    while True:
        await asyncio.sleep(_WATCH_SECONDS)
        if runtime.embedded is not None and not runtime.embedded.is_running():
            _log.warning("embedded_postgres_died")
            await asyncio.to_thread(runtime.embedded.start)
            _log.info("embedded_postgres_restarted")


async def sweep_once(database: Database) -> int:
    """End holds and choices that lapsed, start and complete what is due, expire vouchers; return how many changed."""
    now = utc_now()

    # First the choices: a reservation whose buyer did not choose until its start does not begin.
    async def end_choices() -> int:
        async with database.write(SYSTEM) as session:
            return await contracts.sweep_choices(session, now)

    async def run() -> int:
        async with database.write(SYSTEM) as session:
            swept = await reservations.sweep(session, now)
            expired = await demand.expire_due(session, now)
        return swept.changed + expired

    async def expire_vouchers() -> int:
        async with database.write(SYSTEM) as session:
            return await contracts.sweep_vouchers(session, now)

    async def settle() -> int:
        async with database.write(SYSTEM) as session:
            return int(await settlements.settle_next_due(session, now))

    changed = 0
    for part in (end_choices, run, expire_vouchers, settle):
        changed += await database.retrying(part)
    if changed:
        _log.info("swept", changed=changed)
    return changed


async def housekeep(database: Database) -> int:
    """Drop lapsed quotes, old idempotent answers and old files; return how many rows went."""
    now = utc_now()
    async with database.write(SYSTEM) as session:
        gone = await matching.sweep_quotes(session, now) + await forget_old_answers(session, now)
    return gone + await bulk.delete_old_files(database, now)


async def repeat(name: str, work: Callable[[], Awaitable[int]], *, pause: float, hurry: bool = False) -> None:
    """Run `work` for ever, `pause` seconds apart; at once again while it finds something and `hurry` is set.

    What fails is logged and tried again: the next round starts from what the database says.
    """
    while True:
        try:
            found = await work()
        except Exception as error:  # noqa: BLE001  logged with its trace, and the loop goes on
            if is_unavailable(error):
                _log.warning("database_unavailable", task=name, error=type(error).__name__)
            else:
                _log.exception("task_failed", task=name)
            await asyncio.sleep(_BACK_OFF_SECONDS)
            continue
        if not (hurry and found):
            await asyncio.sleep(pause)


async def run(runtime: Runtime, stop: asyncio.Event) -> None:
    """Work until `stop` is set."""
    database = runtime.database(
        WORKER_ROLE, pool_size=5, transaction_seconds=runtime.settings.worker_transaction_seconds
    )

    async def next_job() -> int:
        return int(await bulk.run_next_job(database, utc_now))

    async def next_clearing() -> int:
        settings = runtime.settings
        lease = timedelta(seconds=settings.clearing_lease_seconds)
        memory_mib = settings.solver_memory_mib
        return int(await clearings.run_next_clearing(database, utc_now, lease=lease, memory_mib=memory_mib))

    tasks = [
        asyncio.create_task(watch_embedded(runtime)),
        asyncio.create_task(
            repeat("sweep", lambda: sweep_once(database), pause=runtime.settings.sweep_seconds, hurry=True)
        ),
        asyncio.create_task(repeat("bulk", next_job, pause=_POLL_SECONDS, hurry=True)),
        asyncio.create_task(repeat("clearings", next_clearing, pause=_POLL_SECONDS, hurry=True)),
        asyncio.create_task(repeat("housekeeping", lambda: housekeep(database), pause=_HOUSEKEEPING_SECONDS)),
    ]
    _log.info("worker_started")
    stopping = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopping}:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await database.dispose()
        _log.info("worker_stopped")


def _stop_when_stdin_closes(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop when the parent's end of our standard input closes: however the service dies, its worker follows."""

    def wait() -> None:
        # Below Python's buffers, whose lock the interpreter wants back when it ends.
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait, daemon=True).start()


def work(settings: Settings, *, follow_parent: bool = False) -> None:
    """Run a worker until it is told to stop (SIGTERM, SIGINT, or the parent's death)."""
    configure_logging(level=settings.log_level, as_json=settings.log_json)
    runtime = Runtime(settings)
    runtime.start()

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        if follow_parent:
            _stop_when_stdin_closes(loop, stop)
        await run(runtime, stop)

    try:
        asyncio.run(main())
    finally:
        runtime.close()
