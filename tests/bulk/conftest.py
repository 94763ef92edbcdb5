"""Imports and exports as callers see them: sent over HTTP, run by the worker, read back over HTTP."""

import csv
import io
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from app.bulk.service import run_next_job

HEADERS = {
    "offers": "offer_ref,supplier,region,chip_model,cards,cards_per_node,list_price_cny,price_cny,interconnect_gbps,"
    "available_from,available_to",
    "requests": "request_ref,buyer,submitted_at,chips,cards,hours,earliest_start,deadline,max_net_price_cny,priority,"
    "blocks,min_blocks",
    "buyers": "buyer,kind,prior_year_revenue_cny,registered_city,integrity,project_lead",
    "suppliers": "supplier,city,partner",
    "chips": "chip_model,vendor,fp16_tflops,memory_gb,domestic,class",
}
OFFER = "o1,s1,北京,A100 80G,64,8,16.00,8.50,400,2026-12-01T00:00:00+08:00,2027-03-01T00:00:00+08:00"
REQUEST = (
    "r1,b1,2026-12-01T00:00:07+08:00,A100 80G,8,36.5,2026-12-01T00:00:07+08:00,2026-12-09T09:30:00+08:00,9.00,3,2,1"
)
BUYER = "b1,startup,1200000.5,北京,clean,none"
SUPPLIER = "s1,上海,yes"
CHIP = "A100 80G,NVIDIA,312,80,false,A100-class"
SMALL = {"offers": [OFFER], "requests": [REQUEST], "buyers": [BUYER], "suppliers": [SUPPLIER], "chips": [CHIP]}


def market(**changes: list[str]) -> dict[str, bytes]:
    """The small market's files, with the rows of some replaced."""
    return {
        f"{kind}.csv": ("\n".join([HEADERS[kind], *rows]) + "\n").encode() for kind, rows in (SMALL | changes).items()
    }


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


Run = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def send_import(worker_database, clock) -> Run:
    """`await send_import(actor, files, update="true")`: the finished import."""

    async def send(actor: Any, files: Mapping[str, bytes], **fields: str) -> dict[str, Any]:
        parts = [("files", (name, content)) for name, content in files.items()]
        sent = await actor.client.post("/v1/imports", files=parts, data=fields)
        assert sent.status_code == 202, sent.text
        assert await run_next_job(worker_database, clock)
        return (await actor.client.get(sent.headers["location"])).json()

    return send


@pytest.fixture
def send_export(worker_database, clock) -> Run:
    """`await send_export(actor, what=[…], format="csv")`: the finished export, with its files' contents."""

    async def send(actor: Any, **body: Any) -> dict[str, Any]:
        sent = await actor.client.post("/v1/exports", json=body)
        assert sent.status_code == 202, sent.text
        assert await run_next_job(worker_database, clock)
        export = (await actor.client.get(sent.headers["location"])).json()
        contents: dict[str, bytes] = {}
        for file in (export["result"] or {"files": []})["files"]:
            contents[file["name"]] = (await actor.client.get(file["url"])).content
        return export | {"contents": contents}

    return send
