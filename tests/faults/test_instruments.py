"""The instruments themselves: each kind of difference is found, torn journals are read, the proxy does what it says."""

import copy
import socket
import socketserver
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.faults.journal import Asked, Journal, Record, Told
from tests.faults.proxy import Fault, Proxy
from tests.faults.replay import Tables, differences

AT = datetime(2026, 12, 1, tzinfo=UTC)
OFFER, FIRST, SECOND, POOL, VOUCHER = (UUID(int=number) for number in range(1, 6))


def entry(seq: int, reservation: UUID, state: str, cards: int = 4) -> dict[str, Any]:
    end = AT + timedelta(hours=2)
    return {
        "offer_id": OFFER,
        "seq": seq,
        "reservation_id": reservation,
        "cards": cards,
        "starts_at": AT,
        "ends_at": end,
        "state": state,
    }


def transfer(number: int, kind: str, fen: int, pending: int | None = None) -> dict[str, Any]:
    return {
        "id": UUID(int=100 + number),
        "seq": number,
        "debit_id": POOL,
        "credit_id": VOUCHER,
        "amount_fen": fen,
        "kind": kind,
        "pending_id": None if pending is None else UUID(int=100 + pending),
        "subject": None,
    }


def balance(debits: tuple[int, int], credit: tuple[int, int]) -> dict[str, Any]:
    names = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
    return dict(zip(names, (*debits, *credit), strict=True))


def sound() -> Tables:
    """Two reservations of an offer of 8 cards, one of them cancelled for a third of the story; three transfers."""
    journal = [entry(1, FIRST, "held"), entry(2, SECOND, "held"), entry(3, FIRST, "cancelled")]
    return Tables(
        steps=[
            {"offer_id": OFFER, "starts_at": AT, "cards": 8},
            {"offer_id": OFFER, "starts_at": AT + timedelta(hours=9), "cards": 0},
        ],
        books={OFFER: 3},
        journal=journal,
        reservations={FIRST: entry(0, FIRST, "cancelled"), SECOND: entry(0, SECOND, "held")},
        accounts={POOL: balance((0, 70), (0, 0)), VOUCHER: balance((0, 0), (0, 70))},
        transfers=[transfer(1, "pending", 50), transfer(2, "post", 40, 1), transfer(3, "single", 30)],
    )


def test_sound_books_have_no_differences() -> None:
    assert differences(sound()) == []


def _lost_entry(tables: Tables) -> None:
    tables.journal.pop()


def _lost_reservation(tables: Tables) -> None:
    del tables.reservations[SECOND]


def _other_state(tables: Tables) -> None:
    tables.reservations[FIRST]["state"] = "held"


def _oversold_for_a_moment(tables: Tables) -> None:
    tables.journal[1]["cards"] = tables.reservations[SECOND]["cards"] = 5


def _beyond_the_book(tables: Tables) -> None:
    tables.books[OFFER] = 2


def _lost_transfer(tables: Tables) -> None:
    tables.transfers.pop()


def _resolved_twice(tables: Tables) -> None:
    tables.transfers.append(transfer(4, "void", 0, 1))


def _resolved_for_more(tables: Tables) -> None:
    tables.transfers[1]["amount_fen"] = 51


def _other_balance(tables: Tables) -> None:
    tables.accounts[VOUCHER]["credits_pending"] = 1


@pytest.mark.parametrize(
    "tamper",
    [
        _lost_entry,
        _lost_reservation,
        _other_state,
        _oversold_for_a_moment,
        _beyond_the_book,
        _lost_transfer,
        _resolved_twice,
        _resolved_for_more,
        _other_balance,
    ],
)
def test_each_difference_is_told(tamper: Callable[[Tables], None]) -> None:
    tables = copy.deepcopy(sound())
    tamper(tables)
    assert differences(tables)


def test_a_torn_journal_is_read(tmp_path: Path) -> None:
    """A client killed in the middle of a line asked nothing yet; the next one writes on behind it."""
    path = tmp_path / "journal"
    journal = Journal(path)
    first, second = (Asked(key, "buyer", "book", "/v1/reservations", {"option": 1}) for key in "ab")
    journal.asked(first)
    journal.told("a", Told(201, {"data": []}))
    journal.asked(second)
    journal.close()
    with path.open("ab") as torn:
        torn.write(b'\n{"kind": "told", "key": "b", "sta')
    assert Record.read(path).open() == [second]
    journal = Journal(path)
    journal.told("b", Told(409, {"code": "capacity_taken"}))
    journal.close()
    record = Record.read(path)
    assert record.open() == []
    assert [asked for asked, _ in record.acknowledged()] == [first]


class _Counting(socketserver.ThreadingTCPServer):
    """Answers whatever it is asked, and counts how often."""

    daemon_threads = True
    done = 0


class _Answer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Counting)
        # A reset is what the proxy is for.
        with suppress(ConnectionError):
            while self.request.recv(65_536):
                self.server.done += 1
                self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000)


@contextmanager
def counting() -> Generator[_Counting]:
    with _Counting(("127.0.0.1", 0), _Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def before(server: _Counting, chance: float, requests: tuple[Fault, ...], replies: tuple[Fault, ...]) -> Proxy:
    port: int = server.socket.getsockname()[1]
    return Proxy(("127.0.0.1", port), 0, chance, requests=requests, replies=replies)


@pytest.mark.parametrize(
    ("fault", "error", "done"),
    [
        (Fault.RESET, (httpx.ReadError, httpx.RemoteProtocolError), 0),
        (Fault.LOST_REPLY, (httpx.ReadError, httpx.RemoteProtocolError), 1),
        (Fault.HALF_REPLY, (httpx.ReadError, httpx.RemoteProtocolError), 1),
        (Fault.BLACK_HOLE, (httpx.ReadTimeout,), 1),
    ],
)
def test_what_the_proxy_does(fault: Fault, error: tuple[type[Exception], ...], done: int) -> None:
    requests, replies = ((fault,), ()) if fault is Fault.RESET else ((), (fault,))
    with counting() as server, before(server, 0.0, requests, replies).running() as proxy:
        with httpx.Client(base_url=f"http://127.0.0.1:{proxy.port}", timeout=1) as http:
            assert http.get("/").content == b"x" * 1000
            proxy.chance = 1.0
            with pytest.raises(error):
                http.get("/")
            proxy.chance = 0.0
            assert http.get("/").status_code == 200
        assert server.done == 2 + done
        assert proxy.seen == {fault: 1}


def test_a_slow_proxy_still_delivers() -> None:
    slow = (Fault.LATENCY,)
    with counting() as server, before(server, 1.0, slow, slow).running() as proxy:
        answer = httpx.get(f"http://127.0.0.1:{proxy.port}/", timeout=5)
        assert answer.content == b"x" * 1000
        assert answer.elapsed > timedelta(seconds=0.02)


def test_the_proxy_speaks_to_a_socket_in_the_file_system(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with Proxy(path, 0).running() as proxy, socket.create_connection(("127.0.0.1", proxy.port), 5) as near:
            near.sendall(b"hello")
            far, _ = listener.accept()
            with far:
                assert far.recv(5) == b"hello"
