"""`cardhour demo`, twice on one folder, and the commands that it ends with."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.demo.service import serving

pytestmark = pytest.mark.timeout(540)
ROOT = Path(__file__).resolve().parents[2]


def run_demo(folder: Path) -> str:
    environment = dict(os.environ) | {
        "CARDHOUR_DATA_DIR": str(folder),
        "COLUMNS": "120",
        "DATABASE_URL": "postgresql://nobody@db.example.test/real_market",
    }
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "demo"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,  # the first run compiles the engine
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


FIGURES = (
    r"\d+ of \d+ requests are met",
    r"[\d,]+ of [\d,]+ card-hours",
    r"\d+ offers of \d+ suppliers",
    r"blocks matched.*",
    r"gap to the bound.*",
)


def figures(report: str) -> list[str]:
    return re.findall("|".join(FIGURES), report)


def test_it_runs_again_and_what_it_says_to_do_next_works(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    first = run_demo(folder)
    assert "25 offers of 12 suppliers, 60 requests of 36 buyers" in first
    assert "H100-class" in first
    assert "No acceptable offer ever has that many cards at once" in " ".join(first.split())
    assert re.search(r"blocks matched +\d+ of 89 +\d+ of 89", first)
    assert len(re.findall(r" on offer-\d+: (?:pay|wait|take|accept)\b", first)) == 3
    again = run_demo(folder)
    assert figures(again) == figures(first)
    assert len(figures(first)) >= 8

    start, *tour = re.findall(r"^  (\S.*)$", again[again.index("Next:") :], re.MULTILINE)
    assert start.startswith(f"CARDHOUR_DATA_DIR={folder} ")
    assert start.endswith("cardhour serve")
    assert len(tour) == 5
    with serving(folder) as url:
        script = "set -euo pipefail\n" + "\n".join(tour).replace("curl -sS", "curl -fsS")
        done = subprocess.run(
            ["bash", "-c", script.replace("http://127.0.0.1:8000", url)],
            cwd=ROOT,
            env=dict(os.environ) | {"CARDHOUR_API_URL": url},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert '"earliest_start"' in done.stdout
        assert '"reason":{"code"' in done.stdout
        assert '"state":"confirmed"' in done.stdout or '"state":"active"' in done.stdout


def test_a_service_that_does_not_come_up_is_told(tmp_path: Path) -> None:
    (tmp_path / "postgres").write_text("in the way")
    with pytest.raises(RuntimeError, match=r"did not come up; see .*demo\.log"), serving(tmp_path):
        pass


def test_the_service_is_gone_afterwards(tmp_path: Path) -> None:
    with serving(tmp_path) as url:
        assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/healthz")
