"""PostgreSQL goes away in the middle of requests and comes back: 503 as a problem meanwhile, then all is well again."""

import concurrent.futures
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from app.kit.ids import new_id
from tests.faults.elsewhere import Elsewhere, postgres_elsewhere
from tests.faults.harness import Service, desk_key
from tests.faults.stage import wait_for

pytestmark = pytest.mark.timeout(300)
LIMIT_SECONDS = 2.0


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    seconds = {"CARDHOUR_TRANSACTION_SECONDS": str(LIMIT_SECONDS), "CARDHOUR_WORKER_TRANSACTION_SECONDS": "4"}
    with postgres_elsewhere(tmp_path_factory.mktemp("outage"), 0, **seconds) as there:
        yield there


@pytest.fixture(scope="module")
def service(there: Elsewhere, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("service") / "data", settings=there.settings)
    service.data_dir.mkdir()
    service.start()
    yield service
    assert service.stop() == 0


@pytest.fixture(scope="module")
def api(service: Service) -> Iterator[httpx.Client]:
    key = desk_key(service.data_dir, **service.settings)
    with httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as http:
        yield http


def post_chip(api: httpx.Client, name: str, key: str) -> httpx.Response:
    return api.post("/v1/chips", json={"name": name}, headers={"Idempotency-Key": key})


def assert_told_to_try_again(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["code"], body["errors"]) == (503, "database_unavailable", [])
    assert int(answer.headers["retry-after"]) >= 1
    for leaked in ("Traceback", "asyncpg", "sqlalchemy", "postgresql://", ".py"):
        assert leaked not in answer.text


def postmaster(there: Elsewhere) -> psutil.Process:
    folder = Path(there.postgres.url("postgres").split("host=")[1].split("&")[0])
    return psutil.Process(int((folder / "postmaster.pid").read_text().splitlines()[0]))


def recovered(api: httpx.Client) -> bool:
    return api.get("/readyz").status_code == 200 and api.get("/v1/chips").status_code == 200


def test_halted_in_the_middle_of_requests(there: Elsewhere, service: Service, api: httpx.Client) -> None:
    """SIGSTOP of all of its processes: no connection breaks, nothing is answered."""
    server = postmaster(there)
    halted = [server, *server.children(recursive=True)]
    name, key = f"Halted {new_id().hex}", new_id().hex
    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        for each in halted:
            each.suspend()
        try:
            began = time.monotonic()
            # More at once than there are connections: who waits for one is told as well.
            reads = [pool.submit(api.get, "/v1/chips") for _ in range(29)]
            write = pool.submit(post_chip, api, name, key)
            answers = [each.result() for each in (*reads, write)]
            took = time.monotonic() - began
            assert api.get("/healthz").status_code == 200
        finally:
            for each in halted:
                each.resume()
    for answer in answers:
        assert_told_to_try_again(answer)
    assert took < 30, f"it took {took:.1f} s to be told"
    wait_for("it serves again", lambda: recovered(api), 30)
    # What was answered by 503 is asked again with the same key: a name is taken once, so it was done once.
    assert post_chip(api, name, key).status_code == 201
    assert api.get(f"/v1/chips/{name}").status_code == 200
    assert "Traceback" not in service.log()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_stopped_and_started_again(there: Elsewhere, service: Service, api: httpx.Client, mode: str) -> None:
    """A stop by its operator, connections and all, and a start a while later."""
    server = postmaster(there)
    name, key = f"Stopped {new_id().hex}", new_id().hex
    assert post_chip(api, name, key).status_code == 201
    server.send_signal({"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
    wait_for("it is gone", lambda: not psutil.pid_exists(server.pid) or server.status() == psutil.STATUS_ZOMBIE)
    for _ in range(3):
        assert_told_to_try_again(api.get("/v1/chips"))
        assert_told_to_try_again(post_chip(api, f"{name} again", new_id().hex))
    assert_told_to_try_again(api.get("/readyz"))
    assert api.get("/healthz").status_code == 200
    there.postgres.start()
    wait_for("it serves again", lambda: recovered(api), 30)
    assert post_chip(api, name, key).headers["idempotent-replayed"] == "true"
    assert "Traceback" not in service.log()
