"""Cursor pages: signed, opaque cursors over a documented sort with a unique tie-break."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Select, literal, tuple_

from app.kit.db import ReadSession
from app.kit.errors import ErrorCode

Item = TypeVar("Item")
Row = TypeVar("Row")

BAD_CURSOR: Final = ErrorCode(
    "bad_cursor",
    422,
    "The cursor is not one of this list's. Start again without after and before.",
    "游标不属于此列表，请去掉 after 和 before 重新开始。",
)
ONE_CURSOR: Final = ErrorCode(
    "one_cursor_only", 422, "Give after or before, not both.", "after 与 before 只能给出一个。"
)
_MAC_BYTES: Final = 12


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    model_config = ConfigDict(extra="forbid")
    data: list[Item]
    has_more: bool = Field(description="whether more lies in the direction asked for")
    next_cursor: str | None = Field(description="give as `after` for the next page; null on an empty page")
    previous_cursor: str | None = Field(description="give as `before` for the page before; null on an empty page")
    query: dict[str, Any] = Field(description="the query as understood, so that nothing was dropped silently")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page is wanted."""

    limit: int = 20
    after: str | None = None
    before: str | None = None


def page_request(
    limit: Annotated[int, Query(ge=1, le=100, description="rows in a page")] = 20,
    after: Annotated[str | None, Query(max_length=1000, description="cursor: rows after it")] = None,
    before: Annotated[str | None, Query(max_length=1000, description="cursor: rows before it")] = None,
) -> PageRequest:
    """Parse the page parameters (a FastAPI dependency).

    Raises:
        Problem: when both cursors are given.
    """
    if after is not None and before is not None:
        raise ONE_CURSOR.problem()
    return PageRequest(limit, after, before)


Paging = Annotated[PageRequest, Depends(page_request)]


def listing_name(name: str, query: dict[str, Any]) -> str:
    """Return what a cursor is bound to: the list and its query, in one text."""
    return f"{name}?{json.dumps(query, sort_keys=True, default=str)}"


class CursorSigner:
    """Writes and reads cursors bound to one list and its query, so that none can be made up or carried over."""

    def __init__(self, secret: bytes) -> None:
        self._key = hashlib.sha256(b"cardhour cursor" + secret).digest()

    def write(self, listing: str, values: Sequence[str | int | None]) -> str:
        """Return the cursor of a row whose sort values are `values`."""
        body = json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode()
        return base64.urlsafe_b64encode(self._mac(listing, body) + body).decode().rstrip("=")

    def read(self, listing: str, cursor: str) -> list[Any]:
        """Return the sort values of a cursor.

        Raises:
            Problem: if it was not written for this list and query.
        """
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except (binascii.Error, ValueError):
            raise BAD_CURSOR.problem() from None
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(listing, body)):
            raise BAD_CURSOR.problem()
        return json.loads(body)

    def _mac(self, listing: str, body: bytes) -> bytes:
        return hmac.digest(self._key, listing.encode() + b"\0" + body, "sha256")[:_MAC_BYTES]


# Without slots: a frozen generic with slots can't be made as Sort[Row](…) in Python 3.11.
@dataclass(frozen=True)
class Sort(Generic[Row]):
    """A total order of a list: its columns (the last one unique), and how a row's values go into a cursor."""

    columns: tuple[ColumnElement[Any], ...]
    values: Callable[[Row], tuple[str | int, ...]]
    parse: Callable[[list[Any]], tuple[Any, ...]]
    descending: bool = False


def page_of(
    items: list[Item],
    *,
    has_more: bool,
    cursors: tuple[str, str] | None,
    query: dict[str, Any],
) -> Page[Item]:
    """Return a page; `cursors` are those of its first and last row."""
    first, last = cursors or (None, None)
    return Page[Item](data=items, has_more=has_more, next_cursor=last, previous_cursor=first, query=query)


async def fetch_page(
    session: ReadSession,
    statement: Select[Row],
    sort: Sort[Row],
    page: PageRequest,
    *,
    signer: CursorSigner,
    listing: str,
) -> tuple[list[Row], bool, tuple[str, str] | None]:
    """Run a list's statement for one page.

    Args:
        session: an open transaction.
        statement: the filtered, unordered select of ORM rows.
        sort: its total order.
        page: which page.
        signer: the cursors' signer.
        listing: the list's name and query; a cursor is valid for these only.

    Returns:
        The rows in the list's order, whether more lies in the direction asked for, the first and last cursor.
    """
    backwards = page.before is not None
    cursor = page.before if backwards else page.after
    key = tuple_(*sort.columns)
    if cursor is not None:
        wanted = sort.parse(signer.read(listing, cursor))
        values = tuple_(*[literal(v, c.type) for v, c in zip(wanted, sort.columns, strict=True)])
        statement = statement.where(key < values if backwards != sort.descending else key > values)
    ascending = backwards == sort.descending
    ordering = [column.asc() if ascending else column.desc() for column in sort.columns]
    rows = list((await session.scalars(statement.order_by(*ordering).limit(page.limit + 1))).all())
    has_more = len(rows) > page.limit
    rows = rows[: page.limit]
    if backwards:
        rows.reverse()
    if not rows:
        return [], False, None
    first, last = (signer.write(listing, list(sort.values(row))) for row in (rows[0], rows[-1]))
    return rows, has_more, (first, last)


def slice_page(
    items: Sequence[Item],
    key: Callable[[Item], tuple[str | int, ...]],
    page: PageRequest,
    *,
    signer: CursorSigner,
    listing: str,
) -> tuple[list[Item], bool, tuple[str, str] | None]:
    """Cut one page of a list that is at hand, in ascending order of a unique `key`; otherwise as `fetch_page`."""
    backwards = page.before is not None
    cursor = page.before if backwards else page.after
    chosen = list(items)
    if cursor is not None:
        wanted = tuple(signer.read(listing, cursor))
        chosen = [item for item in chosen if (key(item) < wanted if backwards else key(item) > wanted)]
    has_more = len(chosen) > page.limit
    chosen = chosen[-page.limit :] if backwards else chosen[: page.limit]
    if not chosen:
        return [], False, None
    return chosen, has_more, (signer.write(listing, key(chosen[0])), signer.write(listing, key(chosen[-1])))
