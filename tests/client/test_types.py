"""The client's types are what the service's OpenAPI document says."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_types_are_what_the_generator_makes() -> None:
    done = subprocess.run(
        [sys.executable, "tools/client_types.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
