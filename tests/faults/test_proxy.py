"""A network that is slow, resets, tears replies or swallows them: clients ask again, with one effect each.

Once between the clients and the service, once between the service and PostgreSQL. Five times as often as
`CARDHOUR_FAULT_ROUNDS` says must something have gone wrong, and everything that can at least once.
"""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.audit import check
from tests.faults.elsewhere import postgres_elsewhere
from tests.faults.load import LONG, ROUNDS, SEED, Scene, opened_scene
from tests.faults.proxy import Fault, Proxy

pytestmark = pytest.mark.anyio


def misbehave(proxy: Proxy, chance: float) -> None:
    """Let the proxy misbehave under the load until enough went wrong."""
    proxy.chance = chance
    wanted = 5 * ROUNDS
    deadline = time.monotonic() + 120 + 20 * ROUNDS
    while proxy.seen.total() < wanted or len(proxy.seen) < len(Fault):
        assert time.monotonic() < deadline, f"only {dict(proxy.seen)}"
        time.sleep(0.1)
    proxy.chance = 0.0


async def finish(scene: Scene, proxy: Proxy, tell: Callable[[str], None], **settings: str) -> None:
    scene.load.wait_for_writes(5)
    scene.load.stop()
    record = scene.record()
    tell(f"faults {dict(proxy.seen)}; writes {record.counts()}")
    assert record.repeats > 0
    await check(scene.service, scene.world, record, **settings)


@pytest.mark.timeout(240 + 30 * ROUNDS)
async def test_between_clients_and_the_service(folder: Path, tell: Callable[[str], None]) -> None:
    tell(f"CARDHOUR_FAULT_SEED={SEED}")
    with opened_scene(folder, SEED) as scene:
        with Proxy(("127.0.0.1", scene.service.port), SEED).running() as proxy:
            scene.load.reach(f"http://127.0.0.1:{proxy.port}", patience=5.0)
            scene.load.start()
            misbehave(proxy, 0.1)
            await finish(scene, proxy, tell)
        assert proxy.seen[Fault.LOST_REPLY] > 0


@pytest.mark.skipif(not LONG, reason="a part of the long run: CARDHOUR_FAULT_ROUNDS of 6 or more")
@pytest.mark.timeout(240 + 30 * ROUNDS)
async def test_between_the_service_and_postgresql(folder: Path, tell: Callable[[str], None]) -> None:
    tell(f"CARDHOUR_FAULT_SEED={SEED}")
    patience = {"CARDHOUR_TRANSACTION_SECONDS": "3", "CARDHOUR_WORKER_TRANSACTION_SECONDS": "3"}
    with (
        postgres_elsewhere(folder, SEED, **patience) as there,
        opened_scene(folder, SEED, **there.settings) as scene,
    ):
        scene.load.start()
        # A transaction is a dozen exchanges.
        misbehave(there.proxy, 0.005)
        await finish(scene, there.proxy, tell, **there.settings)
