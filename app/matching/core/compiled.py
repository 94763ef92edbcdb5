"""The one place that touches Numba: `compiled` functions take arrays and named tuples of arrays."""

import hashlib
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast

import numba  # pyright: ignore[reportMissingTypeStubs]

HERE = Path(__file__).resolve().parent


def _keep_apart() -> None:
    """Give each version of the core a folder of its own for its machine code.

    Numba looks at a function's own file to see whether its code on disk is stale; what it calls is compiled into it.
    """
    settings = cast("Any", import_module("numba.core.config"))
    folder = Path(settings.CACHE_DIR or HERE / "__pycache__")
    sources = b"".join(path.read_bytes() for path in sorted(HERE.glob("*.py")))
    if os.access(folder if folder.is_dir() else folder.parent, os.W_OK):
        settings.CACHE_DIR = str(folder / f"compiled-{hashlib.sha256(sources).hexdigest()[:16]}")


_keep_apart()

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function to machine code at its first call, kept on disk, without the interpreter's lock."""
    jit = cast("Callable[..., Callable[[F], F]]", numba.njit)  # pyright: ignore[reportUnknownMemberType]
    return jit(cache=True, nogil=True)(function)


def lean(function: F) -> F:
    """Compile a function that makes no arrays: without counting references, most of the time of a short call.

    Callers pass dozens of arrays down, and each would be counted up and down, atomically, at every call.
    """
    jit = cast("Callable[..., Callable[[F], F]]", numba.njit)  # pyright: ignore[reportUnknownMemberType]
    return jit(cache=True, nogil=True, _nrt=False)(function)
