"""A page of tables as PDF, with Chinese text and no font file: ReportLab's own encoding of a font that viewers have.

ReportLab is an extra (`pdf`) and has no types, so it is imported where it is used and only here.
"""

from collections.abc import Sequence
from html import escape
from importlib import import_module
from typing import Any, BinaryIO, Final

_FONT: Final = "STSong-Light"
_MARGIN_MM: Final = 18
_WIDTHS_MM: Final = (84, 28, 30, 32)
_FACTS_MM: Final = (42, 132)


def write_pdf(
    target: BinaryIO,
    title: str,
    facts: Sequence[tuple[str, str]],
    rows: Sequence[Sequence[str]],
    notes: Sequence[str],
) -> None:
    """Write a document on A4.

    Args:
        target: where to.
        title: its heading, and the file's title.
        facts: names and values.
        rows: a table of four columns, the first row its head; all but the first column are amounts.
        notes: paragraphs at the end.

    Raises:
        ModuleNotFoundError: where ReportLab is not installed.
    """
    platypus, metrics, fonts = (
        import_module(f"reportlab.{name}") for name in ("platypus", "pdfbase.pdfmetrics", "pdfbase.cidfonts")
    )
    metrics.registerFont(fonts.UnicodeCIDFont(_FONT))
    text, heading, amount = _styles()

    def cell(value: str, style: Any) -> Any:
        return platypus.Paragraph(escape(value), style)

    unit: float = import_module("reportlab.lib.units").mm
    story = [
        cell(title, heading),
        _table(platypus, [[cell(name, text), cell(value, text)] for name, value in facts], _FACTS_MM, unit),
        platypus.Spacer(1, 5 * unit),
        _table(
            platypus,
            [[cell(first, text), *(cell(value, amount) for value in rest)] for first, *rest in rows],
            _WIDTHS_MM,
            unit,
        ),
        platypus.Spacer(1, 4 * unit),
        *(cell(note, text) for note in notes),
    ]
    margins = {f"{side}Margin": _MARGIN_MM * unit for side in ("left", "right", "top", "bottom")}
    # Without a time or a random id of its own, so that the same page is the same file.
    document = platypus.SimpleDocTemplate(target, title=title, invariant=1, **margins)
    document.build(story)


def _styles() -> tuple[Any, Any, Any]:
    styles = import_module("reportlab.lib.styles")
    right: int = import_module("reportlab.lib.enums").TA_RIGHT
    text = styles.ParagraphStyle("text", fontName=_FONT, fontSize=9.5, leading=14, wordWrap="CJK")
    heading = styles.ParagraphStyle("heading", parent=text, fontSize=15, leading=22, spaceAfter=10)
    return text, heading, styles.ParagraphStyle("amount", parent=text, alignment=right)


def _table(platypus: Any, cells: list[list[Any]], widths_mm: Sequence[int], unit: float) -> Any:
    grey: Any = import_module("reportlab.lib.colors").grey
    style = [("GRID", (0, 0), (-1, -1), 0.5, grey), ("VALIGN", (0, 0), (-1, -1), "TOP")]
    return platypus.Table(cells, colWidths=[width * unit for width in widths_mm], style=style)
