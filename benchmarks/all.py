"""Every benchmark as one JSON object: `python benchmarks/all.py [--scale short|full] [--markdown FILE]`.

About five minutes; at full scale, which is the clearing engine's, about an hour, with every result checked.
Exits 1 if one fails, so also if the clearing engine fell behind its guard.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
PARTS: Final = ("capacity", "ledger", "clearing")


def main() -> None:
    """Run one after the other: they would disturb each other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=("short", "full"), default="short")
    parser.add_argument("--markdown", help="write the engine's tables here, or between the marks of a page")
    arguments = parser.parse_args()
    engine = ["--scale", arguments.scale, *(["--verify"] if arguments.scale == "full" else [])]
    engine += ["--markdown", arguments.markdown] if arguments.markdown else []
    report: dict[str, object] = {}
    failed: list[str] = []
    for part in PARTS:
        print(f"== {part}", file=sys.stderr, flush=True)
        command = [sys.executable, str(HERE / f"{part}.py"), *(engine if part == "clearing" else [])]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        report[part] = json.loads(done.stdout) if done.stdout else None
        if done.returncode:
            failed.append(part)
    print(json.dumps(report, ensure_ascii=False, indent=2))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
