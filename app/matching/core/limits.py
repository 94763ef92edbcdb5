"""What an instance may hold: counts, magnitudes and products, checked before any model is built.

Every product that a model forms (`price x cards x hours`, `weight x value`) stays far inside 64 bits under these
limits, so that nothing overflows and no input is a solver bomb.
"""

from typing import Final

MAX_REQUESTS: Final = 500_000
MAX_OFFERS: Final = 20_000
MAX_CHIPS: Final = 20_000
MAX_BUDGETS: Final = 1_000_000
MAX_OPTIONS: Final = 2_000_000
MAX_BLOCKS: Final = 1_000
MAX_TOTAL_BLOCKS: Final = 2_000_000
MAX_ALTERNATIVES: Final = 20
MAX_COMPONENTS: Final = 4
MAX_STEPS: Final = 50_000
MAX_CARDS: Final = 100_000
MAX_BLOCK_HOURS: Final = 20_000
# Hours of all offers together that some request could use; 5 000 offers over 20 000 hours are admitted.
MAX_OFFER_HOURS: Final = 120_000_000
MAX_PAIRS: Final = 60_000_000
MAX_PRICE_FEN: Final = 100_000_000
MAX_BLOCK_FEN: Final = 10**15
MAX_WEIGHT: Final = 1_000
MAX_WEIGHTED_FEN: Final = 10**16
MAX_BUDGET_FEN: Final = 10**17
MAX_REF_LENGTH: Final = 200
# Hours since 1970 that 2000-01-01 and 2200-01-01 are.
MIN_HOUR: Final = 262_968
MAX_HOUR: Final = 2_016_168


class InstanceError(ValueError):
    """An instance that is not one: `path` says where, `code` and the message say what.

    A code that starts with `limit_` names the limit of this module that was passed.
    """

    def __init__(self, path: str, code: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path = path
        self.code = code
        self.detail = detail


def within(path: str, name: str, value: int, low: int, high: int) -> None:
    """Require low ≤ value ≤ high.

    Raises:
        InstanceError: naming the field and its range.
    """
    if not low <= value <= high:
        raise InstanceError(path, f"limit_{name}", f"{name} is {value}, outside {low} to {high}")
