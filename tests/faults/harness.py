"""A real service in processes of its own, and clients that keep asking until they are answered."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from app.kit.time import ceil_hour, format_rfc3339


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


ROOT: Final = Path(__file__).resolve().parents[2]
CLOCK: Final = ROOT / "tests" / "docs" / "clock"


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CARDHOUR_", "DATABASE_URL"))}
    return (
        kept
        | {
            "CARDHOUR_DATA_DIR": str(data_dir),
            "CARDHOUR_LOG_LEVEL": "WARNING",
            "CARDHOUR_CLEARING_LEASE_SECONDS": "4",
        }
        | more
    )


def cardhour(data_dir: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        env=environment(data_dir, **more),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def desk_key(data_dir: Path, **more: str) -> str:
    done = cardhour(data_dir, "keys", "create", "--local", "--role", "desk", "--name", "desk", "--quiet", **more)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def child_of(parent: psutil.Process, word: str) -> psutil.Process | None:
    """The living child of a process whose command has this word."""
    for child in parent.children():
        try:
            if word in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                return child
        except psutil.NoSuchProcess:
            continue
    return None


@dataclass
class Service:
    """`cardhour serve` on a folder of its own; killed and started again at will."""

    data_dir: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    settings: dict[str, str] = field(default_factory=dict)
    dice: random.Random = field(default_factory=random.Random)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, wait: float = 60) -> None:
        log = (self.data_dir.parent / "service.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "serve", "--port", str(self.port)],
            env=environment(self.data_dir, **self.settings),
            stdout=log,
            stderr=log,
        )
        log.close()
        self.wait_ready(wait)

    def wait_ready(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while True:
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            try:
                if httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            assert time.monotonic() < deadline, f"not ready within {seconds} s\n{self.log()}"
            time.sleep(0.1)

    def log(self) -> str:
        return (self.data_dir.parent / "service.log").read_text(errors="replace")[-4000:]

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)

    # What the killer can hit. Each returns whether there was something to hit.
    def kill_service(self) -> bool:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.start()
        return True

    def kill_worker(self) -> bool:
        worker = self.worker()
        if worker is None:
            return False
        worker.kill()
        return True

    def worker(self) -> psutil.Process | None:
        assert self.process is not None
        return child_of(psutil.Process(self.process.pid), "worker")

    def kill_postgres(self) -> bool:
        pid = self.postmaster()
        if pid is None:
            return False
        os.kill(pid, signal.SIGKILL)
        return True

    def kill_everything_of_postgres(self) -> bool:
        """As a machine that loses its power: halted first, so that nothing is written between the kills."""
        pid = self.postmaster()
        if pid is None:
            return False
        postmaster = psutil.Process(pid)
        postmaster.suspend()
        processes = [postmaster, *postmaster.children(recursive=True)]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
        return True

    def kill_backend(self) -> bool:
        pid = self.postmaster()
        if pid is None:
            return False
        backends = [child for child in psutil.Process(pid).children() if "cardhour_app" in " ".join(child.cmdline())]
        if not backends:
            return False
        self.dice.choice(backends).kill()
        return True

    def dsn(self, user: str = "postgres") -> str:
        """Where its PostgreSQL listens."""
        lines = (self.data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
        return f"postgresql://{user}@/postgres?host={lines[4]}&port={lines[3]}"

    def postmaster(self) -> int | None:
        try:
            pid = int((self.data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return None
        return pid if psutil.pid_exists(pid) else None


@contextmanager
def put_clock(service: Service) -> Generator[Callable[[timedelta], None]]:
    """Run the service, to its end, on a clock that can be set apart from the real one."""
    file = service.data_dir.parent / "clock"
    file.write_text("0", encoding="ascii")
    service.settings |= {"CARDHOUR_TEST_CLOCK": str(file), "PYTHONPATH": f"{CLOCK}{os.pathsep}{ROOT}"}
    service.start()

    def put(apart: timedelta) -> None:
        file.write_text(str(round(apart.total_seconds())), encoding="ascii")

    yield put
    assert service.stop() == 0


@dataclass
class Market:
    """One offer and a buyer, made over the API."""

    api: httpx.Client
    offer_id: str
    cards: int
    start: datetime
    hours: int

    @classmethod
    def make(cls, url: str, key: str, *, cards: int = 64, hours: int = 200) -> "Market":
        api = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30)
        start = ceil_hour(datetime.now(UTC)) + timedelta(hours=1)
        supplier = Market.organisation(api, "supplier")
        body: dict[str, Any] = {
            "supplier_org_id": supplier,
            "chip_model": "A100 80G",
            "region": "北京",
            "cards_per_node": 8,
            "price_fen": 900,
            "list_price_fen": 1800,
            "auto_accept": True,
            "capacity": [
                {"starts_at": format_rfc3339(start), "cards": cards},
                {"starts_at": format_rfc3339(start + timedelta(hours=hours)), "cards": 0},
            ],
        }
        answer = api.post("/v1/offers", json=body, headers={"Idempotency-Key": "offer"})
        assert answer.status_code == 201, answer.text
        return cls(api, answer.json()["id"], cards, start, hours)

    @staticmethod
    def organisation(api: httpx.Client, role: str) -> str:
        answer = api.post("/v1/organisations", json={"name": f"示例 {role}", "roles": [role]})
        assert answer.status_code == 201, answer.text
        org_id = answer.json()["organisation"]["id"]
        assert api.post(f"/v1/organisations/{org_id}/approve", json={}).status_code == 200
        return org_id
