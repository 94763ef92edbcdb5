"""One service for the clearings of a module: killed and started again in it."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.faults.harness import Market, Service, cardhour, desk_key
from tests.faults.stage import Stage, opened_stage


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
