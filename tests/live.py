"""The service on a real port, and the worker, in threads of the test's process, over the test's database."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime

import structlog
import uvicorn

from app.bulk import service as bulk
from app.kit.db import Database
from app.kit.web import AppContext
from app.main import create_app
from app.matching.clearing_run import run_next_clearing


@contextmanager
def serving(context: AppContext) -> Generator[str]:
    """Serve with this context, whose database must be used by no other event loop; yield the address.

    Its log keeps off standard output, where a test reads what a command printed.
    """
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        config = uvicorn.Config(create_app(context), log_config=None, access_log=False, lifespan="on")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the service did not start")
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
            structlog.configure(**before)


@contextmanager
def working(make_database: Callable[[], Database], clock: Callable[[], datetime]) -> Generator[None]:
    """Run imports, exports and clearings as the worker does, in a thread with an event loop of its own."""
    stop = threading.Event()

    async def work() -> None:
        database = make_database()
        try:
            while not stop.is_set():
                if not await bulk.run_next_job(database, clock) and not await run_next_clearing(database, clock):
                    await asyncio.sleep(0.02)
        finally:
            await database.dispose()

    thread = threading.Thread(target=asyncio.run, args=(work(),))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
