"""What the logs of a failure tell, and what they keep to themselves."""

import subprocess
import sys

import pytest

PROGRAM = """
import structlog
from app.kit.logging import configure_logging

def fail():
    key = "chk_" + "secret" * 3
    raise RuntimeError("it failed")

configure_logging(level="INFO", as_json={as_json})
try:
    fail()
except RuntimeError:
    structlog.get_logger("cardhour.test").exception("told")
"""


@pytest.mark.parametrize("as_json", [True, False])
def test_a_traceback_names_no_local_variables(as_json: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(as_json=as_json)], capture_output=True, text=True, check=True
    )
    assert "RuntimeError: it failed" in done.stderr
    assert "in fail" in done.stderr
    assert "secretsecret" not in done.stderr
