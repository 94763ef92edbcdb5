"""Runs a document's ```bash blocks in their order, in one shell, against services really started."""

import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```bash\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: (?P<why>[^>]+) -->\s*\Z")
_PASSES = re.compile(r"<!-- time passes: (?P<time>[0-9]+[hd]|next-quarter) -->\s*\Z")
_CLOCK = Path(__file__).parent / "clock"
_LONG_RUNNING = re.compile(r"cardhour (serve|worker)\b[^\n|&;]*")
_PORT = "127.0.0.1:8000"
DATABASE = "postgresql://postgres@db.example.test:5432/cardhour"

# A service is started in the background, as in a terminal of its own, and waited for.
_PRELUDE = r"""
set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
in_own_terminal() {
  "$@" >>"$CARDHOUR_DATA_DIR.log" 2>&1 </dev/null &
  [ "$2" = serve ] || return 0
  for _ in $(seq 300); do
    curl -fs "http://127.0.0.1:$CARDHOUR_PORT/readyz" >/dev/null && return 0
    kill -0 $! 2>/dev/null || break
    sleep 0.2
  done
  echo "cardhour serve did not come up" >&2; cat "$CARDHOUR_DATA_DIR.log" >&2; exit 1
}
# The clock is put forward; then the worker sweeps at least once.
time_passes() {
  python "$CARDHOUR_DOCS_CLOCK/advance.py" "$1"
  sleep 3
}
"""


@dataclass(frozen=True)
class Block:
    line: int
    text: str
    not_run: str | None
    passes: str | None = None


def documents() -> list[Path]:
    return [ROOT / "README.md", ROOT / "README.zh-CN.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]


def blocks(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        before = text[: match.start()]
        skipped = _NOT_RUN.search(before)
        passes = _PASSES.search(before)
        found.append(
            Block(
                before.count("\n") + 1,
                match["text"],
                skipped["why"] if skipped else None,
                passes["time"] if passes else None,
            )
        )
    return found


def script(found: list[Block]) -> str:
    """The blocks that are to be run as one script; each says where it begins, for a failure's sake."""
    parts = [_PRELUDE]
    to_run = [block for block in found if block.not_run is None]
    if not any(block.text.strip().startswith("cardhour serve") for block in to_run):
        parts.append("in_own_terminal cardhour serve")
    for block in to_run:
        parts.append(f"echo '@@ line {block.line}' >&2")
        if block.passes is not None:
            parts.append(f"time_passes {block.passes}")
        command = block.text.strip()
        parts.append(f"in_own_terminal {command}" if _LONG_RUNNING.fullmatch(command) else block.text)
    return "\n".join(parts)


def run(found: list[Block], folder: Path, database_url: str) -> subprocess.CompletedProcess[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CARDHOUR_")}
    environment.pop("DATABASE_URL", None)
    environment |= {
        "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
        "CARDHOUR_DATA_DIR": str(folder / "data"),
        "CARDHOUR_PORT": str(port),
        "CARDHOUR_API_URL": f"http://127.0.0.1:{port}",
        "COLUMNS": "160",
    }
    if any(block.passes for block in found):
        clock = folder / "clock"
        clock.write_text("0", encoding="ascii")
        environment |= {
            "CARDHOUR_TEST_CLOCK": str(clock),
            "CARDHOUR_DOCS_CLOCK": str(_CLOCK),
            "CARDHOUR_SWEEP_SECONDS": "1",
            "PYTHONPATH": f"{_CLOCK}{os.pathsep}{ROOT}",
        }
    text = script(found).replace(_PORT, f"127.0.0.1:{port}").replace(DATABASE, database_url)
    return subprocess.run(
        ["bash", "-c", text],
        cwd=ROOT,
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        stdin=subprocess.DEVNULL,
    )
