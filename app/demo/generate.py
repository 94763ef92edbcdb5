"""Write the sample market: made-up suppliers and buyers, real chip models, list prices as published.

Run `python -m app.demo.generate` to write `app/demo/market/` again; the same seed gives the same files. Times are
from a fixed origin: `import --start-at` shifts them to the present. Offers are at 50–60 % of their list price, as
Beijing's programme planned it (15–20 CNY per card-hour of an A100-class card); every other figure is assumed.
"""

import csv
import io
import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from app.matching.market_columns import COLUMNS

MARKET: Final = Path(__file__).resolve().parent / "market"
ORIGIN: Final = datetime(2026, 12, 1, tzinfo=UTC)
HOURS: Final = 14 * 24
_SEED: Final = 20261201
_FLEXIBLE: Final = 46
_NUMERALS: Final = "一二三四五六七八九"

_SUPPLIER_CITIES: Final = (
    ("北京", "yes"),
    ("上海", "yes"),
    ("深圳", "yes"),
    ("杭州", "no"),
    ("成都", "yes"),
    ("贵阳", "yes"),
    ("乌兰察布", "yes"),
    ("呼和浩特", "no"),
    ("合肥", "yes"),
    ("武汉", "no"),
    ("庆阳", "yes"),
    ("中卫", "no"),
)
# Supplier number, chip model, cards, cards per node, list price in fen, interconnect in Gbit/s, first and last hour.
_OFFERS: Final = (
    (1, "A100 80G", 16, 8, 2000, 200, 0, 336),
    (1, "L20", 8, 8, 720, 100, 0, 336),
    (2, "H800", 16, 8, 3980, 400, 0, 192),
    (2, "A800", 16, 8, 1950, 200, 24, 336),
    (2, "RTX 4090", 8, 8, 690, 25, 0, 336),
    (3, "L40S", 8, 8, 1540, 100, 0, 336),
    (3, "RTX 4090", 16, 8, 660, 25, 0, 336),
    (4, "A100 40G", 16, 8, 1680, 100, 0, 168),
    (4, "H20", 16, 8, 1180, 400, 0, 240),
    (5, "Ascend 910B", 16, 8, 1580, 100, 0, 336),
    (5, "Ascend 910A", 16, 8, 780, 100, 0, 336),
    (6, "Ascend 910B3", 64, 8, 1720, 200, 48, 240),
    (6, "T4", 8, 4, 320, 10, 0, 336),
    (7, "Ascend 910C", 24, 8, 3450, 400, 0, 300),
    (7, "Ascend 910B", 48, 8, 1500, 200, 0, 288),
    (8, "A800", 16, 8, 1820, 100, 0, 336),
    (8, "V100 32G", 16, 8, 820, 100, 0, 336),
    (9, "BW200", 8, 8, 1560, 100, 0, 336),
    (9, "MetaX C500", 8, 8, 1500, 100, 72, 336),
    (10, "MTT S4000", 8, 8, 640, 50, 0, 336),
    (10, "A10", 8, 4, 560, 25, 0, 336),
    (11, "Ascend 910B", 32, 8, 1510, 100, 0, 336),
    (11, "MLU370-X8", 8, 8, 610, 50, 0, 336),
    (12, "H20", 8, 8, 1120, 200, 0, 336),
    (12, "T4", 8, 4, 300, 10, 24, 336),
)
# What is asked for: selector, weight, list price in fen that a buyer has in mind, gangs it is asked in.
_WISHES: Final[tuple[tuple[str, int, int, tuple[int, ...]], ...]] = (
    ("class:A100-class", 9, 1700, (4, 8, 8, 16, 16, 32)),
    ("class:H100-class", 12, 3700, (8, 8, 8, 16, 16)),
    ("Ascend 910B|Ascend 910B3", 6, 1620, (8, 16, 32, 32)),
    ("domestic", 3, 1400, (8, 16)),
    ("A100 80G|A800", 5, 1920, (4, 8, 16)),
    ("class:V100-class", 5, 760, (2, 4, 8, 8, 16)),
    ("RTX 4090", 4, 680, (2, 4, 8, 8)),
    ("H20", 3, 1150, (8, 16)),
    ("class:T4-class", 2, 320, (1, 2, 4)),
    ("any", 2, 620, (1, 2, 8)),
)
# Requests that nothing here can meet, or hardly: buyer, chips, cards, hours, first hour, deadline, price in fen,
# priority, blocks, least blocks.
_PLAIN: Final = (
    (0, "class:A100-class", 256, 72.0, 24, 240, 1150, 2, 1, 1),
    (3, "class:H100-class", 64, 48.0, 12, 200, 2400, 1, 1, 1),
    (5, "A100 80G", 8, 96.0, 6, 120, 420, 1, 1, 1),
    (8, "class:H100-class", 8, 72.0, 0, 160, 900, 1, 1, 1),
    (11, "Ascend 910B", 16, 48.5, 30, 60, 980, 1, 1, 1),
    (14, "RTX 4090", 4, 30.0, 8, 34, 420, 1, 1, 1),
    (17, "MI300X", 8, 24.0, 12, 120, 2600, 1, 1, 1),
    (20, "A100 80G|A800|A100 40G", 8, 48.0, 24, 300, 1150, 1, 4, 2),
    (23, "class:V100-class", 4, 36.5, 10, 310, 520, 1, 6, 3),
    (25, "class:H100-class", 8, 60.0, 20, 260, 2450, 3, 3, 1),
    (28, "Ascend 910B|Ascend 910B3", 16, 40.0, 16, 300, 960, 1, 3, 3),
    (31, "Ascend 910C", 16, 120.0, 60, 200, 2150, 1, 1, 1),
    (33, "class:A100-class", 64, 48.0, 60, 280, 1080, 4, 2, 1),
    (35, "H800", 16, 100.0, 0, 130, 2500, 5, 1, 1),
)
_CITIES: Final = ("北京", "上海", "深圳", "杭州", "成都", "南京", "苏州", "西安", "广州", "武汉")


def generate() -> dict[str, str]:
    """Return the market's files: name → CSV text."""
    chance = random.Random(_SEED)  # noqa: S311  a fixed seed is the point
    rows = {
        "suppliers.csv": _suppliers(),
        "offers.csv": _offers(chance),
        "buyers.csv": _buyers(chance),
        "requests.csv": _requests(chance),
    }
    return {name: _csv(COLUMNS[name], table) for name, table in rows.items()}


def numeral(number: int) -> str:
    """Return a whole number from 1 to 99 in Chinese: 12 → 十二."""
    tens, ones = divmod(number, 10)
    head = "" if tens == 0 else "十" if tens == 1 else f"{_NUMERALS[tens - 1]}十"
    return head + ("" if ones == 0 else _NUMERALS[ones - 1])


def _suppliers() -> Iterable[Sequence[object]]:
    for number, (city, partner) in enumerate(_SUPPLIER_CITIES, 1):
        yield f"示例智算中心{numeral(number)}", city, partner


def _offers(chance: random.Random) -> Iterable[Sequence[object]]:
    for number, (supplier, chip, cards, node, list_fen, gbps, first, last) in enumerate(_OFFERS, 1):
        price_fen = list_fen * chance.randrange(500, 601, 5) // 1000
        yield (
            f"offer-{number:02d}",
            f"示例智算中心{numeral(supplier)}",
            _SUPPLIER_CITIES[supplier - 1][0],
            chip,
            cards,
            node,
            _cny(list_fen),
            _cny(price_fen),
            gbps,
            _time(first * 60),
            _time(last * 60),
        )


def _buyer_names() -> list[tuple[str, str]]:
    kinds = (("示例初创", "startup", 22), ("示例中小企业", "sme", 8), ("示例研究院", "institute", 6))
    return [(f"{name}{numeral(number)}", kind) for name, kind, count in kinds for number in range(1, count + 1)]


def _buyers(chance: random.Random) -> Iterable[Sequence[object]]:
    revenue = {"startup": (0, 8_000_000), "sme": (8_000_000, 90_000_000), "institute": (0, 1)}
    for number, (name, kind) in enumerate(_buyer_names(), 1):
        low, high = revenue[kind]
        yield (
            name,
            kind,
            chance.randrange(low, high),
            chance.choice(_CITIES),
            "flagged" if number == 13 else "clean",  # noqa: PLR2004  one of them, so that rules have a case
            "national" if kind == "institute" and number % 3 == 0 else "provincial" if number % 9 == 0 else "none",
        )


def _requests(chance: random.Random) -> Iterable[Sequence[object]]:
    """Yield the requests in the order of submission, all within the first hour."""
    names = [name for name, _ in _buyer_names()]
    rows = [_wish(chance, number % len(names)) for number in range(_FLEXIBLE)] + list(_PLAIN)
    chance.shuffle(rows)
    for number, (buyer, chips, cards, hours, first, last, fen, priority, blocks, least) in enumerate(rows, 1):
        yield (
            f"request-{number:02d}",
            names[buyer],
            _time(number - 1),
            chips,
            cards,
            f"{hours:g}",
            _time(first * 60),
            _time(last * 60),
            _cny(fen),
            priority,
            blocks,
            least,
        )


def _wish(chance: random.Random, buyer: int) -> tuple[int, str, int, float, int, int, int, int, int, int]:
    chips, _, list_fen, gangs = chance.choices(_WISHES, [weight for _, weight, _, _ in _WISHES])[0]
    hours = chance.choice((8, 24, 24, 36, 48, 48, 72, 72, 96, 96, 120, 168)) + chance.choice((0, 0, 0, 0.5, 0.25))
    first = chance.randrange(1, 180)
    slack = int(hours * chance.uniform(0.2, 2.0)) + chance.randrange(2, 48)
    last = min(HOURS, first + int(hours) + slack)
    fen = list_fen * chance.randrange(50, 72) // 100
    blocks = chance.choice((1, 1, 1, 1, 1, 1, 2, 3))
    least = chance.randrange(1, blocks + 1)
    priority = chance.choice((1, 1, 1, 1, 2, 3))
    return buyer, chips, chance.choice(gangs), hours, first, last, fen, priority, blocks, least


def _cny(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"


def _time(minutes: int) -> str:
    return (ORIGIN + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def main() -> None:
    """Write the market's files where the package keeps them."""
    MARKET.mkdir(exist_ok=True)
    for name, content in generate().items():
        (MARKET / name).write_text(content, encoding="utf-8", newline="")


if __name__ == "__main__":
    main()
