"""The embedded server, shared and killed by real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from app.kit.embedded import EmbeddedPostgres, load_or_make_secret

USER = """
import sys, asyncio, asyncpg
from pathlib import Path
from app.kit.embedded import EmbeddedPostgres
postgres = EmbeddedPostgres(Path(sys.argv[1]))
postgres.start()
async def use():
    connection = await asyncpg.connect(postgres.url("postgres"))
    await connection.execute(sys.argv[2])
    await connection.close()
asyncio.run(use())
print("ready", flush=True)
sys.stdin.read()
postgres.release()
"""


def start_user(folder: Path, sql: str = "SELECT 1") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(folder), sql], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def is_ready(process: subprocess.Popen[str]) -> bool:
    assert process.stdout is not None
    return process.stdout.readline().strip() == "ready"


def leave(process: subprocess.Popen[str]) -> int:
    process.communicate("")
    return process.returncode


def postmaster(folder: Path) -> int | None:
    try:
        pid = int((folder / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    except FileNotFoundError:
        return None
    return pid if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE else None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_processes_share_one_server_and_the_last_stops_it(folder: Path) -> None:
    # Both start at once on a folder that is not there: one makes the server, the other finds it.
    first, second = start_user(folder), start_user(folder)
    assert is_ready(first)
    assert is_ready(second)
    pid = postmaster(folder)
    assert pid is not None
    assert leave(first) == 0
    assert postmaster(folder) == pid
    assert leave(second) == 0
    assert postmaster(folder) is None


def test_a_killed_user_neither_stops_nor_keeps_the_server(folder: Path) -> None:
    first, second = start_user(folder), start_user(folder)
    assert is_ready(first)
    assert is_ready(second)
    first.kill()
    first.communicate()
    assert postmaster(folder) is not None
    assert leave(second) == 0
    assert postmaster(folder) is None


def test_data_survive_a_killed_server(folder: Path) -> None:
    postgres = EmbeddedPostgres(folder)
    postgres.start()
    try:
        maker = start_user(folder, "CREATE TABLE kept AS SELECT 42 AS answer")
        assert is_ready(maker)
        pid = postmaster(folder)
        assert pid is not None
        assert postgres.is_running()
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while postgres.is_running() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not postgres.is_running()
        postgres.start()
        assert postgres.is_running()
        assert postmaster(folder) != pid
        reader = start_user(folder, "DO $$ BEGIN ASSERT (SELECT answer FROM kept) = 42; END $$")
        assert is_ready(reader)
        assert leave(reader) == 0
        leave(maker)
    finally:
        postgres.release()
    assert postmaster(folder) is None


def test_the_last_stops_a_server_that_another_started_again(folder: Path) -> None:
    last, other = EmbeddedPostgres(folder), EmbeddedPostgres(folder)
    last.start()
    try:
        other.start()
        pid = postmaster(folder)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        while other.is_running():
            time.sleep(0.02)
        other.start()
        assert postmaster(folder) not in {None, pid}
        other.release()
        assert last.is_running()
    finally:
        last.release()
    assert postmaster(folder) is None


def test_durability_is_on(folder: Path) -> None:
    user = start_user(
        folder,
        "DO $$ BEGIN ASSERT current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on'"
        " AND current_setting('synchronous_commit') = 'on'; END $$",
    )
    assert is_ready(user)
    assert leave(user) == 0


def test_a_stranger_s_process_number_is_not_taken_for_the_server(folder: Path) -> None:
    assert leave(start_user(folder)) == 0
    pid_file = folder / "postgres" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{folder}/postgres\n0\n5432\n{folder}\n\n0 0\nready   \n")
    user = start_user(folder)
    assert is_ready(user)
    assert leave(user) == 0


def test_using_it_before_it_started_is_an_error(folder: Path) -> None:
    with pytest.raises(RuntimeError, match="has not been started"):
        EmbeddedPostgres(folder).url("postgres")


def test_the_secret_is_made_once_and_is_private(folder: Path) -> None:
    first = load_or_make_secret(folder)
    assert len(first) == 32
    assert load_or_make_secret(folder) == first
    assert (folder / "secret.key").stat().st_mode & 0o077 == 0


def test_a_folder_with_a_space_is_refused_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="space in its path"):
        EmbeddedPostgres(tmp_path / "a folder").start()
    assert not (tmp_path / "a folder").exists()
