"""Pictures of stored clearings, drawn in a process of their own."""

import asyncio
import hashlib
import sys
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
from app.reports.errors import PLOT_TOO_LARGE, PLOT_UNAVAILABLE

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
    async with context.heavy:
        return Picture(etag, await _draw(kind, file.instance, file.outcome, seconds))


async def _draw(kind: PlotFormat, instance: bytes, outcome: bytes, seconds: float) -> bytes:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "app.reports.plot_process",
        kind.value,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            picture, _ = await process.communicate(b"%d\n%b%b" % (len(instance), instance, outcome))
    except TimeoutError:
        raise PLOT_TOO_LARGE.problem(seconds=f"{seconds:g}") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"the drawing process ended with code {process.returncode}; its log says why")
    return picture
