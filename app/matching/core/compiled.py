"""The one place that touches Numba: `compiled` functions take arrays and named tuples of arrays."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba  # pyright: ignore[reportMissingTypeStubs]

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function to machine code at its first call, kept on disk, without the interpreter's lock."""
    jit = cast("Callable[..., Callable[[F], F]]", numba.njit)  # pyright: ignore[reportUnknownMemberType]
    return jit(cache=True, nogil=True)(function)
