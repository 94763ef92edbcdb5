"""Markets of at most 12 requests by all three methods, against brute force; prints JSON.

python benchmarks/tiny.py [--markets 1000]
"""

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.matching.core.config import Method
from app.matching.core.objective import rank
from app.matching.core.outcome import Status
from app.matching.core.solve import solve
from app.matching.core.verify import verify
from tests.matching.core.markets import random_market
from tests.matching.core.oracle import optimum


def compare(seed: int) -> Counter[str]:
    """Clear one random market by every method, verify each outcome, and count which of the bar's clauses hold."""
    instance, config = random_market(seed)
    best = optimum(instance, config)
    keys: dict[Method, tuple[int, ...] | None] = {}
    for method in Method:
        chosen = replace(config, method=method)
        outcome = solve(instance, chosen)
        verify(instance, chosen, outcome)
        found = outcome.status in (Status.OPTIMAL, Status.FEASIBLE)
        keys[method] = rank(config, outcome.objectives) if found else None
    first, engine, exact = keys[Method.FCFS], keys[Method.CLEAR], keys[Method.CPSAT]
    # A market whose pins contradict each other has no optimum, and no method may have found one.
    between = engine == best if best is None or engine is None or first is None else first <= engine <= best
    return Counter(markets=1, cpsat_equal=exact == best, clear_between=between, clear_equal=engine == best)


def main() -> None:
    """Count over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markets", type=int, default=1000)
    arguments = parser.parse_args()
    began = time.monotonic()
    total: Counter[str] = Counter()
    for seed in range(arguments.markets):
        total += compare(seed)
    print(json.dumps({**total, "seconds": round(time.monotonic() - began, 1)}))


if __name__ == "__main__":
    main()
