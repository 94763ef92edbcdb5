"""With a seed and a work limit a market gives the same file, whatever the process, the rows' order, the names."""

import csv
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SHARED

LONG = bool(os.environ.get("CARDHOUR_LONG"))
SIZE = ("400", "40", "168") if LONG else ("60", "8", "72")
WORK = "40" if LONG else "8"
GENERATOR = SHARED / "reference" / "generate.py"
pytestmark = pytest.mark.skipif(not GENERATOR.exists(), reason="the generator of markets is not here")
TABLES = ("offers", "requests", "buyers", "suppliers", "chips")


@pytest.fixture(scope="module", params=[[], ["--blocks"]], ids=["single", "blocks"])
def market(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A generated market, and the arguments to clear it with."""
    folder = tmp_path_factory.mktemp("generated")
    counts = [part for pair in zip(("--requests", "--offers", "--hours"), SIZE, strict=True) for part in pair]
    told = subprocess.run(
        [sys.executable, str(GENERATOR), str(folder), *counts, *request.param],
        check=True,
        capture_output=True,
        text=True,
    )
    settings = [part for value in json.loads(told.stdout)["set"] for part in ("--set", value)]
    return folder, ["--programme", "open-example", *settings]


def rows_of(folder: Path, table: str) -> list[list[str]]:
    with (folder / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def write_rows(folder: Path, table: str, rows: list[list[str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{table}.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def clear(folder: Path, out: Path, arguments: list[str], hash_seed: int) -> dict[str, Any]:
    """The result without `run`, from a process of its own."""
    command = [
        *(sys.executable, "-m", "app.cli", "clear", "--market", str(folder), "--out", str(out)),
        *("--work-limit", WORK, "--seed", "7", *arguments),
    ]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(out.read_text(encoding="utf-8"))
    assert result.pop("run").keys() == {"seconds", "peak_rss_mib"}
    assert result["matches"]
    return result


@pytest.mark.parametrize("objective", ["surplus", "coverage", "thrift"] if LONG else ["surplus", "thrift"])
def test_the_order_of_rows_and_the_process_do_not_matter(
    market: tuple[Path, list[str]], tmp_path: Path, objective: str
) -> None:
    folder, arguments = market
    dice = random.Random(objective)
    for table in TABLES:
        header, *rows = rows_of(folder, table)
        dice.shuffle(rows)
        write_rows(tmp_path / "shuffled", table, [header, *rows])
    arguments = [*arguments, "--objective", objective]
    plain = clear(folder, tmp_path / "plain.json", arguments, 1)
    assert clear(tmp_path / "shuffled", tmp_path / "shuffled.json", arguments, 2) == plain


def test_renaming_in_order_renames_the_matches(market: tuple[Path, list[str]], tmp_path: Path) -> None:
    """Names that sort alike, of another length and with gaps."""
    folder, arguments = market
    names: dict[str, str] = {}
    for table, column in (("requests", 0), ("offers", 0), ("buyers", 0), ("suppliers", 0)):
        old = sorted(row[column] for row in rows_of(folder, table)[1:])
        names |= {name: f"{table[0].upper()}{number:07d}{'x' * (number % 3)}" for number, name in enumerate(old)}
    for table in TABLES:
        rows = rows_of(folder, table)
        write_rows(tmp_path / "renamed", table, [[names.get(cell, cell) for cell in row] for row in rows])
    plain = clear(folder, tmp_path / "plain.json", arguments, 3)
    renamed = clear(tmp_path / "renamed", tmp_path / "renamed.json", arguments, 4)
    assert renamed["instance_sha256"] != plain["instance_sha256"]
    back = {new: old for old, new in names.items()}
    text = re.sub(r"[ROBS]\d{7}x*", lambda found: back[found[0]], json.dumps(renamed))
    assert json.loads(text) | {"instance_sha256": plain["instance_sha256"]} == plain
