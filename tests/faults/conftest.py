"""A market with a past, made once; one service for the clearings of a module, killed and started again in it."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.harness import Market, Service, cardhour, desk_key
from tests.faults.load import copy_past, make_past
from tests.faults.stage import Stage, opened_stage

Tell = Callable[[str], None]


@pytest.fixture(scope="session")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a market with a past, whose service is stopped."""
    folder = tmp_path_factory.mktemp("past")
    make_past(folder)
    return folder


@pytest.fixture
def folder(past: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    copy_past(past, tmp_path)
    return tmp_path


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Say a figure or a seed: at the end of the run where it went well, with the failure where it did not."""

    def told(text: str) -> None:
        print(text)
        record_property("told", text)

    return told


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == "told":
                terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {text}")


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
