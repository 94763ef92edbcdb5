"""Draws a clearing in a process of its own: `python -m app.reports.plot_process svg|png`, started by the service.

Matplotlib is not safe in threads, and a large clearing takes seconds: here neither touches the service. Standard input
brings a line with the number of bytes of the instance, those, then the result's; both are compressed JSON, as they are
stored. Standard output takes the picture.
"""

import sys

from app.matching.results import unpack_clearing
from app.reports.clearing_plot import render_clearing


def main() -> None:
    """Draw what standard input brings."""
    size = int(sys.stdin.buffer.readline())
    instance, result = unpack_clearing(sys.stdin.buffer.read(size), sys.stdin.buffer.read())
    sys.stdout.buffer.write(render_clearing(instance, result.run, result.outcome, sys.argv[1]))


if __name__ == "__main__":
    main()
