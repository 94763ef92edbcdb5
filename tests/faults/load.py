"""The mixed load: client processes over a market with a past, killed and started again like everything else."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from tests.faults.client import World
from tests.faults.harness import ROOT, Service, desk_key, put_clock
from tests.faults.journal import Record
from tests.faults.stage import wait_for
from tests.faults.world import SUPPLIERS, make_world

# How often something is killed: by default a short form of the suite's; `make faults` takes 30, the nightly run 200.
ROUNDS: Final = int(os.environ.get("CARDHOUR_FAULT_ROUNDS") or "2")
# From so many on it is a long run, as in the other tests here: then everything is run.
LONG: Final = ROUNDS >= 6
SEED: Final = int(os.environ.get("CARDHOUR_FAULT_SEED") or random.randrange(2**32))


@dataclass
class Load:
    """Client processes, each with a journal of its own."""

    world: Path
    seed: int
    folder: Path
    clients: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def reach(self, url: str, patience: float = 10.0) -> None:
        """Let clients reach the service at this address, and wait so many seconds for an answer."""
        there = replace(World.read(self.world), url=url, patience=patience)
        self.world.write_text(json.dumps(asdict(there)), encoding="utf-8")

    def start(self) -> None:
        for number in range(SUPPLIERS):
            self.start_client(number)

    def start_client(self, number: int) -> None:
        with (self.folder / "clients.log").open("ab") as log:
            self.clients[number] = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.faults.client",
                    str(self.world),
                    str(self.journal(number)),
                    str(number),
                    str(self.seed),
                ],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

    def journal(self, number: int) -> Path:
        return self.folder / f"client-{number}.jsonl"

    def kill_client(self, number: int) -> None:
        """Kill one as it is, in the middle of whatever it does; another takes up its journal."""
        self.clients[number].kill()
        self.clients[number].wait()
        self.start_client(number)

    def stop(self) -> None:
        """Let every client finish what it is at."""
        for client in self.clients.values():
            client.send_signal(signal.SIGTERM)
        for client in self.clients.values():
            client.wait(300)

    def kill(self) -> None:
        """End what is left, where a test failed."""
        for client in self.clients.values():
            client.kill()
            client.wait()

    def record(self, *more: Path) -> Record:
        return Record.read(*more, *(self.journal(number) for number in range(SUPPLIERS)))

    def wait_for_writes(self, count: int, seconds: float = 120) -> None:
        """Wait until so many writes more are acknowledged."""
        wanted = self.answers() + count
        wait_for(f"{count} more writes are answered", lambda: self.answers() >= wanted, seconds)

    def answers(self) -> int:
        journals = [self.journal(number) for number in range(SUPPLIERS)]
        return sum(path.read_bytes().count(b'"kind": "told"') for path in journals if path.exists())


@dataclass
class Scene:
    """A service, a market on it, and the clients to come."""

    service: Service
    world: World
    load: Load
    past: Path

    def record(self) -> Record:
        return self.load.record(self.past)


def make_past(folder: Path) -> None:
    """Make the market once, on a service that then stops: every test begins with a copy."""
    service = Service(folder / "data")
    try:
        with put_clock(service) as clock:
            make_world(service, desk_key(service.data_dir), folder, clock)
    finally:
        if service.process is not None and service.process.poll() is None:
            service.process.kill()
            service.process.wait()


def copy_past(past: Path, folder: Path) -> None:
    """Copy the market, owners and all: PostgreSQL insists on its own."""
    subprocess.run(["cp", "-a", f"{past}/.", str(folder)], check=True)


@contextmanager
def opened_scene(folder: Path, seed: int, **settings: str) -> Generator[Scene]:
    """Start a service on a copy of the market; at the end nothing of it runs any more."""
    service = Service(folder / "data", dice=random.Random(seed), settings=settings)
    load = Load(folder / "world.json", seed, folder)
    load.reach(service.url)
    try:
        service.start()
        yield Scene(service, World.read(load.world), load, folder / "past.jsonl")
    finally:
        load.kill()
        if service.process is not None and service.process.poll() is None:
            service.stop()


def hurt(scene: Scene, rounds: int, dice: random.Random, kinds: list[Callable[[], bool]]) -> dict[str, int]:
    """Kill something every second or so, and wait until the service is ready again."""
    order = [kinds[each % len(kinds)] for each in range(rounds)]
    dice.shuffle(order)
    hits: dict[str, int] = {}
    for kill in order:
        time.sleep(dice.uniform(0.3, 1.2))
        # What died in the round before may be on its way back.
        wait_for(f"something to hit: {kill.__name__}", kill, 60)
        hits[kill.__name__] = hits.get(kill.__name__, 0) + 1
        scene.service.wait_ready()
    # Something must have been done under every kill, the last included.
    scene.load.wait_for_writes(10)
    return hits
