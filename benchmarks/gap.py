"""Generalised assignment through the clearing's core, against published optima; prints JSON.

Agent j is an offer of its own chip model with capacity c_j for one hour at price 0; job i a request with one
alternative per agent (cards a_ij, 1 hour, most net payment M − cost_ij for a big M); the least cost is n·M less the
best surplus with every job matched.

python benchmarks/gap.py FOLDER [--time-limit 10] [--only TEXT]
"""

import argparse
import csv
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

from app.matching.core.config import Method, SolverConfig
from app.matching.core.instance import Alternative, Chip, Instance, Offer, Request
from app.matching.core.solve import solve
from app.matching.core.verify import verify
from app.matching.core.warm import warm_up

HOUR = 498_000
TARGET = 1.01
MUST = 1.005
SUBMITTED = datetime(2026, 11, 1, tzinfo=UTC)


def read_gap(path: Path, big: int) -> Instance:
    """Return a GAP file (agents, jobs, costs, weights, capacities) as a market of one hour."""
    numbers = [int(word) for word in path.read_text(encoding="ascii").split()]
    agents, jobs = numbers[:2]
    cut = 2 + agents * jobs
    costs, weights, capacities = numbers[2:cut], numbers[cut : cut + agents * jobs], numbers[cut + agents * jobs :]
    names = [f"agent-{j:03d}" for j in range(agents)]
    offers = tuple(
        Offer(name, "supplier", "", name, 1, None, 0, 0, "none", ((HOUR, capacity), (HOUR + 1, 0)))
        for name, capacity in zip(names, capacities[:agents], strict=True)
    )
    requests = tuple(
        Request(
            f"job-{i:04d}",
            "buyer",
            SUBMITTED,
            1,
            1,
            1,
            HOUR,
            HOUR + 1,
            tuple(
                Alternative(names[j], weights[j * jobs + i], 1, worth, worth)
                for j in range(agents)
                for worth in (big - costs[j * jobs + i],)
            ),
        )
        for i in range(jobs)
    )
    return Instance(tuple(Chip(name) for name in names), offers, requests)


def main() -> None:
    """Run every instance of the folder's `optima.csv` that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--time-limit", type=float, default=10.0)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    # No instance's time goes into compiling.
    warm_up()
    rows: list[dict[str, object]] = []
    with (arguments.folder / "optima.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            path = arguments.folder / row["Path"]
            if not path.is_file() or arguments.only not in row["Path"]:
                continue
            rows.append(
                run(path, row["Path"], int(row["Optimum"] or row["Best known solution value"]), arguments.time_limit)
            )
            print(json.dumps(rows[-1]), flush=True)
    worst = max((float(str(row["ratio"])) for row in rows), default=0.0)
    whole = [row for row in rows if row["matched"] == row["jobs"]]
    print(
        json.dumps(
            {
                "instances": len(rows),
                "all_jobs_matched": len(whole),
                "worst_ratio": worst,
                "within_1_percent": sum(1 for row in whole if float(str(row["ratio"])) <= TARGET),
                "within_half_percent": sum(1 for row in whole if float(str(row["ratio"])) <= MUST),
                "equal": sum(1 for row in whole if row["cost"] == row["optimum"]),
            }
        )
    )


def run(path: Path, name: str, optimum: int, time_limit: float) -> dict[str, object]:
    """Clear one instance and return its row of the table."""
    big = 100_000
    instance = read_gap(path, big)
    config = SolverConfig(method=Method.CLEAR, time_limit_s=time_limit, workers=min(8, os.cpu_count() or 1))
    began = time.monotonic()
    outcome = solve(instance, config)
    seconds = time.monotonic() - began
    verify(instance, config, outcome)
    cost = sum(big - match.surplus_fen for match in outcome.matches)
    return {
        "instance": name,
        "jobs": len(instance.requests),
        "matched": len(outcome.matches),
        "cost": cost,
        "optimum": optimum,
        "ratio": round(cost / optimum, 5),
        "status": outcome.status.value,
        "seconds": round(seconds, 2),
    }


if __name__ == "__main__":
    main()
