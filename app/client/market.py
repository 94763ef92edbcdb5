"""The files of a market folder, as an import takes them."""

from pathlib import Path
from typing import Final

from app.client.errors import ClientError

KINDS: Final = ("suppliers", "buyers", "offers", "requests")
_SUFFIXES: Final = ("csv", "jsonl")


class NoMarket(ClientError):  # noqa: N818
    """A folder holds no market, or a file of it can't be read."""


def market_files(folder: Path, chips: Path | None = None) -> dict[str, bytes]:
    """Return the files of a market, name → content.

    Args:
        folder: where `offers`, `requests`, `buyers` and `suppliers` are, as .csv or .jsonl; not all need be there.
        chips: the chips; else `chips.csv` or `.jsonl` in the folder or up to two above it, else none.

    Raises:
        NoMarket: if there is none, or a file can't be read.
    """
    names = [f"{kind}.{suffix}" for kind in KINDS for suffix in _SUFFIXES]
    paths = {name: folder / name for name in names if (folder / name).is_file()}
    if not paths:
        raise NoMarket(f"{folder} holds none of {', '.join(names)}")
    found = _find_chips(folder.resolve()) if chips is None else chips
    if found is not None:
        paths[f"chips{found.suffix}"] = found
    try:
        return {name: path.read_bytes() for name, path in paths.items()}
    except OSError as error:
        raise NoMarket(f"{error.filename}: {error.strerror}") from None


def _find_chips(folder: Path) -> Path | None:
    places = [place / f"chips.{suffix}" for place in (folder, *folder.parents[:2]) for suffix in _SUFFIXES]
    return next((place for place in places if place.is_file()), None)
