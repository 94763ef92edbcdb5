"""`cardhour serve`: the API in this process, a worker beside it that is started again when it dies."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from types import FrameType
from typing import Final

import structlog
import uvicorn

from app.kit.db import APP_ROLE
from app.main import create_app
from app.runtime import Runtime
from app.worker import watch_embedded

_log: Final = structlog.get_logger("cardhour.serve")
_RESTART_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 15.0


async def _keep_worker() -> None:
    """Run `cardhour worker` as a child; it ends by itself when this process is gone."""
    while True:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app.cli", "worker", "--follow-parent", stdin=subprocess.PIPE
        )
        try:
            code = await child.wait()
        except asyncio.CancelledError:
            child.terminate()
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await child.wait()
            if child.returncode is None:
                child.kill()
                await child.wait()
            raise
        _log.warning("worker_ended", code=code)
        await asyncio.sleep(_RESTART_SECONDS)


@asynccontextmanager
async def _beside(*coroutines: asyncio.Task[None]) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        for task in coroutines:
            task.cancel()
        await asyncio.gather(*coroutines, return_exceptions=True)


class _Server(uvicorn.Server):
    """uvicorn's server, but told to stop it returns: uvicorn would raise the signal again and leave nothing to us.

    Streams are told to end: uvicorn waits for every answer before it lets the application know.
    """

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop, and end the streams."""
        self._stopping.set()
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Stop in an orderly way on SIGINT and SIGTERM; at once on a second SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


def serve(runtime: Runtime, *, host: str, port: int, with_worker: bool) -> None:
    """Serve until told to stop; the runtime must have been started and its database migrated."""
    context = runtime.context(runtime.database(APP_ROLE, transaction_seconds=runtime.settings.transaction_seconds))
    app = create_app(context)
    server = _Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=10,
        ),
        context.stopping,
    )

    async def main() -> None:
        tasks = [asyncio.create_task(watch_embedded(runtime))]
        if with_worker:
            tasks.append(asyncio.create_task(_keep_worker()))
        async with _beside(*tasks):
            await server.serve()

    asyncio.run(main())
