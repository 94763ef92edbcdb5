"""How long the engine takes to come within a gap, for the growth series; prints JSON.

python benchmarks/reach.py MARKET [--set PROGRAMME.KEY=VALUE …] [--gap 0.07] [--limit 900]

Seconds count from reading the files on; compiling, once per machine, is done before.
"""

import argparse
import json
import os
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.matching.core.config import SolverConfig
from app.matching.core.solve import solve
from app.matching.core.warm import warm_up
from app.matching.core.watch import Report
from app.matching.files import default_as_of, instance_of, read_market
from app.vouchers.programmes import load_programme


def main() -> None:
    """Search until the gap is reached, then stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("market", type=Path)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--gap", type=float, default=0.07)
    parser.add_argument("--limit", type=float, default=900.0)
    arguments = parser.parse_args()
    settings = {key.partition(".")[2]: value for key, _, value in (each.partition("=") for each in arguments.set)}
    warm_up()
    began = time.monotonic()
    market = read_market(arguments.market)
    instance = instance_of(market, (load_programme("open-example", settings),), default_as_of(market), None)
    reached: list[tuple[float, float]] = []
    last: list[float] = []

    def look(report: Report) -> None:
        if report.gap is not None:
            last[:] = [report.gap]
            if report.gap <= arguments.gap and not reached:
                reached.append((time.monotonic() - began, report.gap))

    solve(
        instance,
        SolverConfig(time_limit_s=arguments.limit, workers=min(64, os.cpu_count() or 1)),
        progress=look,
        cancelled=lambda: bool(reached),
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        json.dumps(
            {
                "requests": len(instance.requests),
                "seconds": round(reached[0][0], 2) if reached else None,
                "gap": round(reached[0][1], 5) if reached else (round(last[0], 5) if last else None),
                "peak_rss_mib": peak // 1024 if sys.platform != "darwin" else peak // 1024**2,
            }
        )
    )


if __name__ == "__main__":
    main()
