"""The catalogue that is shipped: chip models with their facts and where these come from."""

import csv
from decimal import Decimal
from importlib import resources
from typing import Final

from app.catalog.models import ChipModel

_TRUTH: Final = {"true": True, "false": False, "": None}


def shipped_chips() -> list[ChipModel]:
    """Return the shipped chip models as new rows, in the file's order; empty columns are unknown."""
    text = (resources.files("app.catalog") / "data" / "chips.csv").read_text("utf-8")
    return [_chip(row) for row in csv.DictReader(text.splitlines())]


def _chip(row: dict[str, str]) -> ChipModel:
    return ChipModel(
        name=row["chip_model"],
        vendor=row["vendor"] or None,
        fp16_tflops=_decimal(row["fp16_tflops"]),
        memory_gb=_decimal(row["memory_gb"]),
        domestic=_TRUTH[row["domestic"]],
        chip_class=row["class"] or None,
        source=row["source"] or None,
    )


def _decimal(text: str) -> Decimal | None:
    return Decimal(text) if text else None
