"""The same code on a database that DATABASE_URL names: nothing is started, nothing is migrated unasked."""

import asyncio
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from app.kit.embedded import EmbeddedPostgres
from tests.conftest import admin_dsn
from tests.faults.harness import free_port

MARKET = Path(__file__).resolve().parents[1] / "app" / "demo" / "market"


async def execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def environment(server: EmbeddedPostgres, tmp_path: Path) -> Iterator[dict[str, str]]:
    name = f"other_{uuid.uuid4().hex[:12]}"
    asyncio.run(execute(admin_dsn(server), f"CREATE DATABASE {name}"))
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CARDHOUR_")}
    yield kept | {
        "DATABASE_URL": admin_dsn(server, name),
        "CARDHOUR_DATA_DIR": str(tmp_path / "unused"),
        "CARDHOUR_SECRET_KEY": "a secret key of thirty-two characters",
        "CARDHOUR_LOG_LEVEL": "WARNING",
    }
    asyncio.run(execute(admin_dsn(server), f"DROP DATABASE {name} WITH (FORCE)"))


def cardhour(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_market_on_another_database(environment: dict[str, str]) -> None:
    early = cardhour(environment, "serve")
    assert early.returncode == 1
    assert "run: cardhour migrate" in early.stderr
    assert cardhour(environment, "migrate").returncode == 0
    key = cardhour(environment, "keys", "create", "--local", "--role", "desk", "--name", "desk", "--quiet")
    port = free_port()
    service = subprocess.Popen([sys.executable, "-m", "app.cli", "serve", "--port", str(port)], env=environment)
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{url}/readyz", timeout=2).status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.1)
        # The worker beside the service runs the import.
        signed = environment | {"CARDHOUR_API_URL": url, "CARDHOUR_API_KEY": key.stdout.strip()}
        imported = cardhour(signed, "import", "--market", str(MARKET), "--start-at", "now")
        assert imported.returncode == 0, imported.stderr
    finally:
        service.terminate()
        assert service.wait(30) == 0
    verified = cardhour(environment, "verify")
    assert verified.returncode == 0, verified.stdout
    assert not Path(environment["CARDHOUR_DATA_DIR"]).exists()


def test_a_database_that_is_not_there_is_told_in_one_line(environment: dict[str, str]) -> None:
    nowhere = environment | {"DATABASE_URL": f"postgresql://postgres@127.0.0.1:{free_port()}/postgres"}
    for command in (["serve"], ["migrate"], ["verify"]):
        done = cardhour(nowhere, *command)
        assert done.returncode == 1, command
        assert "can't be reached" in done.stderr
        assert "Traceback" not in done.stderr
