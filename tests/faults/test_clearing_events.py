"""A running clearing followed over server-sent events: what comes, what it costs, and everything that ends it."""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from app.kit.time import format_rfc3339
from tests.faults.stage import SUBSIDY, Stage, connection, halted, is_gone, wait_for

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

MARKET = Path(__file__).resolve().parents[2] / "app" / "demo" / "market"
STREAMS = 30  # more than the connections that the service keeps to its database


@dataclass
class Follower:
    """A client that reads a clearing's events in a thread of its own, to the stream's end."""

    stage: Stage
    clearing: str
    events: list[tuple[str, Any]] = field(default_factory=list)
    fault: Exception | None = None

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self) -> None:
        try:
            with self.stage.api.stream("GET", f"/v1/clearings/{self.clearing}/events", timeout=90) as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                kind = ""
                for line in answer.iter_lines():
                    if line.startswith("event: "):
                        kind = line.removeprefix("event: ")
                    elif line.startswith("data: "):
                        self.events.append((kind, json.loads(line.removeprefix("data: "))))
        except (httpx.HTTPError, AssertionError) as error:
            self.fault = error

    def saw(self, phase: str) -> None:
        wait_for(phase, lambda: any(body["progress"]["phase"] == phase for _, body in self.events))

    def to_the_end(self, seconds: float = 60) -> list[tuple[str, Any]]:
        self.thread.join(seconds)
        assert not self.thread.is_alive(), self.events[-1:]
        if self.fault is not None:
            raise self.fault
        return self.events

    def ended(self) -> Any:
        """The last event, which alone is `end`."""
        kinds = [kind for kind, _ in self.to_the_end()]
        assert kinds == ["progress"] * (len(kinds) - 1) + ["end"]
        return self.events[-1][1]


@pytest.fixture(autouse=True)
def emptied(stage: Stage) -> Iterator[None]:
    yield
    stage.service.wait_ready()
    stage.withdraw()


async def test_each_phase_comes_and_the_end_is_the_last(stage: Stage) -> None:
    stage.post_requests()
    async with halted(stage.worker()):
        clearing = stage.clear()
        follower = Follower(stage, clearing)
        follower.saw("waiting")
    async with halted(stage.solver()):
        follower.saw("solving")
    run = follower.ended()
    assert (run["state"], run["progress"]["phase"], run["result"]["reserved"]) == ("succeeded", "done", 6)
    bodies = [body for _, body in follower.events]
    assert all(before != after for before, after in itertools.pairwise(bodies))
    # One that has ended already tells just that.
    assert Follower(stage, clearing).ended() == run


async def test_streams_hold_no_database_connection_and_end_with_their_client(stage: Stage) -> None:
    assert stage.service.process is not None
    service = psutil.Process(stage.service.process.pid)

    def open_connections() -> int:
        return sum(
            each.status != psutil.CONN_LISTEN and each.laddr.port == stage.service.port
            for each in service.net_connections("tcp")
        )

    before = open_connections()
    async with halted(stage.worker()):
        clearing = stage.clear()
        with ExitStack() as streams:
            reading: list[Iterator[str]] = []
            for _ in range(STREAMS):
                answer = streams.enter_context(stage.api.stream("GET", f"/v1/clearings/{clearing}/events"))
                reading.append(answer.iter_lines())
            assert {next(lines) for lines in reading} == {"event: progress"}
            assert open_connections() >= STREAMS
            for _ in range(10):
                began = time.monotonic()
                assert stage.api.get(f"/v1/clearings/{clearing}").status_code == 200
                assert time.monotonic() - began < 5
            async with connection(stage) as look:
                idle = await look.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cardhour/cardhour_app'"
                    " AND state = 'idle in transaction' AND now() - state_change > interval '2 seconds'"
                )
                assert idle == 0
        wait_for("the streams' sockets are closed", lambda: open_connections() <= before + 1, 10)
    stage.ended(clearing)


async def test_a_cancelled_run_ends_its_stream(stage: Stage) -> None:
    stage.post_requests()
    clearing = stage.clear()
    solver = stage.solver()
    async with halted(solver):
        follower = Follower(stage, clearing)
        follower.saw("solving")
        assert stage.api.post(f"/v1/clearings/{clearing}/cancel", headers=stage.key()).status_code == 200
        run = follower.ended()
    assert (run["state"], run["error"]["code"], run["result"]) == ("cancelled", "cancelled", None)
    assert stage.held() == []
    wait_for("the solver is stopped", lambda: is_gone(solver), 10)


async def test_a_service_that_stops_ends_its_streams_and_the_run_goes_on(stage: Stage) -> None:
    stage.post_requests()
    clearing = stage.clear()
    async with halted(stage.solver()):
        follower = Follower(stage, clearing)
        follower.saw("solving")
        began = time.monotonic()
        assert stage.service.stop() == 0
        kinds = {kind for kind, _ in follower.to_the_end(1)}
        assert time.monotonic() - began < 10
        assert kinds == {"progress"}
    stage.service.start()
    # The worker put it back when it was stopped: nobody waits for a lease to lapse.
    run = stage.ended(clearing)
    assert (run["state"], run["attempt"], run["result"]["reserved"]) == ("succeeded", 2, 6)


async def test_a_database_that_is_away_interrupts_no_stream(stage: Stage) -> None:
    stage.post_requests()
    clearing = stage.clear()
    async with halted(stage.solver()):
        follower = Follower(stage, clearing)
        follower.saw("solving")
        assert stage.service.kill_postgres()
        stage.service.wait_ready()
    run = follower.ended()
    assert (run["state"], run["result"]["reserved"]) == ("succeeded", 6)


async def test_the_best_and_the_bound_are_told_as_they_improve(stage: Stage) -> None:
    # The last test: the market that it imports stays open.
    files = [("files", (path.name, path.read_bytes())) for path in sorted(MARKET.glob("*.csv"))]
    body = {"start_at": format_rfc3339(stage.market.start), "namespace": "events"}
    sent = stage.api.post("/v1/imports", files=files, data=body)
    assert sent.status_code == 202, sent.text
    wait_for("the import", lambda: stage.get(sent.headers["location"])["state"] == "succeeded")
    wanted = {"mode": "dry_run", "time_limit_s": 4, "programmes": [{"id": SUBSIDY}]}
    asked = stage.api.post("/v1/clearings", json=wanted, headers=stage.key())
    assert asked.status_code == 202, asked.text
    follower = Follower(stage, asked.json()["id"])
    assert follower.ended()["state"] == "succeeded"
    told = [body["progress"] for kind, body in follower.events if kind == "progress"]
    assert len({progress["phase"] for progress in told}) >= 3, told
    known = [progress for progress in told if progress["gap"] is not None]
    assert len({(progress["best"], progress["bound"]) for progress in known}) >= 2, told
    assert all(0 <= progress["best"] <= progress["bound"] for progress in known)
    assert known[-1]["gap"] <= known[0]["gap"]
