"""P ↔ cards: 1 P is 1 000 TFLOPS of dense FP16, the measure that programmes and computing centres quote."""

from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Final

TFLOPS_PER_PETAFLOPS: Final = 1000


def petaflops_to_cards(petaflops: Decimal, fp16_tflops: Decimal | None) -> int:
    """Return how many cards of a chip are at least so many P, rounded up to whole cards.

    Raises:
        ValueError: if the chip's dense FP16 speed is unknown.
    """
    return ceil(Fraction(petaflops) * TFLOPS_PER_PETAFLOPS / Fraction(_known(fp16_tflops)))


def cards_to_petaflops(cards: int, fp16_tflops: Decimal | None) -> Decimal:
    """Return how many P so many cards of a chip are, exactly.

    Raises:
        ValueError: if the chip's dense FP16 speed is unknown.
    """
    return cards * _known(fp16_tflops) / TFLOPS_PER_PETAFLOPS


def _known(fp16_tflops: Decimal | None) -> Decimal:
    if fp16_tflops is None:
        raise ValueError("the chip's dense FP16 speed is unknown")
    return fp16_tflops
