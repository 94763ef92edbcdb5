"""The one place that touches Numba: `compiled` functions take arrays and named tuples of arrays."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba  # pyright: ignore[reportMissingTypeStubs]

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
