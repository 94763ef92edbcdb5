"""The clearing benchmark's judging, tables and guard market; one real run of it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.commands.clearing import clearing
from app.matching.files import read_market
from benchmarks.clearing import BEGIN, END, keep, write_markdown
from benchmarks.clearing_bars import BARS, judge_bars, judge_guards, markdown
from benchmarks.clearing_cases import Bench, Case, cases, fit_exponent
from benchmarks.market import write_scarce_market

ROOT = Path(__file__).resolve().parents[2]


def case(name: str, gap: float = 0.005, fcfs: float = 1.3, cpsat: float | None = 1.1, **run: Any) -> dict[str, Any]:
    plain = {
        "method": "clear",
        "seconds_limit": 20.0,
        "work_limit": None,
        "status": "feasible",
        "objective_fen": 1000,
        "bound_fen": 1005,
        "gap": gap,
        "wall_seconds": 25.0,
        "peak_rss_mib": 300,
    }
    return {"case": name, "runs": [plain | run], "ratio_to_fcfs": fcfs, "ratio_to_cpsat": cpsat}


def reached(*rows: dict[str, Any]) -> dict[str, str]:
    return {row["bar"]: row["reached"] for row in judge_bars({row["case"]: row for row in rows})}


def test_each_bar_is_judged_by_its_must_and_its_aim() -> None:
    def of(begin: str, row: dict[str, Any]) -> str:
        [found] = [value for name, value in reached(row).items() if name.startswith(begin)]
        return found

    assert [of("M: gap", case("M", gap=gap)) for gap in (0.01, 0.04, 0.041)] == ["aim", "must", "no"]
    assert [of("L: gap", case("L", gap=gap)) for gap in (0.01, 0.045, 0.046)] == ["aim", "must", "no"]
    assert of("L: gap", case("L", peak_rss_mib=2049)) == "no"
    assert [of("XL: gap", case("XL", gap=gap)) for gap in (0.02, 0.07, 0.071)] == ["aim", "must", "no"]
    assert of("XL: gap", case("XL", wall_seconds=901.0)) == "no"
    assert of("S: gap", case("S", status="optimal")) == "aim"
    assert [of("S: gap", case("S", gap=gap)) for gap in (0.02, 0.021)] == ["must", "no"]
    assert [of("M: value against direct", case("M", cpsat=r)) for r in (1.07, 1.04, 1.03)] == ["aim", "must", "no"]
    assert [of("L: value", case("L", fcfs=r)) for r in (1.25, 1.10, 1.09)] == ["aim", "must", "no"]
    tiny = {"case": "tiny", "markets": 5, "cpsat_equal": 5, "clear_between": 5, "clear_equal": 5}
    assert of("≤ 12", tiny) == "aim"
    assert of("≤ 12", tiny | {"clear_equal": 4}) == "must"
    assert of("≤ 12", tiny | {"clear_between": 4}) == "no"
    assert [of("growth", {"case": "growth", "exponent": e}) for e in (1.0, 1.2, 1.3, None)] == [
        "aim", "must", "no", "no",
    ]  # fmt: skip
    assert [of("quote", {"case": "quote", "p99_ms": ms}) for ms in (2.0, 20.0, 21.0)] == ["aim", "must", "no"]
    gap = {"case": "gap", "instances": 4, "all_jobs_matched": 4, "within_half_percent": 4, "equal": 4, "worst_ratio": 1}
    assert of("GAP", gap) == "aim"
    assert of("GAP", gap | {"equal": 3}) == "must"
    assert of("GAP", gap | {"all_jobs_matched": 3}) == "no"


def test_what_was_not_run_says_why() -> None:
    judged = judge_bars({"L": {"case": "L", "skipped": "the generator is not here"}})
    assert len(judged) == len(BARS)
    assert {row["reached"] for row in judged} == {"not run"}
    assert {row["reason"] for row in judged if row["bar"].startswith("L:")} == {"the generator is not here"}


def test_the_guards() -> None:
    good = {"guard-sample": case("guard-sample"), "guard-scarce": case("guard-scarce", fcfs=1.4)}
    assert [guard["holds"] for guard in judge_guards(good)] == [True, True]
    for worse in (case("guard-sample", fcfs=1.0), case("guard-sample", gap=0.2)):
        assert [guard["holds"] for guard in judge_guards(good | {"guard-sample": worse})] == [False, True]
    assert judge_guards({}) == []


def test_the_exponent_of_growth() -> None:
    points = [{"requests": n, "seconds": 0.001 * n**1.1} for n in (1000, 3000, 10_000)]
    assert fit_exponent(points) == pytest.approx(1.1)
    assert fit_exponent([*points, {"requests": 30_000, "seconds": None}]) is None
    assert fit_exponent(points[:1]) is None


def report(*rows: dict[str, Any], scale: str = "full") -> dict[str, Any]:
    machine = {"processor": "P", "cores": 2, "memory_gib": 8, "system": "Linux", "python": "3.11"}
    return {
        "machine": machine,
        "version": "1",
        "date": "2026-12-01",
        "scale": scale,
        "cases": list(rows),
        "bars": judge_bars({row["case"]: row for row in rows}),
    }


def test_the_tables_go_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    write_markdown(page, report(case("M"), {"case": "L", "skipped": "no files"}))
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert "| M: gap in 20 s | ≤ 4 % | 1 % | 0.50% (25 s in all, 300 MiB) | **aim** |" in text
    assert "| M | clear | 20 s | feasible | 1,000 | 1,005 | 0.50% | 25 | 300 | 1.300 | 1.100 |" in text
    assert "L was not run: no files." in text
    assert "**aim**" not in markdown(report(case("M"), scale="short"))


def test_results_are_kept_between_runs_of_parts(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    keep(path, "full", [case("S"), case("M")])
    joined = keep(path, "full", [case("M", gap=0.5), case("L")])
    assert [(row["case"], row["runs"][0]["gap"]) for row in joined] == [("S", 0.005), ("M", 0.5), ("L", 0.005)]
    assert [row["case"] for row in keep(path, "short", [case("S")])] == ["S"]


def test_the_guard_market_is_alike_and_well_formed(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_scarce_market(tmp_path / name)
    market = read_market(tmp_path / "one")
    assert not market.rejected
    assert (len(market.requests), len(market.offers)) == (360, 12)
    assert read_market(tmp_path / "other") == market


def test_a_market_that_is_not_here_is_skipped_with_its_reason(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lambda _: None)
    row = bench.run_case(Case("philly-cn", (), market=tmp_path / "gone"))
    assert row == {"case": "philly-cn", "skipped": "the real markets are not here: gone"}


def test_scales_have_the_cases_that_the_bars_need() -> None:
    names = {each.name for each in cases("full")} | {"tiny", "growth", "quote", "gap"}
    assert {bar.case for bar in BARS} <= names
    assert {"guard-sample", "guard-scarce"} <= {each.name for each in cases("short")}


def test_an_unknown_case_is_named() -> None:
    command = [sys.executable, "benchmarks/clearing.py", "--only", "S,nothing"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--only nothing: at scale short there are guard-sample, guard-scarce, S, M, tiny" in done.stderr


def test_one_guard_for_real(tmp_path: Path) -> None:
    out = tmp_path / "table.md"
    command = [sys.executable, "benchmarks/clearing.py", "--only", "guard-sample", "--verify", "--markdown", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    [guard] = found["guards"]
    assert guard["holds"]
    assert all(run["verified_in_seconds"] >= 0 for run in found["cases"][0]["runs"])
    assert "| guard-sample | clear | 20 units |" in out.read_text(encoding="utf-8")


def test_quotes_are_timed_against_what_a_clearing_leaves(tmp_path: Path) -> None:
    out, market = tmp_path / "o.json", str(ROOT / "app" / "demo" / "market")
    pool = ["--set", "open-example.pool_year_cny=200000"]
    clear = ["clear", "--market", market, "--programme", "open-example", *pool, "--method", "fcfs", "--work-limit", "2"]
    done = CliRunner().invoke(clearing, [*clear, "--out", str(out)])
    assert done.exit_code == 0, done.output
    command = [sys.executable, "benchmarks/quotes.py", market, str(out), *pool, "--quotes", "50"]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)
    assert told["quotes"] == 50
    assert 0 < told["with_an_option"] <= 50
    assert 0 < told["median_ms"] <= told["p99_ms"] <= told["slowest_ms"]
