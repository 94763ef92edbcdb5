"""What the documents say about make: the targets are there, and do what is said."""

import subprocess

import pytest

from tests.docs.runner import ROOT


@pytest.mark.parametrize(
    ("target", "does"),
    [
        ("install", "-m venv .venv"),
        ("demo", "/cardhour demo"),
        ("test", "-m pytest"),
        ("check", "basedpyright"),
        ("bench", "benchmarks/all.py --scale full"),
        ("bench-short", "benchmarks/all.py"),
    ],
)
def test_a_target_does_what_the_documents_say(target: str, does: str) -> None:
    # VENV as a newcomer has it, whatever this run was started with.
    command = ["make", "--dry-run", "--always-make", target, "VENV=.venv"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert does in done.stdout
