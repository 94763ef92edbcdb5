"""Which errors mean that the database can't be used just now, as SQLAlchemy and as the driver raise them."""

import asyncpg
import pytest

from app.kit.problems import is_unavailable


@pytest.mark.parametrize(
    ("error", "unavailable"),
    [
        (asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"), True),
        (asyncpg.CannotConnectNowError("the database system is starting up"), True),
        (asyncpg.AdminShutdownError("terminating connection"), True),
        (asyncpg.TooManyConnectionsError("too many clients already"), True),
        (asyncpg.InterfaceError("connection is closed"), True),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (asyncpg.UniqueViolationError("duplicate key"), False),
        (asyncpg.UndefinedTableError("no such table"), False),
        (ValueError(), False),
    ],
)
def test_which_errors_pass(error: Exception, unavailable: bool) -> None:
    assert is_unavailable(error) is unavailable
