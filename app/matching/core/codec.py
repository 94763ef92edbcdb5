"""Instance ⇄ JSON. The canonical form (sorted keys, no spaces, sorted by ref) is what `instance_sha256` hashes."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final, cast

from app.kit.time import format_rfc3339, parse_rfc3339
from app.matching.core.instance import (
    ANYWHERE,
    Alternative,
    Budget,
    Chip,
    Component,
    Instance,
    Offer,
    Option,
    Request,
    Site,
)
from app.matching.core.limits import InstanceError

FORMAT: Final = "cardhour-instance/1"


def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(item.name for item in fields(kind))


_ALWAYS: Final = object()
_FIELDS: Final = {kind: _names(kind) for kind in (Alternative, Budget, Chip, Component, Offer, Option, Request, Site)}


# Written only where they say something, so that instances from before there were any keep their SHA-256.
_NOTHING: Final[dict[str, Any]] = {}
_LATER: Final[dict[type[Any], dict[str, Any]]] = dict.fromkeys(_FIELDS, _NOTHING) | {
    Component: {"from_fen": 0, "to_fen": None},
    Request: {"standing": ""},
}


def _plain(value: Any) -> dict[str, Any]:
    later = _LATER[type(value)]
    return {name: found for name in _FIELDS[type(value)] if (found := getattr(value, name)) != later.get(name, _ALWAYS)}


def _request(request: Request) -> dict[str, Any]:
    return _plain(request) | {
        "submitted_at": format_rfc3339(request.submitted_at),
        "alternatives": [_plain(alternative) for alternative in request.alternatives],
        "site": None if request.site == ANYWHERE else _plain(request.site),
    }


def instance_to_json(instance: Instance) -> dict[str, Any]:
    """Return the instance as plain JSON data."""
    return {
        "format": FORMAT,
        "chips": [_plain(chip) for chip in instance.chips],
        "offers": [_plain(offer) for offer in instance.offers],
        "requests": [_request(request) for request in instance.requests],
        "budgets": [_plain(budget) for budget in instance.budgets],
        "options": [
            _plain(option) | {"components": [_plain(component) for component in option.components]}
            for option in instance.options
        ],
    }


def canonical_json(instance: Instance) -> str:
    """Return the one JSON text of an instance: keys sorted, no spaces, UTF-8 as it is."""
    return json.dumps(instance_to_json(instance), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def instance_sha256(instance: Instance) -> str:
    """Return the SHA-256, in hexadecimal, of the canonical JSON."""
    return hashlib.sha256(canonical_json(instance).encode()).hexdigest()


def instance_from_json(data: Any) -> Instance:
    """Return the instance that `instance_to_json` wrote.

    Raises:
        InstanceError: for any other shape, naming the place.
    """
    body = _object("instance", data, {"format", "chips", "offers", "requests", "budgets", "options"})
    if body["format"] != FORMAT:
        raise InstanceError("format", "unknown_format", f"{body['format']!r} is not {FORMAT!r}")
    return Instance(
        chips=tuple(_read(Chip, f"chips/{i}", row) for i, row in _rows("chips", body)),
        offers=tuple(_offer_from(f"offers/{i}", row) for i, row in _rows("offers", body)),
        requests=tuple(_request_from(f"requests/{i}", row) for i, row in _rows("requests", body)),
        budgets=tuple(_read(Budget, f"budgets/{i}", row) for i, row in _rows("budgets", body)),
        options=tuple(_option_from(f"options/{i}", row) for i, row in _rows("options", body)),
    )


def _object(path: str, data: Any, keys: set[str]) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise InstanceError(path, "not_an_object", "is not a JSON object")
    body = cast("dict[str, Any]", data)
    for wrong in sorted(set(body) ^ keys):
        raise InstanceError(f"{path}/{wrong}", "wrong_key", "is unknown" if wrong in body else "is missing")
    return body


def _rows(key: str, body: dict[str, Any]) -> list[tuple[int, Any]]:
    rows = body[key]
    if not isinstance(rows, list):
        raise InstanceError(key, "not_a_list", "is not a JSON array")
    return list(enumerate(cast("list[Any]", rows)))


_TEXT: Final = frozenset({"str", "str | None"})
_WHOLE: Final = frozenset({"int", "int | None"})
_TRUTH: Final = frozenset({"bool", "bool | None"})


def _check_scalar(path: str, kind: str, value: Any) -> None:
    if value is None and kind.endswith("| None"):
        return
    fits = (
        (kind in _TEXT and isinstance(value, str))
        or (kind in _WHOLE and isinstance(value, int) and not isinstance(value, bool))
        or (kind in _TRUTH and isinstance(value, bool))
    )
    if not fits:
        raise InstanceError(path, "wrong_type", f"{value!r} is not {kind}")


def _type_name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


_KINDS: Final = {kind: {item.name: _type_name(item.type) for item in fields(kind)} for kind in _FIELDS}


def _read(kind: type[Any], path: str, data: Any, **parsed: Any) -> Any:
    """Make a frozen value of a JSON object; `parsed` holds the fields that are not scalars."""
    body = _object(path, _LATER[kind] | data if isinstance(data, dict) else data, set(_FIELDS[kind]))
    for name, value in body.items():
        if name not in parsed:
            expected = _KINDS[kind][name]
            if expected.startswith("tuple[str"):
                parsed[name] = _texts(f"{path}/{name}", value)
                continue
            _check_scalar(f"{path}/{name}", expected, value)
    return kind(**(body | parsed))


def _texts(path: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise InstanceError(path, "not_a_list", "is not a JSON array")
    listed = list(cast("Sequence[Any]", value))
    for index, item in enumerate(listed):
        _check_scalar(f"{path}/{index}", "str", item)
    return tuple(listed)


def _member(path: str, data: Any, key: str) -> Any:
    if not isinstance(data, dict) or key not in data:
        raise InstanceError(f"{path}/{key}", "wrong_key", "is missing")
    return cast("dict[str, Any]", data)[key]


def _list(path: str, data: Any, key: str) -> list[Any]:
    value = _member(path, data, key)
    if not isinstance(value, list | tuple):
        raise InstanceError(f"{path}/{key}", "not_a_list", "is not a JSON array")
    return list(cast("Sequence[Any]", value))


def _offer_from(path: str, data: Any) -> Offer:
    steps: list[tuple[int, int]] = []
    for index, step in enumerate(_list(path, data, "steps")):
        pair = list(cast("Sequence[Any]", step)) if isinstance(step, list | tuple) else []
        if len(pair) != 2:  # noqa: PLR2004 - a step is a pair
            raise InstanceError(f"{path}/steps/{index}", "wrong_type", "is not [hour, cards]")
        for value in pair:
            _check_scalar(f"{path}/steps/{index}", "int", value)
        steps.append((pair[0], pair[1]))
    return _read(Offer, path, data, steps=tuple(steps))


def _request_from(path: str, data: Any) -> Request:
    alternatives = tuple(
        _read(Alternative, f"{path}/alternatives/{index}", row)
        for index, row in enumerate(_list(path, data, "alternatives"))
    )
    site = _member(path, data, "site")
    try:
        submitted_at = parse_rfc3339(str(_member(path, data, "submitted_at")))
    except ValueError as error:
        raise InstanceError(f"{path}/submitted_at", "bad_time", str(error)) from None
    return _read(
        Request,
        path,
        data,
        submitted_at=submitted_at,
        alternatives=alternatives,
        site=ANYWHERE if site is None else _read(Site, f"{path}/site", site),
    )


def _option_from(path: str, data: Any) -> Option:
    components = tuple(
        _read(Component, f"{path}/components/{index}", row) for index, row in enumerate(_list(path, data, "components"))
    )
    return _read(Option, path, data, components=components)
