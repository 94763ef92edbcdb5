"""The client has a method for every operation of the API, and both clients have the same."""

import inspect
import re
from typing import Any

from app.client import (
    AsyncClient,
    Client,
    accounts,
    booking,
    bulk,
    catalogue,
    claims,
    clearings,
    contracts,
    reports,
    settlements,
    vouchers,
)
from app.client.core import AsyncResource, Call, Resource, SyncResource, method, rows, steps
from tools.client_types import openapi

RESOURCES = [
    value
    for module in (accounts, booking, bulk, catalogue, claims, clearings, contracts, reports, settlements, vouchers)
    for value in vars(module).values()
    if inspect.isclass(value) and issubclass(value, Resource) and value not in (Resource, SyncResource, AsyncResource)
]


def calls() -> set[tuple[str, str]]:
    """What each method would send, given placeholders."""
    found: set[tuple[str, str]] = set()
    for resource in RESOURCES:
        for described in vars(resource).values():
            if not isinstance(described, method | rows):
                continue
            given: dict[str, Any] = {}
            for name, parameter in list(inspect.signature(described.build).parameters.items())[1:]:
                if name == "etag":
                    given[name] = "*"
                elif parameter.default is parameter.empty:
                    given[name] = {} if name in ("body", "files") else "ID"
            call: Call[Any] = described.build(resource, **given)
            found.add((call.method, call.path))
    return found


def test_every_operation_has_a_method() -> None:
    have = calls()
    missing = [
        (verb.upper(), path)
        for path, operations in openapi()["paths"].items()
        for verb in operations
        if path.startswith("/v1/")
        and not any(
            verb.upper() == called and re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", path), sent) for called, sent in have
        )
    ]
    assert missing == []


def test_both_clients_have_the_same_parts() -> None:
    with Client("http://127.0.0.1:1", "chk_x") as client:
        sync = {name for name, value in vars(client).items() if isinstance(value, Resource)}
    waiting = {
        name for name, value in vars(AsyncClient("http://127.0.0.1:1", "chk_x")).items() if isinstance(value, Resource)
    }
    assert sync == waiting
    assert len(sync) == 20


def test_every_method_says_what_it_does() -> None:
    for resource in RESOURCES:
        for name, described in vars(resource).items():
            if isinstance(described, method | rows | steps):
                assert described.__doc__, f"{resource.__name__}.{name}"
