"""The wheel holds what a machine without the repository needs; the container files name what exists."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from app import __version__

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("cardhour-*.whl")
    with zipfile.ZipFile(built) as archive:
        return archive.namelist()


def test_the_wheel_is_whole(wheel: list[str]) -> None:
    for name in (
        "app/cli.py",
        "app/catalog/data/chips.csv",
        "app/matching/standalone/check_clearing.py",
        "app/demo/market/offers.csv",
        "app/demo/market/requests.csv",
        "app/_migrations/env.py",
    ):
        assert name in wheel
    shipped = {Path(name).name for name in wheel if name.startswith("app/_migrations/versions/")}
    assert shipped == {path.name for path in (ROOT / "migrations" / "versions").glob("*.py")}
    assert not [name for name in wheel if name.startswith("tests/") or name.endswith(".pyc")]


def test_the_image_can_draw() -> None:
    pinned = (ROOT / "requirements" / "base.txt").read_text(encoding="utf-8")
    assert re.search(r"^matplotlib==", pinned, re.MULTILINE)


def test_the_container_files_copy_what_exists() -> None:
    text = (ROOT / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
    assert "HEALTHCHECK" in text
    assert re.search(r"^USER cardhour$", text, re.MULTILINE)


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
    assert f"[{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
