"""The house's rules that no type checker sees."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".csv", ".svg", ""}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def test_dependencies_run_one_way() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_no_file_names_a_machine_or_a_registry() -> None:
    forbidden = re.compile(
        r"(?<![\w./-])/(?:home|root|work)/\w|--(?:extra-)?index-url|--find-links|files\.pythonhosted|pypi\.org/simple"
    )
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in tracked()
        if path.suffix in TEXT and path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if forbidden.search(line)
    ]
    assert not found


def test_every_locked_dependency_is_hashed() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        lines = lock.read_text(encoding="utf-8")
        pinned = re.findall(r"^[a-z0-9][\w.\[\]-]*==\S+", lines, re.MULTILINE | re.IGNORECASE)
        hashed = re.findall(r"^[a-z0-9][\w.\[\]-]*==[^\n]*\\\n    --hash=sha256:", lines, re.MULTILINE | re.IGNORECASE)
        assert pinned
        assert len(pinned) == len(hashed), lock


def test_settings_are_read_at_the_edge_only() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "app").rglob("*.py")
        if re.search(r"\bos\.environ\b|\bgetenv\b", path.read_text(encoding="utf-8"))
    }
    # The client stands alone, so it reads the two variables that say where the service is and who asks; the demo
    # hands its environment on to the service that it starts.
    assert readers <= {"app/client/clients.py", "app/demo/service.py"}
