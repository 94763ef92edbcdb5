"""Every benchmark at its short scale, as one JSON object: `python benchmarks/all.py`. About three minutes.

Exits 1 if one fails, so also if the clearing engine fell behind its guard.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
PARTS: Final = ("capacity", "ledger", "clearing")


def main() -> None:
    """Run one after the other: they would disturb each other."""
    report: dict[str, object] = {}
    failed: list[str] = []
    for part in PARTS:
        print(f"== {part}", file=sys.stderr, flush=True)
        done = subprocess.run(
            [sys.executable, str(HERE / f"{part}.py")], stdout=subprocess.PIPE, text=True, check=False
        )
        report[part] = json.loads(done.stdout) if done.stdout else None
        if done.returncode:
            failed.append(part)
    print(json.dumps(report, ensure_ascii=False, indent=2))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
