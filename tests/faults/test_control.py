"""The control: without `synchronous_commit` the same check must find acknowledged writes that are gone.

Were it to find nothing here, it would prove nothing elsewhere. The process that writes out what was put off is
halted, so that what is acknowledged in a burst just before all of PostgreSQL's processes are killed at once is lost for
certain. With durable commits the same burst and the same kill lose nothing: each commit writes for itself.
"""

from collections.abc import Callable
from pathlib import Path

import asyncpg
import psutil
import pytest

from tests.faults.audit import Stored, lost
from tests.faults.load import LONG, SEED, Scene, opened_scene
from tests.faults.replay import differences
from tests.faults.stage import wait_for

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]
BURST = 30


async def put_off_writing(scene: Scene, *, durable: bool) -> None:
    """Let PostgreSQL write out nothing by itself for a while; without `durable`, not at a commit either."""
    admin = await asyncpg.connect(scene.service.dsn())
    await admin.execute("ALTER SYSTEM SET bgwriter_lru_maxpages = 0")
    if not durable:
        await admin.execute("ALTER SYSTEM SET synchronous_commit = off")
    await admin.execute("SELECT pg_reload_conf()")
    await admin.execute("CHECKPOINT")
    writer = await admin.fetchval("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")
    await admin.close()
    psutil.Process(writer).suspend()


async def burst_and_power_cut(scene: Scene, tell: Callable[[str], None]) -> list[str]:
    """Kill all of PostgreSQL at once just after a burst of acknowledged writes; return those that are gone."""
    scene.load.start()
    scene.load.wait_for_writes(BURST)
    killed = scene.service.postmaster()
    assert scene.service.kill_everything_of_postgres()
    # Clients are gone too, lest they ask again: only what they were told before the cut counts.
    scene.load.kill()
    wait_for("another is started", lambda: scene.service.postmaster() not in {None, killed}, 60)
    scene.service.wait_ready()
    record = scene.record()
    assert record.faults == []
    gone = lost(record, await Stored.read(scene.service))
    tell(f"CARDHOUR_FAULT_SEED={SEED}; writes {record.counts()}; gone {len(gone)}")
    return gone


@pytest.mark.parametrize("durable", [False, True] if LONG else [False])
async def test_a_power_cut_loses_what_was_not_made_durable_and_nothing_else(
    folder: Path, tell: Callable[[str], None], durable: bool
) -> None:
    with opened_scene(folder, SEED) as scene:
        await put_off_writing(scene, durable=durable)
        gone = await burst_and_power_cut(scene, tell)
        assert (gone == []) == durable, gone
        # What is left is sound in either case: a prefix of what happened.
        assert differences((await Stored.read(scene.service)).tables) == []
