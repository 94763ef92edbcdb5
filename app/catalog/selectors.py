"""Chip selectors: how a request says which chips it takes.

A selector is `any`, `domestic`, `class:NAME`, a model's name, or several of these joined by `|`; a chip is accepted
if one of them names it and it has the least memory and speed asked for. Pure: no database, no clock.
"""

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

ANY: Final = "any"
DOMESTIC: Final = "domestic"
CLASS_PREFIX: Final = "class:"
SEPARATOR: Final = "|"
MAX_NAME: Final = 100


@dataclass(frozen=True, slots=True)
class ChipFacts:
    """What is known of a chip model; None is unknown. Speed is dense FP16 TFLOPS, memory GB per card."""

    name: str
    vendor: str | None = None
    fp16_tflops: Decimal | None = None
    memory_gb: Decimal | None = None
    domestic: bool | None = None
    chip_class: str | None = None


@dataclass(frozen=True, slots=True)
class ChipSelector:
    """A parsed selector; `text` is what was written."""

    text: str
    names: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()
    takes_any: bool = False
    takes_domestic: bool = False
    min_memory_gb: Decimal | None = None
    min_fp16_tflops: Decimal | None = None

    @classmethod
    def parse(
        cls, text: str, *, min_memory_gb: Decimal | None = None, min_fp16_tflops: Decimal | None = None
    ) -> "ChipSelector":
        """Return the selector that a text means; only white space is normalised.

        Raises:
            ValueError: if a part is empty or `class:` names no class.
        """
        parts = [" ".join(part.split()) for part in text.split(SEPARATOR)]
        if not all(parts):
            raise ValueError(f"{text!r} has an empty part; write any, domestic, class:NAME, a model, or several with |")
        named = [part for part in parts if part not in (ANY, DOMESTIC)]
        classes = [part.removeprefix(CLASS_PREFIX).strip() for part in named if part.startswith(CLASS_PREFIX)]
        if not all(classes):
            raise ValueError(f"{text!r} names no class after {CLASS_PREFIX}")
        return cls(
            text=text,
            names=frozenset(part for part in named if not part.startswith(CLASS_PREFIX)),
            classes=frozenset(classes),
            takes_any=ANY in parts,
            takes_domestic=DOMESTIC in parts,
            min_memory_gb=min_memory_gb,
            min_fp16_tflops=min_fp16_tflops,
        )

    def accepts(self, chip: ChipFacts) -> bool:
        """Tell whether a chip is one of those asked for. What is unknown of it never satisfies anything."""
        wanted = (
            self.takes_any
            or (self.takes_domestic and chip.domestic is True)
            or chip.name in self.names
            or chip.chip_class in self.classes
        )
        return (
            wanted
            and _at_least(chip.memory_gb, self.min_memory_gb)
            and _at_least(chip.fp16_tflops, self.min_fp16_tflops)
        )

    def unknown(self, names: Collection[str], classes: Collection[str]) -> list[str]:
        """Return the parts that name no chip model and no class of the catalogue, as written, sorted."""
        wrong = [name for name in self.names if name not in names]
        wrong += [f"{CLASS_PREFIX}{name}" for name in self.classes if name not in classes]
        return sorted(wrong)


def check_chip_name(name: str) -> None:
    """Refuse a model's name that a selector could not mean.

    Raises:
        ValueError: if it is empty, too long, reserved, holds `|` or control characters, or spaces other than single.
    """
    check_class_name(name)
    if name in (ANY, DOMESTIC) or name.startswith(CLASS_PREFIX):
        raise ValueError(f"{name!r} means something else in a selector: any, domestic, class:NAME are reserved")


def check_class_name(name: str) -> None:
    """Refuse a class's name that could not stand after `class:`.

    Raises:
        ValueError: if it is empty, too long, holds `|` or control characters, or spaces other than single.
    """
    if not 0 < len(name) <= MAX_NAME:
        raise ValueError(f"a name has 1 to {MAX_NAME} characters")
    if name != " ".join(name.split()) or not name.isprintable():
        raise ValueError(f"{name!r} has control characters, or spaces at its ends or in a row")
    if SEPARATOR in name:
        raise ValueError(f"{name!r} holds {SEPARATOR}, which joins several")


def _at_least(known: Decimal | None, wanted: Decimal | None) -> bool:
    return wanted is None or (known is not None and known >= wanted)
