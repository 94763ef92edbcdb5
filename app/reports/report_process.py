"""Draws a report in a process of its own: `python -m app.reports.report_process svg|png NAME`, started by the service.

Standard input brings the report as JSON, as the API tells it; standard output takes the picture.
"""

import sys
from typing import Final

from app.reports.report_plot import render_report
from app.reports.schemas import BurnDownOut, EffectOut, TotalsOut

REPORTS: Final = {"burn-down": BurnDownOut, "totals": TotalsOut, "effect": EffectOut}


def main() -> None:
    """Draw what standard input brings."""
    kind, name = sys.argv[1:]
    sys.stdout.buffer.write(render_report(REPORTS[name].model_validate_json(sys.stdin.buffer.read()), kind))


if __name__ == "__main__":
    main()
