"""The clearing engine, measured; prints JSON, tells its progress on standard error.

python benchmarks/clearing.py [--scale short|full] [--only S,M,…] [--verify] [--markdown FILE] [--keep FILE]

Markets S, M, L, XL and the growth series come from `../shared/reference/generate.py`, the real ones and the
generalised assignment instances from `../shared/data`; where these are absent the case is skipped and says so. The
guards, on the shipped sample market and one of our own, run anywhere: they are held at a fixed work limit, so by
ratio and not by speed, and the command exits 1 if one does not hold.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app import __version__
from benchmarks.clearing_bars import judge_bars, judge_guards, markdown
from benchmarks.clearing_cases import Bench, Row, RunFailedError, cases

EXTRA: Final = {"short": (), "full": ("tiny", "growth", "quote", "gap")}
ALL_EXTRA: Final = ("tiny", "growth", "quote", "gap")
TINY: Final = {"short": 20, "full": 1000}
BEGIN, END = "<!-- table -->", "<!-- end of table -->"


def machine() -> dict[str, Any]:
    """Describe what it runs on."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = (
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        )
        processor = next(names, processor)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 1024**3),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def run(bench: Bench, scale: str, only: list[str]) -> list[Row]:
    """Run the chosen cases, or all of the scale's."""
    rows = [bench.run_case(case) for case in cases(scale) if not only or case.name in only]
    for name in only or EXTRA[scale]:
        match name:
            case "tiny":
                rows.append(bench.tiny(TINY[scale]))
            case "growth":
                rows.append(bench.growth(scale))
            case "quote":
                rows.append(bench.quotes(scale))
            case "gap":
                rows.append(bench.gap(scale))
            case _:
                pass
    return rows


def keep(path: Path | None, scale: str, rows: list[Row]) -> list[Row]:
    """Join the rows with those of earlier runs of the same scale, which they replace, and write them back."""
    if path is None:
        return rows
    kept: list[Row] = []
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        kept = before["cases"] if before["scale"] == scale else []
    new = {row["case"]: row for row in rows}
    joined = [new.pop(row["case"], row) for row in kept]
    joined += new.values()
    path.write_text(json.dumps({"scale": scale, "cases": joined}, ensure_ascii=False, indent=1), encoding="utf-8")
    return joined


def write_markdown(path: Path, report: Row) -> None:
    """Put the tables between the two marks of a page, or into a file of their own."""
    table = markdown(report)
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if BEGIN in text and END in text:
        head, tail = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
        table = f"{head}\n\n{table}\n{tail}"
    path.write_text(table, encoding="utf-8")


def main() -> None:
    """Run, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=("short", "full"), default="short")
    parser.add_argument("--only", default="", help="cases, by commas: guard-sample, S, XL, philly-cn, tiny, growth …")
    parser.add_argument("--verify", action="store_true", help="check every result with verify-clearing")
    parser.add_argument("--markdown", type=Path, help="write the tables here, or between the marks of a page")
    parser.add_argument("--keep", type=Path, help="keep results here between runs of parts")
    arguments = parser.parse_args()
    only = [name for name in arguments.only.split(",") if name]
    known = [case.name for case in cases(arguments.scale)]
    for name in only:
        if name not in (*known, *ALL_EXTRA):
            parser.error(f"--only {name}: at scale {arguments.scale} there are {', '.join((*known, *ALL_EXTRA))}")
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {text}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="cardhour-bench-") as folder:
        bench = Bench(Path(folder), tell, verify=arguments.verify)
        try:
            rows = run(bench, arguments.scale, only)
        except RunFailedError as failed:
            sys.exit(str(failed))
    rows = keep(arguments.keep, arguments.scale, rows)
    by_name = {row["case"]: row for row in rows}
    report: Row = {
        "version": __version__,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "scale": arguments.scale,
        "machine": machine(),
        # Limits of the short scale are not those that the bars are set at.
        "bars": judge_bars(by_name) if arguments.scale == "full" else [],
        "guards": judge_guards(by_name),
        "cases": rows,
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(report, ensure_ascii=False, indent=2))
    if arguments.markdown is not None:
        skipped = [row["case"] for row in rows if "skipped" in row]
        if skipped:
            tell(f"{arguments.markdown} stays as it was: {', '.join(skipped)} could not be run")
        else:
            write_markdown(arguments.markdown, report)
    broken = [guard for guard in report["guards"] if not guard["holds"]]
    if broken:
        sys.exit(f"the engine fell behind its guard: {json.dumps(broken)}")


if __name__ == "__main__":
    main()
