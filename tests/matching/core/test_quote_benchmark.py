"""The benchmark of quotes on the sample market: what it prints, and that it is quick enough by far."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_it_prints_latencies() -> None:
    command = [sys.executable, "benchmarks/quote.py", "app/demo/market", "--requests", "50"]
    made = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    told = json.loads(made.stdout)
    assert told["requests"] == 50
    assert 0 < told["with_a_place"] <= 50
    assert 0 < told["p50_ms"] <= told["p99_ms"] <= told["max_ms"]
    assert told["p99_cpu_ms"] < told["must_ms"]
