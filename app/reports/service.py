"""Pictures of stored clearings and of reports, drawn in a process of their own; reports as files."""

import asyncio
import hashlib
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from importlib.util import find_spec
from typing import Final
from uuid import UUID

from app import __version__
from app.accounts.callers import Caller
from app.kit.web import AppContext
from app.matching import clearing_service as clearings
from app.reports.errors import PLOT_TOO_LARGE, PLOT_UNAVAILABLE, REPORT_PLOT_SLOW, REPORT_PLOT_UNAVAILABLE
from app.reports.schemas import BurnDownOut, EffectOut, ReportFormat, TotalsOut
from app.reports.tables import write_csv

_SECONDS: Final = 60.0


class PlotFormat(StrEnum):
    """What a picture is drawn as."""

    SVG = "svg"
    PNG = "png"

    @property
    def media_type(self) -> str:
        """The media type of such a file."""
        return "image/svg+xml" if self is PlotFormat.SVG else "image/png"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's ETag and its bytes; None where the caller has them already."""

    etag: str
    content: bytes | None


async def plot_clearing(
    context: AppContext,
    caller: Caller,
    clearing_id: UUID,
    kind: PlotFormat,
    *,
    known: frozenset[str] = frozenset(),
    seconds: float = _SECONDS,
) -> Picture:
    """Draw a clearing that succeeded (the desk, auditors). No session is held while drawing.

    Args:
        context: the application's.
        caller: who asks.
        clearing_id: which clearing; its outcome never changes, so neither does its picture under one release.
        kind: what to draw it as.
        known: ETags that the caller has pictures of.
        seconds: after which drawing is given up.

    Raises:
        Problem: `not_found`, `no_outcome`, `plot_unavailable`, `plot_too_large`.
    """
    async with context.database.read(caller.scope) as session:
        file = await clearings.get_file(session, caller, clearing_id)
    if find_spec("matplotlib") is None:
        raise PLOT_UNAVAILABLE.problem()
    what = f"{clearing_id} {kind.value} {__version__} {version('matplotlib')}"
    etag = f'"{hashlib.sha256(what.encode()).hexdigest()[:32]}"'
    if etag in known or "*" in known:
        return Picture(etag, None)
    cleared = b"%d\n%b%b" % (len(file.instance), file.instance, file.outcome)
    async with context.heavy:
        picture = await _draw("plot_process", (kind.value,), cleared, seconds)
    if picture is None:
        raise PLOT_TOO_LARGE.problem(seconds=f"{seconds:g}")
    return Picture(etag, picture)


async def write_report(
    context: AppContext, name: str, report: BurnDownOut | TotalsOut | EffectOut, kind: ReportFormat
) -> bytes:
    """Return a report as a file of a kind. No session is held meanwhile.

    Raises:
        Problem: `report_plot_unavailable`, `report_plot_slow`.
    """
    if kind is ReportFormat.JSON:
        return report.model_dump_json().encode()
    if kind is ReportFormat.CSV:
        return write_csv(report)
    if find_spec("matplotlib") is None:
        raise REPORT_PLOT_UNAVAILABLE.problem()
    async with context.heavy:
        picture = await _draw("report_process", (kind.value, name), report.model_dump_json().encode(), _SECONDS)
    if picture is None:
        raise REPORT_PLOT_SLOW.problem(seconds=f"{_SECONDS:g}")
    return picture


async def _draw(module: str, arguments: Sequence[str], content: bytes, seconds: float) -> bytes | None:
    """Return what a drawing process makes of its standard input; None where it takes longer."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"app.reports.{module}",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            picture, _ = await process.communicate(content)
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"the drawing process ended with code {process.returncode}; its log says why")
    return picture
