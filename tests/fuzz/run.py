"""Throw what the OpenAPI document allows, and what it does not, at the service, signed in as each role.

`python -m tests.fuzz.run CASES [ROLE …]` starts a service on a market with a past and lets schemathesis send about so
many cases as each role; it ends with 1 where any answer is a 5xx or differs from the document.
"""

import math
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import httpx

from tests.faults.client import World
from tests.faults.harness import ROOT, Service, cardhour
from tests.faults.load import make_past

ROLES: Final = ("desk", "auditor", "buyer", "supplier", "stranger")
CONFIG: Final = Path(__file__).with_name("schemathesis.toml")


def key_of(role: str, world: World, service: Service) -> str | None:
    """Return a key of a role with something to see; a stranger has none."""
    if role == "stranger":
        return None
    if role == "auditor":
        made = cardhour(service.data_dir, "keys", "create", "--local", "--role", role, "--name", role, "--quiet")
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()
    return world.keys["desk" if role == "desk" else f"{role}-0"]


def fuzz(role: str, key: str | None, url: str, cases: int, seed: int) -> bool:
    """Send cases as one role; return whether all was well."""
    document = httpx.get(f"{url}/openapi.json").json()
    operations = sum(len(path) for path in document["paths"].values())
    each = max(1, math.ceil(cases / operations))
    command = [
        str(Path(sys.executable).with_name("st")),
        "--config-file",
        str(CONFIG),
        "run",
        f"{url}/openapi.json",
        "--max-examples",
        str(each),
        "--seed",
        str(seed),
    ]
    if key is not None:
        command += ["--header", f"Authorization: Bearer {key}"]
    print(f"== {role}: {each} cases for each of {operations} operations, CARDHOUR_FUZZ_SEED={seed}", flush=True)
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def main() -> int:
    cases, *roles = sys.argv[1:]
    seed = int(os.environ.get("CARDHOUR_FUZZ_SEED") or random.randrange(2**32))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_past(folder)
        service = Service(folder / "data")
        service.start()
        try:
            world = World.read(folder / "world.json")
            well = [fuzz(role, key_of(role, world, service), service.url, int(cases), seed) for role in roles or ROLES]
        finally:
            service.stop()
        verified = cardhour(service.data_dir, "verify", timeout=600)
        print(verified.stdout + verified.stderr)
        return int(not all(well) or verified.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
