"""A scarce market of our own for the guard in CI: gangs, blocks, half of the suppliers partners; alike on any machine.

Python's `random.Random(text)` gives the same numbers in every version from 3.11 on for what is used here.
"""

import csv
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from app.matching.market_columns import COLUMNS

START: Final = datetime(2026, 12, 1, tzinfo=UTC)
HOURS: Final = 168
_MODELS: Final = 6


def write_scarce_market(folder: Path, *, requests: int = 360, offers: int = 12, seed: int = 1) -> None:
    """Write market files: demand of about 1.2 times what is offered, up to six candidate offers a request."""
    dice = random.Random(f"cardhour-{requests}-{offers}-{seed}")
    prices = [round(dice.uniform(4, 20), 2) for _ in range(_MODELS)]
    rows: dict[str, list[list[Any]]] = {
        "chips.csv": [[f"model-{m}", "vendor", "", 80, "false", f"class-{m // 2}"] for m in range(_MODELS)],
        "suppliers.csv": [[f"s{i}", "city", "yes" if i % 2 else "no"] for i in range(6)],
        "buyers.csv": [[f"b{i:02d}", "startup", 1_000_000, "city", "clean", "none"] for i in range(40)],
        "offers.csv": [_offer(dice, i, prices) for i in range(offers)],
        "requests.csv": [_request(dice, i, prices) for i in range(requests)],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in rows.items():
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS[name], *lines])


def _offer(dice: random.Random, i: int, prices: list[float]) -> list[Any]:
    model = i % _MODELS
    low = dice.randrange(0, HOURS // 3)
    price = round(prices[model] * dice.uniform(0.5, 1.0), 2)
    cards = dice.choice([16, 32, 32, 64])
    return [
        f"o{i:02d}", f"s{i % 6}", f"region-{i % 3}", f"model-{model}", cards, 8, prices[model], price, 100,
        _stamp(low), _stamp(dice.randrange(2 * HOURS // 3, HOURS)),
    ]  # fmt: skip


def _request(dice: random.Random, i: int, prices: list[float]) -> list[Any]:
    hours = dice.choice([2, 4, 8, 8, 16, 24, 48, 72])
    low = dice.randrange(0, HOURS - hours)
    high = min(HOURS, low + hours + dice.randrange(0, 2 * hours + 24))
    models = dice.sample(range(_MODELS), dice.choice([1, 1, 2, 3]))
    blocks = dice.choice([1, 1, 1, 2, 3])
    return [
        f"r{i:03d}", f"b{dice.randrange(40):02d}", _stamp(low - dice.randrange(1, 100)),
        "|".join(f"model-{model}" for model in models), dice.choice([1, 1, 2, 4, 8, 8, 16]), hours,
        _stamp(low), _stamp(high), f"{prices[models[0]] * dice.uniform(0.35, 1.1):.2f}", dice.choice([1, 1, 1, 2, 5]),
        blocks, dice.randrange(1, blocks + 1),
    ]  # fmt: skip


def _stamp(hours: int) -> str:
    return (START + timedelta(hours=hours)).isoformat()
