"""Draws a clearing in a process of its own: `python -m app.reports.plot_process svg|png`, started by the service.

Matplotlib is not safe in threads, and a large clearing takes seconds: here neither touches the service. Standard input
brings a line with the number of bytes of the instance, those, then the result's; both are compressed JSON, as they are
stored. Standard output takes the picture.
"""

import json
import sys
import zlib

from app.matching.core.codec import instance_from_json
from app.matching.results import result_from_json
from app.reports.clearing_plot import render_clearing


def main() -> None:
    """Draw what standard input brings."""
    size = int(sys.stdin.buffer.readline())
    instance = instance_from_json(json.loads(zlib.decompress(sys.stdin.buffer.read(size))))
    result = result_from_json(json.loads(zlib.decompress(sys.stdin.buffer.read())))
    sys.stdout.buffer.write(render_clearing(instance, result.run, result.outcome, sys.argv[1]))


if __name__ == "__main__":
    main()
