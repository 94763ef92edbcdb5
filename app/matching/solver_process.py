"""The solver as a process of its own: `python -m app.matching.solver_process`, started and watched by the worker.

Standard input brings one line with a length, then as many bytes of JSON: `{"instance", "config"}`. Standard output
takes a line of JSON for each report of progress, then one with `result_bytes` or `refused`, then the result. Once
standard input closes, whoever asked is gone and so is this process.
"""

import json
import os
import resource
import sys
import threading
import time
from typing import Any

from app.matching.core.codec import instance_from_json, instance_sha256
from app.matching.core.cpsat import ModelTooLargeError
from app.matching.core.limits import InstanceError
from app.matching.core.solve import solve
from app.matching.core.warm import warm_up
from app.matching.core.watch import Report
from app.matching.results import result_to_json, run_from_json

REPORT_EVERY_S = 0.25


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


def _say(line: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(line).encode() + b"\n")
    sys.stdout.buffer.flush()


class _Reporter:
    """Says where the run is, not too often."""

    def __init__(self) -> None:
        self._told = 0.0

    def __call__(self, report: Report) -> None:
        now = time.monotonic()
        if now - self._told >= REPORT_EVERY_S:
            self._told = now
            bound = None if report.bound is None else int(report.bound)
            _say({"phase": report.phase, "best": report.best, "bound": bound})


def _peak_rss_mib() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform != "darwin" else peak // 1024**2


def main() -> None:
    """Solve what standard input brings."""
    size = int(sys.stdin.buffer.readline())
    job = json.loads(sys.stdin.buffer.read(size))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    run = run_from_json(job["config"])
    show = _Reporter()
    # The first run on a machine compiles for a minute: outside the time that the desk gives to the search.
    show(Report("compile", None, None, 0.0))
    warm_up()
    began = time.monotonic()
    try:
        instance = instance_from_json(job["instance"])
        outcome = solve(instance, run.solver, progress=show)
    except (InstanceError, ModelTooLargeError) as error:
        _say({"refused": str(error)})
        return
    body = result_to_json(
        instance_sha256(instance),
        run,
        outcome,
        (),
        seconds=time.monotonic() - began,
        peak_rss_mib=_peak_rss_mib(),
    )
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    _say({"result_bytes": len(text)})
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
