"""Runs clearings in the worker: claimed under a lease, solved in a watched subprocess, verified, applied."""

import asyncio
import contextlib
import json
import os
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

import psutil
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.kit.db import SYSTEM, Database
from app.kit.errors import CONFLICT, Problem
from app.kit.problems import is_unavailable
from app.kit.time import format_rfc3339, from_hour_index
from app.matching import clearing_errors as ends
from app.matching import clearing_repository as repository
from app.matching.apply import Applied, apply_outcome
from app.matching.clearing_errors import error_json
from app.matching.clearing_models import Clearing, ClearingMode, RowKind
from app.matching.clearing_options import ClearingIn
from app.matching.clearing_repository import NewRow
from app.matching.core.codec import canonical_json, instance_sha256, instance_to_json
from app.matching.core.limits import InstanceError
from app.matching.core.outcome import Match, Outcome, Status, Unmatched
from app.matching.core.verify import VerificationError, verify
from app.matching.core.what_if import change_offers
from app.matching.restoring import restore_snapshot
from app.matching.results import ResultError, Run, config_to_json, result_from_json
from app.matching.snapshot import Snapshot, be_patient, take_snapshot
from app.vouchers.errors import PROGRAMME_NOT_OPEN

LEASE: Final = timedelta(seconds=30)
BEAT_SECONDS: Final = 0.5
MAX_ATTEMPTS: Final = 3
MEMORY_MIB: Final = 4096
_GUARD_SECONDS: Final = 0.25
_SOLVED: Final = (Status.OPTIMAL, Status.FEASIBLE)
_LINE_BYTES: Final = 1 << 20
# Beyond its own limit a search still finds prices, explains and writes; a work limit has no seconds of its own.
_WALL_FACTOR: Final = 3
_WALL_SECONDS: Final = 120
_WALL_OF_WORK_SECONDS: Final = 3600
# What a database that is away raises.
_AWAY: Final = (DBAPIError, PoolTimeoutError, OSError, TimeoutError)
_log: Final = structlog.get_logger("cardhour.clearing")


class RunEndedError(Exception):
    """A run that ends without an outcome; `error` is what is told of it."""

    def __init__(self, error: dict[str, Any], status: Status = Status.FAILED) -> None:
        super().__init__(error["code"])
        self.error = error
        self.status = status


@dataclass
class Progress:
    """Where a run is; `is_ending` once its row is being locked to end it, `moved` when a new phase was not yet told."""

    phase: str = "reading"
    best: int | None = None
    bound: int | None = None
    is_ending: bool = False
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def enter(self, phase: str) -> None:
        """Begin a phase; a new one is told at once, not with the next beat."""
        if phase != self.phase:
            self.phase = phase
            self.moved.set()

    def as_json(self) -> dict[str, Any]:
        """Return it as it is stored."""
        gap = None
        if self.best is not None and self.bound:
            gap = round(max(0.0, (self.bound - self.best) / self.bound), 6)
        return {"phase": self.phase, "best": self.best, "bound": self.bound, "gap": gap}


async def run_next_clearing(
    database: Database, clock: Callable[[], datetime], *, lease: timedelta = LEASE, memory_mib: int = MEMORY_MIB
) -> bool:
    """Run the oldest clearing that waits, or whose runner has died, to its end.

    Args:
        database: as the worker's role.
        clock: tells the time for leases and for what is reserved.
        lease: how long a run stays ours without a beat; then another worker takes it.
        memory_mib: resident memory at which the solver is stopped.

    Returns:
        Whether there was one.
    """
    async with database.write(SYSTEM) as session:
        clearing = await repository.claim(session, clock(), lease)
    if clearing is None:
        return False
    progress = Progress()
    if clearing.attempt > MAX_ATTEMPTS:
        await _fail(database, clearing, error_json(ends.GAVE_UP, attempts=MAX_ATTEMPTS), Status.FAILED, clock())
        return True
    work = asyncio.create_task(_run(database, clearing, progress, clock, memory_mib))
    try:
        while not await _is_done(work, progress):
            if not progress.is_ending and not await _beat(database, clearing, progress, clock() + lease):
                _log.info("clearing_stopped", clearing=str(clearing.id), attempt=clearing.attempt)
                break
    except asyncio.CancelledError:
        # The worker is being stopped in an orderly way: the next one need not wait for the lease to lapse.
        await _end(work)
        await _put_back(database, clearing)
        raise
    finally:
        # Cancelled by the desk, or taken by another: nothing of it is written any more.
        await _end(work)
    if not work.cancelled():
        work.result()
    return True


async def _is_done(work: asyncio.Task[None], progress: Progress) -> bool:
    """Wait for the work's end, a new phase or the next beat; tell whether it was the end."""
    moved = asyncio.create_task(progress.moved.wait())
    try:
        await asyncio.wait({work, moved}, timeout=BEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        moved.cancel()
    progress.moved.clear()
    return work.done()


async def _end(work: asyncio.Task[None]) -> None:
    work.cancel()
    await asyncio.wait({work})


async def _put_back(database: Database, clearing: Clearing) -> None:
    """Let the run wait again, if it is still ours."""
    try:
        async with database.write(SYSTEM) as session:
            await repository.put_back(session, clearing.id, clearing.attempt)
    except _AWAY as error:
        _log.warning("clearing_not_put_back", clearing=str(clearing.id), error=str(error))


async def _beat(database: Database, clearing: Clearing, progress: Progress, lease_ends_at: datetime) -> bool:
    """Renew the lease and show the progress; False if the run is no longer ours."""
    try:
        async with database.write(SYSTEM) as session:
            return await repository.renew(session, clearing.id, clearing.attempt, lease_ends_at, progress.as_json())
    except _AWAY as error:
        _log.warning("lease_not_renewed", clearing=str(clearing.id), error=str(error))
        return True


async def _run(
    database: Database, clearing: Clearing, progress: Progress, clock: Callable[[], datetime], memory_mib: int
) -> None:
    """Clear; where the database is away, leave the run to be taken again once its lease lapses."""
    try:
        try:
            await _clear(database, clearing, progress, clock, memory_mib)
        except RunEndedError as ended:
            await _fail(database, clearing, ended.error, ended.status, clock())
        except Problem as problem:
            await _fail(database, clearing, _refusal(problem), Status.FAILED, clock())
        except InstanceError as error:
            await _fail(database, clearing, error_json(ends.REFUSED, why=str(error)), Status.FAILED, clock())
    except Exception as error:  # noqa: BLE001  whatever it was, the run must end and say so
        if is_unavailable(error):
            _log.warning("clearing_left_to_lapse", clearing=str(clearing.id), error=str(error))
            return
        _log.exception("clearing_failed", clearing=str(clearing.id), attempt=clearing.attempt)
        await _fail(database, clearing, error_json(ends.FAILED), Status.FAILED, clock())


async def _clear(
    database: Database, clearing: Clearing, progress: Progress, clock: Callable[[], datetime], memory_mib: int
) -> None:
    options = ClearingIn.model_validate_json(json.dumps(clearing.options))
    solver = options.solver(min(64, os.cpu_count() or 1))
    changes = options.changes()
    async with database.read(SYSTEM, isolation="REPEATABLE READ") as session:
        if options.base_clearing_id is None:
            snapshot = await take_snapshot(session, options, clock())
            run = Run(solver, snapshot.programmes, snapshot.moment, options.filters.limit_requests, changes)
        else:
            snapshot, base = await restore_snapshot(session, options, options.base_clearing_id)
            joined = (*base.offer_changes, *changes)
            run = replace(base, solver=solver, programmes=snapshot.programmes, offer_changes=joined)
    snapshot = replace(snapshot, instance=change_offers(snapshot.instance, changes))
    progress.enter("solving")
    job = await asyncio.to_thread(_job, snapshot, run)
    seconds = run.solver.time_limit_s
    wall = _WALL_OF_WORK_SECONDS if seconds is None else _WALL_FACTOR * seconds + _WALL_SECONDS
    body = await solve_in_process(job, wall_seconds=wall, memory_mib=memory_mib, progress=progress)
    progress.enter("verifying")
    outcome = await asyncio.to_thread(check, snapshot, run, body)
    if outcome.status not in _SOLVED:
        code = {Status.INFEASIBLE: ends.INFEASIBLE, Status.TIMEOUT: ends.TIMEOUT}.get(outcome.status, ends.FAILED)
        raise RunEndedError(error_json(code, why=outcome.detail or ""), outcome.status)
    progress.enter("writing")
    files = await asyncio.to_thread(_pack, snapshot, body)
    progress.is_ending = True
    await database.retrying(lambda: finish(database, clearing, snapshot, outcome, files, clock()))


def _refusal(problem: Problem) -> dict[str, Any]:
    """Return what a refusal means to whoever asked for the run."""
    if problem.code is PROGRAMME_NOT_OPEN:
        return error_json(ends.PROGRAMME_CLOSED, why=problem.detail())
    if problem.code is CONFLICT:
        return error_json(ends.TOO_BUSY)
    return error_json(ends.NOT_APPLIED, why=problem.detail())


def _job(snapshot: Snapshot, run: Run) -> bytes:
    body = {"instance": instance_to_json(snapshot.instance), "config": config_to_json(run)}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _pack(snapshot: Snapshot, body: dict[str, Any]) -> tuple[bytes, bytes]:
    result = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return zlib.compress(canonical_json(snapshot.instance).encode()), zlib.compress(result.encode())


def check(snapshot: Snapshot, run: Run, body: dict[str, Any]) -> Outcome:
    """Return the outcome that the solver wrote, verified against what it was given.

    Raises:
        RunEndedError: `not_verified`.
    """
    try:
        result = result_from_json(body)
        verify(snapshot.instance, run.solver, result.outcome, explained=False)
    except (ResultError, VerificationError) as error:
        raise RunEndedError(error_json(ends.NOT_VERIFIED, why=str(error))) from None
    if result.instance_sha256 != instance_sha256(snapshot.instance):
        raise RunEndedError(error_json(ends.NOT_VERIFIED, why="it is of another instance"))
    return result.outcome


async def solve_in_process(job: bytes, *, wall_seconds: float, memory_mib: int, progress: Progress) -> dict[str, Any]:
    """Solve in a process of its own, watched for wall time and resident memory; return the result's JSON.

    Raises:
        RunEndedError: `time_limit`, `memory_limit`, `solver_died`, `input_refused`.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "app.matching.solver_process",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
    )
    guard = asyncio.create_task(_guard(process, memory_mib))
    try:
        async with asyncio.timeout(wall_seconds):
            return await _talk(process, job, progress)
    except TimeoutError:
        raise RunEndedError(error_json(ends.WALL_LIMIT, seconds=int(wall_seconds)), Status.TIMEOUT) from None
    except (ConnectionError, EOFError):
        code = await process.wait()
        if guard.done() and not guard.cancelled() and guard.result():
            raise RunEndedError(error_json(ends.MEMORY_LIMIT, mib=memory_mib)) from None
        raise RunEndedError(error_json(ends.SOLVER_DIED, code=code)) from None
    finally:
        guard.cancel()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()


async def _guard(process: asyncio.subprocess.Process, memory_mib: int) -> bool:
    """Stop the solver once it takes more memory than it may; tell whether it did."""
    while process.returncode is None:
        try:
            rss = psutil.Process(process.pid).memory_info().rss
        except psutil.NoSuchProcess:
            return False
        if rss > memory_mib * 1024**2:
            process.kill()
            return True
        await asyncio.sleep(_GUARD_SECONDS)
    return False


async def _talk(process: asyncio.subprocess.Process, job: bytes, progress: Progress) -> dict[str, Any]:
    """Send the job and follow what the solver says, to the result.

    Raises:
        EOFError: if it ends without one.
        RunEndedError: if it refuses the job.
    """
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018  asked for above
    process.stdin.write(f"{len(job)}\n".encode())
    process.stdin.write(job)
    await process.stdin.drain()
    while True:
        line = await process.stdout.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        said = json.loads(line)
        if "refused" in said:
            raise RunEndedError(error_json(ends.REFUSED, why=said["refused"]))
        if "result_bytes" in said:
            return json.loads(await process.stdout.readexactly(said["result_bytes"]))
        progress.best, progress.bound = said["best"], said["bound"]
        progress.enter(said["phase"])


async def finish(
    database: Database,
    clearing: Clearing,
    snapshot: Snapshot,
    outcome: Outcome,
    files: tuple[bytes, bytes],
    now: datetime,
) -> bool:
    """Apply where that was asked for, write the rows and end the run, all in one transaction.

    Returns:
        False, with nothing written, if the run is no longer this attempt's.
    """
    async with database.write(SYSTEM) as session:
        await be_patient(session, statement_seconds=120, lock_seconds=30)
        if not await repository.lock_run(session, clearing.id, clearing.attempt):
            return False
        # What doesn't rest on the present is written before anything that others want is locked.
        unmatched = [_unmatched_row(snapshot, at, each) for at, each in enumerate(outcome.unmatched)]
        await repository.add_rows(session, clearing.id, unmatched + _left_out_rows(snapshot, len(unmatched)))
        await repository.add_file(session, clearing.id, *files)
        applied = Applied({}, {})
        if clearing.mode == ClearingMode.APPLY.value:
            applied = await apply_outcome(session, snapshot, outcome, now)
        matched = [_match_row(snapshot, applied, at, match) for at, match in enumerate(outcome.matches)]
        await repository.add_rows(session, clearing.id, matched)
        await repository.finish(
            session,
            clearing.id,
            clearing.attempt,
            now=now,
            progress={"phase": "done", "best": outcome.objective_fen, "bound": outcome.bound_fen, "gap": outcome.gap},
            status=outcome.status.value,
            objective_fen=outcome.objective_fen,
            bound_fen=outcome.bound_fen,
            matches=len(outcome.matches),
            losers=[_loser(outcome.matches[at], at, loss) for at, loss in sorted(applied.losses.items())],
        )
    _log.info("cleared", clearing=str(clearing.id), matches=len(outcome.matches), lost=len(applied.losses))
    return True


def _loser(match: Match, position: int, loss: ends.Loss) -> dict[str, Any]:
    return {"position": position, "request_id": match.request, "offer_id": match.offer, "code": loss.value}


def _hour(hour: int) -> str:
    return format_rfc3339(from_hour_index(hour))


def _match_row(snapshot: Snapshot, applied: Applied, position: int, match: Match) -> NewRow:
    asker, seller = snapshot.askers[match.request], snapshot.sellers[match.offer]
    loss = applied.losses.get(position)
    return NewRow(
        kind=RowKind.MATCH,
        position=position,
        request_id=asker.id,
        buyer_org_id=asker.buyer_org_id,
        offer_id=seller.id,
        supplier_org_id=seller.supplier_org_id,
        reservation_id=applied.reservations.get(position),
        body={
            "block": asker.blocks[match.block],
            "starts_at": _hour(match.start_hour),
            "hours": match.hours,
            "cards": match.cards,
            "cost_fen": match.cost_fen,
            "subsidies": [
                {"programme": s.programme, "tier": s.tier, "amount_fen": s.amount_fen} for s in match.subsidies
            ],
            "subsidy_fen": match.subsidy_fen,
            "net_fen": match.net_fen,
            "surplus_fen": match.surplus_fen,
            "lost": None if loss is None else loss.value,
        },
    )


def _unmatched_row(snapshot: Snapshot, position: int, unmatched: Unmatched) -> NewRow:
    asker = snapshot.askers[unmatched.request]
    return NewRow(
        kind=RowKind.UNMATCHED,
        position=position,
        request_id=asker.id,
        buyer_org_id=asker.buyer_org_id,
        body={
            "blocks_unmatched": unmatched.blocks_unmatched,
            "code": unmatched.code,
            "detail": unmatched.detail,
            "changes": [
                {
                    "change": change.change,
                    "from": change.before,
                    "to": change.after,
                    "offer_id": change.offer,
                    "starts_at": _hour(change.start_hour),
                }
                for change in unmatched.changes
            ],
        },
    )


def _left_out_rows(snapshot: Snapshot, first: int) -> list[NewRow]:
    return [
        NewRow(
            kind=RowKind.UNMATCHED,
            position=first + at,
            request_id=each.id,
            buyer_org_id=each.buyer_org_id,
            body={"blocks_unmatched": each.blocks, "code": "over_limit", "detail": each.detail, "changes": []},
        )
        for at, each in enumerate(snapshot.left_out)
    ]


async def _fail(database: Database, clearing: Clearing, error: dict[str, Any], status: Status, now: datetime) -> None:
    async with database.write(SYSTEM) as session:
        await repository.finish(session, clearing.id, clearing.attempt, now=now, error=error, status=status.value)
