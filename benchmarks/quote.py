"""How long a quote takes against the residual of a cleared market; prints JSON.

Clears a market folder (the reference generator makes L) first come, first served, and asks for the five best places of
random requests: latencies in milliseconds, in process.

python benchmarks/quote.py MARKET [--programme open-example] [--set KEY=VALUE …] [--requests 1000] [--seed 1]
"""

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

from app.matching.core.clear import first_come
from app.matching.core.columns import Columns, build_columns
from app.matching.core.config import SolverConfig
from app.matching.core.outcome import Match
from app.matching.core.pins import place_pins
from app.matching.core.places import Places
from app.matching.files import default_as_of, instance_of, read_market
from app.vouchers.programmes import load_programme

PLACES = 5
MUST_MS = 20.0
AIM_MS = 2.0


def quote_latencies(columns: Columns, matches: Sequence[Match], requests: int, seed: int) -> dict[str, float | int]:
    """Ask for the best places of random requests of a market after a clearing; return the latencies.

    Args:
        columns: Those of the market.
        matches: What was cleared; the quotes go against what they leave.
        requests: How many requests are asked about, drawn with replacement.
        seed: For the draw.
    """
    places = Places(columns, matches)
    dice = random.Random(seed)
    asked = [dice.choice(columns.instance.requests) for _ in range(requests)]
    # The first call loads the compiled code.
    places.best(asked[0], PLACES)
    taken: list[float] = []
    computed: list[float] = []
    found = 0
    for request in asked:
        began, busy = time.perf_counter(), time.thread_time()
        answer = places.best(request, PLACES)
        computed.append((time.thread_time() - busy) * 1000)
        taken.append((time.perf_counter() - began) * 1000)
        found += bool(answer)
    taken.sort()
    computed.sort()
    at_p99 = min(requests - 1, requests * 99 // 100)
    return {
        "requests": requests,
        "with_a_place": found,
        "p50_ms": round(taken[len(taken) // 2], 3),
        "p99_ms": round(taken[at_p99], 3),
        "max_ms": round(taken[-1], 3),
        # Of the processor alone: what the machine did besides is not counted.
        "p99_cpu_ms": round(computed[at_p99], 3),
        "must_ms": MUST_MS,
        "aim_ms": AIM_MS,
    }


def main() -> None:
    """Clear a market first come, first served, and measure quotes on what is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("market", type=Path)
    parser.add_argument("--programme", default="open-example")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    settings = dict(item.removeprefix(f"{arguments.programme}.").split("=", 1) for item in arguments.set)
    read = read_market(arguments.market)
    programmes = (load_programme(arguments.programme, settings),)
    instance = instance_of(read, programmes, default_as_of(read), None)
    columns = build_columns(instance, SolverConfig())
    cleared = first_come(columns, place_pins(columns))
    sizes = {"market_requests": len(instance.requests), "offers": len(instance.offers)}
    print(json.dumps(sizes | quote_latencies(columns, cleared.matches, arguments.requests, arguments.seed)))


if __name__ == "__main__":
    main()
