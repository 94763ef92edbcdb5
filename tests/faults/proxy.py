"""A TCP proxy that misbehaves: it is slow, resets, tears replies and swallows them, by the throw of seeded dice."""

import asyncio
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

_CHUNK: Final = 65_536
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


class Fault(StrEnum):
    """What can happen to what passes."""

    LATENCY = "latency"  # it arrives later
    RESET = "reset"  # a request is not passed on: both sides are reset
    LOST_REPLY = "lost_reply"  # the request is done, and its reply never comes: the asker's side is reset
    HALF_REPLY = "half_reply"  # half of the reply's bytes come, then a reset
    BLACK_HOLE = "black_hole"  # nothing comes any more, nor an end


# What a piece of a request and of a reply can meet with; each is dealt before any comes again.
REQUESTS: Final = (Fault.LATENCY, Fault.LATENCY, Fault.RESET)
REPLIES: Final = (Fault.LATENCY, Fault.LATENCY, Fault.LOST_REPLY, Fault.HALF_REPLY, Fault.BLACK_HOLE)


@dataclass
class Deck:
    """Faults to deal, in an order of its dice; shuffled anew when all have come."""

    kinds: tuple[Fault, ...]
    dice: random.Random
    left: list[Fault] = field(default_factory=list)

    def deal(self) -> Fault:
        if not self.left:
            self.left = self.dice.sample(self.kinds, len(self.kinds))
        return self.left.pop()


@dataclass
class Proxy:
    """Passes bytes on to `host:port` or to a socket's path; each piece has its chance of a fault."""

    target: str | tuple[str, int]
    seed: int
    chance: float = 0.0
    requests: tuple[Fault, ...] = REQUESTS
    replies: tuple[Fault, ...] = REPLIES
    port: int = 0
    seen: Counter[Fault] = field(default_factory=Counter)
    _dice: random.Random = field(init=False)
    _decks: dict[bool, Deck] = field(init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._decks = {False: Deck(self.requests, self._dice), True: Deck(self.replies, self._dice)}

    def _throw(self, *, reply: bool) -> Fault | None:
        deck = self._decks[reply]
        if not deck.kinds or self._dice.random() >= self.chance:
            return None
        fault = deck.deal()
        self.seen[fault] += 1
        return fault

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._pass_on(reader, writer)
        except OSError:
            # Either side may be gone at any time: that is what the other then sees too.
            _reset(writer)
        except asyncio.CancelledError:
            # The proxy stops.
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(self.target, str):
            far_reader, far_writer = await asyncio.open_unix_connection(self.target)
        else:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        ways = [
            asyncio.create_task(self._pump(reader, far_writer, reply=False)),
            asyncio.create_task(self._pump(far_reader, writer, reply=True)),
        ]
        try:
            # A fault or an end on one way ends both.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            ended = await asyncio.gather(*ways, return_exceptions=True)
            broken = any(isinstance(each, OSError) for each in ended)
            for each in (writer, far_writer):
                if broken:
                    _reset(each)
                each.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, reply: bool) -> None:
        while piece := await reader.read(_CHUNK):
            fault = self._throw(reply=reply)
            if fault is Fault.LATENCY:
                await asyncio.sleep(self._dice.uniform(0.01, 0.5))
            elif fault is Fault.HALF_REPLY:
                writer.write(piece[: len(piece) // 2])
                await writer.drain()
                raise ConnectionResetError
            elif fault is Fault.BLACK_HOLE:
                # Until the asker's side gives up, which ends the other way and so this one.
                await asyncio.Event().wait()
            elif fault is not None:
                raise ConnectionResetError
            writer.write(piece)
            await writer.drain()

    async def _run(self, ready: threading.Event, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @contextmanager
    def running(self) -> Generator["Proxy"]:
        """Serve in a thread with an event loop of its own."""
        ready, loop, stop = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

        def serve() -> None:
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(self._run(ready, stop))
            loop.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert ready.wait(10)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(20)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset instead of an orderly end."""
    ours = writer.get_extra_info("socket")
    with suppress(OSError):
        if ours.family in (socket.AF_INET, socket.AF_INET6):
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    writer.transport.abort()
