"""The service that the demo talks to: `cardhour serve` as a process of its own, on a free port, stopped at the end."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 15.0


@contextmanager
def serving(data_dir: Path) -> Generator[str]:
    """Serve the embedded database of a folder; yield the address.

    Raises:
        RuntimeError: if the service does not come up; the message names its log.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment |= {"CARDHOUR_DATA_DIR": str(data_dir), "CARDHOUR_LOG_LEVEL": "WARNING"}
    log = data_dir / "demo.log"
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603  our own command
            [sys.executable, "-m", "app.cli", "serve", "--host", "127.0.0.1", "--port", str(port)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        _await_ready(url, process, log)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5):  # noqa: S310  our own address
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the service did not come up; see {log}")
