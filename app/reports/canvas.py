"""What the pictures share: style, fonts for English and Chinese, and a figure as a file, alike each time."""

# pyright: reportUnknownMemberType=false
# Matplotlib's own stubs leave **kwargs without types.

import io
from functools import cache
from typing import Any, Final

from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

FORMATS: Final = ("svg", "png")
TEXT, FAINT = "#1f2933", "#7b8794"
_DPI: Final = 150
_LABEL_LENGTH: Final = 26
_FONTS: Final = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "SimHei",
)
STYLE: Final[dict[str, Any]] = {
    "svg.hashsalt": "cardhour",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "text.parse_math": False,
    "font.size": 9,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": "#cbd2d9",
    "axes.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "axes.spines.top": False,
    "path.simplify": True,
}


def picture_of(figure: Figure, kind: str) -> bytes:
    """Return a figure as one of `FORMATS`, without a date or another trace of when it was drawn."""
    FigureCanvasAgg(figure)
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    picture = io.BytesIO()
    figure.savefig(picture, format=kind, dpi=_DPI, metadata=metadata, facecolor="white")
    return picture.getvalue()


def shown(text: str, otherwise: str) -> str:
    """Return a name in one line, or another where no font here has its letters."""
    line = " ".join(text.split())
    line = line if len(line) <= _LABEL_LENGTH else f"{line[: _LABEL_LENGTH - 1]}…"
    return line if drawable(line) else otherwise


@cache
def _letters(family: str) -> frozenset[int]:
    return frozenset(FT2Font(font_manager.findfont(family)).get_charmap())


@cache
def _families() -> tuple[str, ...]:
    """Return the fonts that are here, the one that comes with Matplotlib first."""
    installed = {entry.name for entry in font_manager.fontManager.ttflist}
    return tuple(name for name in _FONTS if name in installed)


def plain(text: str) -> bool:
    """Whether the first font has all the letters."""
    return all(ord(letter) in _letters(_FONTS[0]) for letter in text if letter != "\n")


def fonts(text: str) -> list[str]:
    """Return the fonts that a text is drawn in."""
    return [_FONTS[0]] if plain(text) else list(_families())


def drawable(text: str) -> bool:
    """Whether the fonts that are here have all the letters."""
    return all(any(ord(letter) in _letters(family) for family in _families()) for letter in text)
