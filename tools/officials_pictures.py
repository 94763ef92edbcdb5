"""Draw the pictures of docs/matching/for-officials*.md: `python -m tools.officials_pictures`.

The market in them is small enough to check by hand; what the pictures say of it is computed here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

IMAGES: Final = Path(__file__).resolve().parents[1] / "docs" / "images"
CARDS: Final = 8
HOURS: Final = 12
PRICE: Final = 10
CONGESTION: Final = 3
# The sample market of docs/clearing.md, in CNY.
FIRST_COME, CLEARED, BOUND = 378_955, 467_057, 470_233


@dataclass(frozen=True)
class Need:
    """A request of the example: cards for hours, and the most that it pays, CNY per card-hour."""

    name: str
    cards: int
    hours: int
    most: int

    @property
    def use(self) -> int:
        """Card-hours."""
        return self.cards * self.hours

    @property
    def gain(self) -> int:
        """What it would have paid at most less what it pays, CNY."""
        return self.use * (self.most - PRICE)


@dataclass(frozen=True)
class Place:
    """Where a need runs: from hour `start` on, on the cards from `card` up."""

    need: Need
    start: int
    card: int


A, B, C, D = Need("A", 5, 6, 14), Need("B", 5, 6, 12), Need("C", 8, 6, 18), Need("D", 3, 6, 15)
IN_ORDER: Final = (Place(A, 0, 0), Place(B, 6, 0), Place(D, 0, 5))
TOGETHER: Final = (Place(C, 0, 0), Place(A, 6, 0), Place(D, 6, 5))

WORDS: Final = {
    "": {
        "first": "First come, first served",
        "together": "Cleared together",
        "block": "{cards} cards × {hours} h",
        "idle": "idle",
        "sum": "{use} of {all} card-hours used; buyers' surplus {gain} CNY",
        "left_first": "C finds no room",
        "left_together": "B finds no room",
        "gap_title": "How far from the best? Buyers' surplus in the sample market, CNY",
        "bars": "First come|Clearing|Upper bound",
        "gap": "what could still be missing: at most {gap} %",
        "price": "Congestion price, CNY per card-hour",
        "later": "B fits, if it can wait",
        "deadline": "deadline of all four: 12:00",
    },
    ".zh-CN": {
        "first": "先到先得",
        "together": "统一撮合",
        "block": "{cards} 卡 × {hours} 小时",
        "idle": "空闲",
        "sum": "共 {all} 卡时，用去 {use}；需求方剩余 {gain} 元",
        "left_first": "C 无处安放",
        "left_together": "B 无处安放",
        "gap_title": "离最优有多远？示例市场的需求方剩余（元）",
        "bars": "先到先得|统一撮合|上界",
        "gap": "最多还差 {gap}%",
        "price": "拥挤价格（元/卡时）",
        "later": "若能推迟，B 可以安排",
        "deadline": "四个需求的截止时间：12:00",
    },
}
COLOURS: Final = {"A": "#ddf4ff", "B": "#fff8c5", "C": "#dafbe1", "D": "#fbefff"}
STYLE: Final = """  <style>
    .sheet { fill: #ffffff; stroke: #d0d7de; }
    .room { fill: #f6f8fa; stroke: #57606a; }
    .need { stroke: #57606a; }
    .maybe { stroke: #57606a; stroke-dasharray: 5 4; }
    .head { font-size: 16px; font-weight: 600; fill: #1f2328; }
    .line { font-size: 12.5px; fill: #424a53; }
    .soft { font-size: 12.5px; fill: #6e7781; }
    .price { fill: none; stroke: #bc4c00; stroke-width: 2; }
    .value { fill: #54aeff; }
    .bound { fill: #eaeef2; stroke: #57606a; }
    .due { stroke: #cf222e; stroke-dasharray: 3 3; }
  </style>"""
FONTS: Final = "system-ui, 'Segoe UI', 'Noto Sans SC', 'PingFang SC', 'Microsoft YaHei', sans-serif"
WIDE, HIGH = 30, 18


def _sheet(width: int, height: int, title: str, body: Sequence[str]) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" font-family="{FONTS}">',
        f"  <title>{title}</title>",
        STYLE,
        f'  <rect class="sheet" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="10"/>',
        *(f"  {line}" for line in body),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _text(kind: str, x: int, y: int, text: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'


def _box(kind: str, x: int, y: int, width: int, height: int, fill: str = "") -> str:
    paint = f' fill="{fill}"' if fill else ""
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}"{paint}/>'


def _need(words: dict[str, str], need: Need, x: int, y: int, kind: str, label: str = "") -> list[str]:
    width, height = need.hours * WIDE, need.cards * HIGH
    told = label or words["block"].format(cards=need.cards, hours=need.hours)
    middle = x + width // 2
    return [
        _box(kind, x, y, width, height, COLOURS[need.name]),
        _text("head", middle, y + height // 2 - 2, need.name, "middle"),
        _text("line", middle, y + height // 2 + 16, told, "middle"),
    ]


def _gantt(words: dict[str, str], places: Sequence[Place], x: int, y: int, hours: int) -> list[str]:
    found = [_box("room", x, y, hours * WIDE, CARDS * HIGH)]
    for place in places:
        top = y + (CARDS - place.card - place.need.cards) * HIGH
        found += _need(words, place.need, x + place.start * WIDE, top, "need")
    ticks = range(0, hours + 1, 6)
    found += [_text("soft", x + hour * WIDE, y + CARDS * HIGH + 18, f"{hour:02d}:00", "middle") for hour in ticks]
    return found


def total(places: Sequence[Place]) -> tuple[int, int]:
    """Return (card-hours, surplus in CNY) of what is placed."""
    return sum(place.need.use for place in places), sum(place.need.gain for place in places)


def bound_at(price: int) -> int:
    """Return the certificate's bound of the example at a congestion price: all capacity, and what each gains at it."""
    return CARDS * HOURS * price + sum(max(0, need.gain - need.use * price) for need in (A, B, C, D))


def first_come(words: dict[str, str]) -> str:
    """Two plans of the same four needs, side by side."""
    body: list[str] = []
    for x, name, places in ((40, "first", IN_ORDER), (480, "together", TOGETHER)):
        use, gain = total(places)
        body.append(_text("head", x, 36, words[name]))
        body += _gantt(words, places, x, 54, HOURS)
        body.append(_text("line", x, 246, words["sum"].format(use=use, all=CARDS * HOURS, gain=gain)))
        body.append(_text("soft", x, 266, words[f"left_{name}"]))
    body.append(_text("soft", 40 + 9 * WIDE, 54 + HIGH + HIGH // 2 + 5, words["idle"], "middle"))
    return _sheet(880, 286, f"{words['first']} / {words['together']}", body)


def gap(words: dict[str, str]) -> str:
    """The value found and what no outcome can exceed."""
    body = [_text("head", 40, 36, words["gap_title"])]
    for index, (name, value) in enumerate(zip(words["bars"].split("|"), (FIRST_COME, CLEARED, BOUND), strict=True)):
        y = 58 + 40 * index
        body.append(_text("line", 40, y + 18, name))
        body.append(_box("bound" if value == BOUND else "value", 150, y, round(value / 1_000), 26))
        body.append(_text("line", 160 + round(value / 1_000), y + 18, f"{value:,}"))
    missing = f"{(BOUND - CLEARED) / BOUND * 100:.1f}"
    body.append(_text("soft", 150, 194, words["gap"].format(gap=missing)))
    return _sheet(720, 214, words["gap_title"], body)


def price(words: dict[str, str]) -> str:
    """The congestion price by the hour, and where the request left out would fit."""
    x, zero, top = 60, 96, 116
    high = zero - CONGESTION * HIGH
    due, end = x + HOURS * WIDE, x + 18 * WIDE
    body = [
        _text("head", x, 28, words["price"]),
        f'<path class="price" d="M{x} {high} H{due} V{zero} H{end}"/>',
        _text("line", x - 8, high + 4, str(CONGESTION), "end"),
        _text("line", x - 8, zero + 4, "0", "end"),
        *_gantt(words, TOGETHER, x, top, 18),
        *_need(words, B, due, top + (CARDS - B.cards) * HIGH, "maybe", words["later"]),
        f'<path class="due" d="M{due} {high - 8} V{top + CARDS * HIGH}"/>',
        _text("soft", due + 8, high + 4, words["deadline"]),
    ]
    return _sheet(640, 300, words["price"], body)


def pictures() -> dict[str, str]:
    """Return the SVG of each picture by its file's name."""
    drawn: dict[str, Callable[[dict[str, str]], str]] = {"first-come": first_come, "gap": gap, "price": price}
    return {f"{name}{suffix}.svg": draw(words) for suffix, words in WORDS.items() for name, draw in drawn.items()}


def main() -> None:
    """Write the pictures."""
    for name, svg in pictures().items():
        (IMAGES / name).write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
