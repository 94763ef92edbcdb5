"""What a client asked and what it was told, in a file that outlives it: written before it asks and once it knows."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A write as it was sent; a repeat is sent just so."""

    key: str
    who: str
    op: str
    path: str
    body: dict[str, Any]
    if_match: int | None = None
    about: str = ""  # what else the client must know of it after a restart

    def headers(self) -> dict[str, str]:
        more = {} if self.if_match is None else {"If-Match": f'"{self.if_match}"'}
        return {"Idempotency-Key": self.key} | more


@dataclass(frozen=True)
class Told:
    """The answer that a client had for good."""

    status: int
    body: Any

    @property
    def done(self) -> bool:
        return self.status < 400


@dataclass
class Journal:
    """A journal that one process appends to; whole lines, so that a killed one leaves at most a torn last line."""

    path: Path
    file: int = field(init=False)

    def __post_init__(self) -> None:
        self.file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, kind: str, content: dict[str, Any]) -> None:
        # The line break first ends a line that a killed process left torn.
        os.write(self.file, b"\n" + json.dumps({"kind": kind} | content).encode())

    def asked(self, asked: Asked) -> None:
        self.write("asked", asdict(asked))

    def told(self, key: str, told: Told) -> None:
        self.write("told", {"key": key} | asdict(told))

    def close(self) -> None:
        os.close(self.file)


@dataclass
class Record:
    """What journals say: every write in the order asked, the answers by key, and what went wrong."""

    asked: dict[str, Asked] = field(default_factory=dict)
    told: dict[str, Told] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    repeats: int = 0

    @classmethod
    def read(cls, *paths: Path) -> "Record":
        record = cls()
        for path in paths:
            for line in _lines(path):
                kind = line.pop("kind")
                if kind == "asked":
                    record.asked[line["key"]] = Asked(**line)
                elif kind == "told":
                    key = line.pop("key")
                    record.told[key] = Told(**line)
                elif kind == "repeat":
                    record.repeats += 1
                else:
                    record.faults.append(line["fault"])
        return record

    def open(self) -> list[Asked]:
        """What was asked and never answered: it may have happened or not."""
        return [asked for key, asked in self.asked.items() if key not in self.told]

    def acknowledged(self, *ops: str) -> Iterator[tuple[Asked, Told]]:
        """Writes that were acknowledged as done."""
        for key, asked in self.asked.items():
            told = self.told.get(key)
            if told is not None and told.done and (not ops or asked.op in ops):
                yield asked, told

    def counts(self) -> dict[str, int]:
        """How many of each kind were acknowledged, and how many were refused."""
        found: dict[str, int] = {}
        for asked, _ in self.acknowledged():
            found[asked.op] = found.get(asked.op, 0) + 1
        refused = sum(not told.done for told in self.told.values())
        return dict(sorted(found.items())) | {"refused": refused, "repeated": self.repeats}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines):
        if not line:
            continue
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            # Only a killed process tears a line; what it asked was then not sent, what it was told is told again.
            assert not line.endswith("}") or number < len(lines), line
