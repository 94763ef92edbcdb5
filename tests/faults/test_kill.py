"""`kill -9` of clients, service, worker, PostgreSQL and its backends under a mixed load: nothing acknowledged is lost.

`CARDHOUR_FAULT_ROUNDS` says how many kills (`make faults` takes 30, the nightly run 200); the seed is printed and taken
from `CARDHOUR_FAULT_SEED`.
"""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.audit import check
from tests.faults.load import ROUNDS, SEED, Scene, hurt, opened_scene

pytestmark = pytest.mark.anyio


def kinds(scene: Scene, dice: random.Random) -> list[Callable[[], bool]]:
    """Everything that can die, in an order that a short run samples."""

    def kill_client() -> bool:
        scene.load.kill_client(dice.choice(list(scene.load.clients)))
        return True

    service = scene.service
    every = [
        kill_client,
        service.kill_service,
        service.kill_worker,
        service.kill_postgres,
        service.kill_backend,
        service.kill_everything_of_postgres,
    ]
    dice.shuffle(every)
    return every


@pytest.mark.timeout(240 + 30 * ROUNDS)
async def test_nothing_acknowledged_is_lost(folder: Path, tell: Callable[[str], None]) -> None:
    tell(f"CARDHOUR_FAULT_SEED={SEED}")
    dice = random.Random(SEED)
    with opened_scene(folder, SEED) as scene:
        scene.load.start()
        scene.load.wait_for_writes(10)
        hits = hurt(scene, ROUNDS, dice, kinds(scene, dice))
        scene.load.stop()
        record = scene.record()
        tell(f"kills {hits}; writes {record.counts()}")
        assert sum(hits.values()) == ROUNDS
        for op in ("book", "accept", "approve", "deliver", "claim"):
            assert record.counts().get(op), f"nobody did: {op}"
        await check(scene.service, scene.world, record)
        assert scene.service.stop() == 0
        assert scene.service.postmaster() is None  # the last user stopped the embedded server
