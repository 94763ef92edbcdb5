"""The markets of the clearing benchmark and their runs: each one the real `cardhour clear`, a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from app.demo.generate import MARKET as SAMPLE
from benchmarks.market import write_scarce_market

ROOT: Final = Path(__file__).resolve().parents[1]
SHARED: Final = ROOT.parent / "shared"
GENERATOR: Final = SHARED / "reference" / "generate.py"
MARKETS: Final = SHARED / "data" / "markets"
GAP: Final = SHARED / "data" / "gap"
PROGRAMME: Final = "open-example"
CLI: Final = [sys.executable, "-m", "app.cli"]
REPORTED: Final = ("status", "objective_fen", "bound_fen", "solver_bound_fen", "gap")
Row = dict[str, Any]


class SkippedError(Exception):
    """A case that can't be run here; the message says why."""


class RunFailedError(Exception):
    """A command that should have ended well; the message has the end of what it said."""


@dataclass(frozen=True)
class Run:
    """One way to clear a market: `seconds` or `work` is the limit of the search."""

    method: str
    seconds: float | None = None
    work: int | None = None


@dataclass(frozen=True)
class Case:
    """A market and the runs on it. `size` is (requests, offers, hours) of a generated one."""

    name: str
    runs: tuple[Run, ...]
    size: tuple[int, int, int] | None = None
    market: Path | None = None


def _clear(seconds: float, *rivals: Run) -> tuple[Run, ...]:
    return (Run("clear", seconds), *rivals)


def _fcfs(seconds: float = 5) -> Run:
    return Run("fcfs", seconds)


SIZES: Final = {
    "S": (200, 20, 168),
    "M": (2_000, 60, 720),
    "L": (10_000, 300, 720),
    "XL": (100_000, 3_000, 720),
}
GROWTH: Final = {"full": (1_000, 3_000, 10_000, 30_000, 100_000), "short": (500, 1_000, 2_000)}
GROWTH_GAP: Final = 0.07
GROWTH_LIMIT: Final = {"full": 900.0, "short": 20.0}
# Work, not seconds, so that the guard's ratios are the same on every machine.
GUARD_WORK: Final = 20


def cases(scale: str) -> list[Case]:
    """Return the markets of a scale: `full` has the limits that the bars are set at, `short` ends in two minutes."""
    guard = (Run("clear", work=GUARD_WORK), Run("fcfs", work=GUARD_WORK))
    found = [Case("guard-sample", guard, market=SAMPLE), Case("guard-scarce", guard)]
    if scale == "short":
        return [
            *found,
            Case("S", _clear(5, _fcfs(2), Run("cpsat", 10)), SIZES["S"]),
            Case("M", _clear(10, _fcfs(2)), SIZES["M"]),
        ]
    return [
        *found,
        Case("S", _clear(10, _fcfs(), Run("cpsat", 60)), SIZES["S"]),
        Case("M", _clear(20, _fcfs(), Run("cpsat", 100)), SIZES["M"]),
        Case("L", _clear(60, _fcfs(10)), SIZES["L"]),
        Case("XL", _clear(720, _fcfs(30)), SIZES["XL"]),
        Case("philly-cn", _clear(120, _fcfs()), market=MARKETS / "philly-cn"),
        Case("openb-fleet", _clear(60, _fcfs()), market=MARKETS / "openb-fleet"),
        Case("mixed-world", _clear(60, _fcfs()), market=MARKETS / "mixed-world"),
    ]


@dataclass
class Bench:
    """Where the markets and results go while it runs, and who is told."""

    folder: Path
    tell: Callable[[str], None]
    verify: bool = False
    made: dict[tuple[int, int, int], tuple[Path, Row]] = field(
        default_factory=dict[tuple[int, int, int], tuple[Path, Row]]
    )

    def market(self, case: Case) -> tuple[Path, Row]:
        """Return the case's market files and what is known of them: counts, load, the settings to clear with.

        Raises:
            SkippedError: where neither the files nor the generator are here.
        """
        if case.size is not None:
            return self.generated(case.size)
        if case.market is None:
            folder = self.folder / case.name
            write_scarce_market(folder)
            return folder, {}
        if not case.market.is_dir():
            raise SkippedError(f"the real markets are not here: {_shown(case.market)}")
        return case.market, {}

    def generated(self, size: tuple[int, int, int]) -> tuple[Path, Row]:
        """Return a market of `shared/reference/generate.py`, made once."""
        if size not in self.made:
            if not GENERATOR.is_file():
                raise SkippedError(f"the generator is not here: {_shown(GENERATOR)}")
            folder = self.folder / "-".join(str(number) for number in size)
            names = ("--requests", "--offers", "--hours")
            options = [part for name, number in zip(names, size, strict=True) for part in (name, str(number))]
            done = _checked([sys.executable, str(GENERATOR), str(folder), *options])
            self.made[size] = folder, json.loads(done)
        return self.made[size]

    def run_case(self, case: Case) -> Row:
        """Run a case by all its methods; the ratios are those of this one run."""
        try:
            folder, facts = self.market(case)
        except SkippedError as reason:
            return {"case": case.name, "skipped": str(reason)}
        row: Row = {"case": case.name} | {
            key: facts[key] for key in ("requests", "offers", "hours", "load") if key in facts
        }
        row["runs"] = [self.run(case.name, folder, facts, run) for run in case.runs]
        by_method: Mapping[str, Row] = {run["method"]: run for run in row["runs"]}
        mine = by_method["clear"]["objective_fen"]
        for rival in ("fcfs", "cpsat"):
            theirs = by_method.get(rival, {}).get("objective_fen")
            row[f"ratio_to_{rival}"] = round(mine / theirs, 4) if mine is not None and theirs else None
        return row

    def run(self, name: str, folder: Path, facts: Row, run: Run) -> Row:
        """Clear once, in a process of its own; the result file stays in the bench's folder."""
        out = self.folder / f"{name}-{run.method}.json"
        limit = ["--work-limit", str(run.work)] if run.work is not None else ["--time-limit", str(run.seconds)]
        command = [*CLI, "clear", "--market", str(folder), "--programme", PROGRAMME, "--method", run.method]
        command += [part for each in facts.get("set", []) for part in ("--set", each)]
        self.tell(f"{name}: {run.method}, {' '.join(limit).removeprefix('--')} …")
        wall, peak = _timed([*command, *limit, "--out", str(out)])
        body = json.loads(out.read_text(encoding="utf-8"))
        row: Row = {"method": run.method, "seconds_limit": run.seconds, "work_limit": run.work}
        row |= {key: body[key] for key in REPORTED}
        row |= {"matches": len(body["matches"]), "seconds": body["run"]["seconds"], "wall_seconds": round(wall, 1)}
        row["peak_rss_mib"] = peak
        if self.verify:
            began = time.monotonic()
            _checked([*CLI, "verify-clearing", "--market", str(folder), str(out)])
            row["verified_in_seconds"] = round(time.monotonic() - began, 1)
        gap = "-" if row["gap"] is None else f"{row['gap']:.2%}"
        self.tell(f"{name}: {run.method} {row['status']} {row['objective_fen']}, gap {gap}, {wall:.0f} s, {peak} MiB")
        return row

    def growth(self, scale: str) -> Row:
        """Time the engine to one gap on markets that grow in proportion, and fit seconds ∝ requests^exponent."""
        points: list[Row] = []
        for requests in GROWTH[scale]:
            try:
                folder, facts = self.generated((requests, max(1, requests * 3 // 100), 720))
            except SkippedError as reason:
                return {"case": "growth", "skipped": str(reason)}
            settings = [part for each in facts["set"] for part in ("--set", each)]
            self.tell(f"growth: {requests:,} requests …")
            script = str(ROOT / "benchmarks" / "reach.py")
            limits = ["--gap", str(GROWTH_GAP), "--limit", str(GROWTH_LIMIT[scale])]
            points.append(json.loads(_checked([sys.executable, script, str(folder), *settings, *limits])))
            self.tell(f"growth: {points[-1]}")
        return {"case": "growth", "gap": GROWTH_GAP, "points": points, "exponent": fit_exponent(points)}

    def tiny(self, markets: int) -> Row:
        """Compare all methods with brute force on markets of at most 12 requests."""
        self.tell(f"tiny: {markets} markets …")
        script = str(ROOT / "benchmarks" / "tiny.py")
        return {"case": "tiny"} | json.loads(_checked([sys.executable, script, "--markets", str(markets)]))

    def quotes(self, scale: str) -> Row:
        """Time quotes against what first come, first served leaves of L (M at short scale)."""
        case = Case("quote", (_fcfs(),), SIZES["L" if scale == "full" else "M"])
        try:
            folder, facts = self.market(case)
        except SkippedError as reason:
            return {"case": "quote", "skipped": str(reason)}
        self.run("quote", folder, facts, case.runs[0])
        settings = [part for each in facts["set"] for part in ("--set", each)]
        script = str(ROOT / "benchmarks" / "quotes.py")
        result = str(self.folder / "quote-fcfs.json")
        found = json.loads(_checked([sys.executable, script, str(folder), result, *settings]))
        return {"case": "quote", "requests": facts["requests"], "offers": facts["offers"]} | found

    def gap(self, scale: str) -> Row:
        """Run the generalised assignment instances: all of them for 10 s each, or five for 2 s."""
        if not (GAP / "optima.csv").is_file():
            return {"case": "gap", "skipped": f"the instances are not here: {_shown(GAP)}"}
        some = ["--only", "gap1-", "--time-limit", "2"] if scale == "short" else ["--time-limit", "10"]
        self.tell("gap: generalised assignment …")
        script = str(ROOT / "benchmarks" / "gap.py")
        lines = _checked([sys.executable, script, str(GAP), *some]).splitlines()
        return {"case": "gap"} | json.loads(lines[-1])


def _shown(path: Path) -> str:
    return f"../{path.relative_to(ROOT.parent)}" if path.is_relative_to(ROOT.parent) else path.name


def fit_exponent(points: list[Row]) -> float | None:
    """Return the slope of log seconds over log requests by least squares; `None` unless all reached the gap."""
    if len(points) < 2 or any(point["seconds"] is None for point in points):  # noqa: PLR2004  a line has two points
        return None
    import numpy as np  # noqa: PLC0415  only here, and it takes a while

    logs = np.log([[point["requests"], point["seconds"]] for point in points])
    return round(float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0]), 3)


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "160"}


def _checked(command: list[str]) -> str:
    """Run a command and return what it printed.

    Raises:
        RunFailedError: if it fails.
    """
    done = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunFailedError(f"{' '.join(command[1:4])} … ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def _timed(command: list[str]) -> tuple[float, int]:
    """Run a command; return its wall seconds and the peak resident memory of its process in MiB.

    Raises:
        RunFailedError: if it fails.
    """
    with tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=ROOT, env=_environment(), stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            told = errors.read()[-2000:].decode(errors="replace")
            raise RunFailedError(f"{' '.join(command[1:4])} … ended with {process.returncode}: {told}")
    return wall, usage.ru_maxrss // (1024 if sys.platform != "darwin" else 1024**2)
