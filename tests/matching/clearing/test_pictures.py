"""A clearing's picture and its files over HTTP: drawn beside the service, the same each time, checked elsewhere."""

import hashlib
import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from sqlalchemy.engine import URL
from typer.testing import CliRunner, Result

from app.commands.clearing import clearing as clearing_commands
from app.commands.clearings import clearings as clearings_commands
from app.commands.plotting import plotting
from app.kit.errors import Problem
from app.kit.ids import decode_id
from app.kit.web import AppContext
from app.reports.service import PlotFormat, plot_clearing
from tests.bazaar import Bazaar, refusal
from tests.conftest import Actor
from tests.matching.clearing.conftest import Run, ask

pytestmark = pytest.mark.anyio


@pytest.fixture
async def done(bazaar: Bazaar, clear: Run) -> Any:
    await bazaar.offer(8)
    await bazaar.request(blocks=2)
    await bazaar.request(cards=64)
    return await clear()


async def test_a_picture_is_drawn_and_known_by_its_etag(bazaar: Bazaar, auditor: Actor, done: Any) -> None:
    path = f"/v1/clearings/{done['id']}/plot"
    svg = await bazaar.desk.client.get(path)
    assert (svg.status_code, svg.headers["content-type"]) == (200, "image/svg+xml"), svg.text
    assert ET.fromstring(svg.text).tag.endswith("svg")  # noqa: S314  our own file
    assert svg.headers["cache-control"] == "private, no-cache"
    assert svg.headers["content-disposition"] == f'inline; filename="{done["id"]}.svg"'
    png = await auditor.client.get(path, params={"format": "png"})
    assert (png.status_code, png.headers["content-type"]) == (200, "image/png")
    assert png.content.startswith(b"\x89PNG")
    assert png.headers["etag"] != svg.headers["etag"]
    for known in (svg.headers["etag"], f'"other", W/{svg.headers["etag"]}', "*"):
        again = await bazaar.desk.client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", svg.headers["etag"])
    other = await bazaar.desk.client.get(path, headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, svg.content)


async def test_who_may_not_see_it_and_what_is_not_there(bazaar: Bazaar, clear: Run, done: Any) -> None:
    for part in ("plot", "instance", "certificate"):
        path = f"/v1/clearings/{done['id']}/{part}"
        for party in (bazaar.buyer, bazaar.supplier):
            assert refusal(await party.client.get(path)) == (403, "forbidden")
        missing = await bazaar.desk.client.get(f"/v1/clearings/clr_01jd5qx2y0e4t9g5k8z7b3m6n1/{part}")
        assert refusal(missing) == (404, "not_found")
        waiting = await ask(bazaar)
        assert refusal(await bazaar.desk.client.get(f"/v1/clearings/{waiting['id']}/{part}")) == (409, "no_outcome")
        assert refusal(await bazaar.desk.client.get(path, params={"size": "9"})) == (422, "invalid")
    pdf = await bazaar.desk.client.get(f"/v1/clearings/{done['id']}/plot", params={"format": "pdf"})
    assert refusal(pdf) == (422, "invalid")
    assert [error["pointer"] for error in pdf.json()["errors"]] == ["format"]


async def test_without_matplotlib_the_extra_is_named(
    bazaar: Bazaar, done: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    path = f"/v1/clearings/{done['id']}/plot"
    answer = await bazaar.desk.client.get(path)
    assert refusal(answer) == (501, "plot_unavailable")
    assert "pip install 'cardhour[plot]'" in answer.json()["detail"]
    chinese = await bazaar.desk.client.get(path, headers={"Accept-Language": "zh-CN"})
    assert "绘图" in chinese.json()["detail"]
    # Who may not see the picture is not told what is installed.
    assert refusal(await bazaar.buyer.client.get(path)) == (403, "forbidden")


async def test_drawing_that_takes_too_long_is_ended(bazaar: Bazaar, done: Any, context: AppContext) -> None:
    with pytest.raises(Problem, match="plot_too_large"):
        await plot_clearing(context, bazaar.desk.caller, decode_id("clr", done["id"]), PlotFormat.SVG, seconds=0.05)
    for child in psutil.Process().children():
        assert "app.reports.plot_process" not in child.cmdline()


async def test_drawing_that_fails_is_an_error(
    bazaar: Bazaar, done: Any, context: AppContext, database_url: URL
) -> None:
    superuser = await asyncpg.connect(database_url.set(drivername="postgresql").render_as_string(False))
    await superuser.execute("UPDATE clearing_file SET outcome = 'no zlib'")
    await superuser.close()
    with pytest.raises(RuntimeError, match="ended with code 1"):
        await plot_clearing(context, bazaar.desk.caller, decode_id("clr", done["id"]), PlotFormat.SVG)


def verify_clearing(*arguments: object) -> Result:
    return CliRunner().invoke(
        clearing_commands, ["verify-clearing", *map(str, arguments)], env={"COLUMNS": "300", "NO_COLOR": "1"}
    )


async def test_anyone_can_check_the_files_of_a_clearing(bazaar: Bazaar, done: Any, tmp_path: Path) -> None:
    client = bazaar.desk.client
    certificate = await client.get(f"/v1/clearings/{done['id']}/certificate")
    instance = await client.get(f"/v1/clearings/{done['id']}/instance")
    assert {answer.headers["content-type"] for answer in (certificate, instance)} == {"application/json"}
    assert hashlib.sha256(instance.content).hexdigest() == certificate.json()["instance_sha256"]
    outcome_file, instance_file = tmp_path / "o.json", tmp_path / "i.json"
    outcome_file.write_bytes(certificate.content)
    instance_file.write_bytes(instance.content)
    checked = verify_clearing(outcome_file, "--instance", instance_file)
    assert checked.exit_code == 0, checked.output
    assert json.loads(checked.stdout.removeprefix("holds: "))["objective_fen"] == done["result"]["objective_fen"]
    drawn = CliRunner().invoke(
        plotting, [str(outcome_file), "--instance", str(instance_file), "--out", str(tmp_path / "o.svg")]
    )
    assert drawn.exit_code == 0, drawn.output
    shown = await client.get(f"/v1/clearings/{done['id']}/plot")
    assert (tmp_path / "o.svg").read_bytes() == shown.content

    # What was changed of either is found; what is no instance is refused.
    body = instance.json()
    body["offers"][0]["price_fen"] -= 1
    (tmp_path / "cheaper.json").write_text(json.dumps(body), encoding="utf-8")
    body = certificate.json()
    body["matches"][0]["net_fen"] -= 1
    (tmp_path / "altered.json").write_text(json.dumps(body), encoding="utf-8")
    (tmp_path / "no.json").write_text("{", encoding="utf-8")
    (tmp_path / "deep.json").write_text("[" * 100_000, encoding="utf-8")
    (tmp_path / "nan.json").write_text(json.dumps(instance.json() | {"budgets": [float("nan")]}), encoding="utf-8")
    for file, other, code, words in (
        (outcome_file, "cheaper.json", 1, "the instance gives"),
        (tmp_path / "altered.json", "i.json", 1, "doesn't add up"),
        (outcome_file, "no.json", 2, "no.json"),
        (outcome_file, "deep.json", 2, "deep.json"),
        (outcome_file, "nan.json", 2, "budgets/0"),
        (outcome_file, "gone.json", 2, "No such file"),
        (outcome_file, "o.json", 2, "is unknown"),
    ):
        told = verify_clearing(file, "--instance", tmp_path / other)
        assert (told.exit_code, words in told.output) == (code, True), told.output
    for wrong in (
        (),
        ("--instance", instance_file, "--market", tmp_path),
        ("--instance", instance_file, "--chips", "c"),
    ):
        told = verify_clearing(outcome_file, *wrong)
        assert (told.exit_code, "--instance FILE" in told.output) == (2, True), told.output


def test_a_picture_of_another_kind_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    told = CliRunner().invoke(clearings_commands, ["plot", "clr_x", "--out", str(tmp_path / "o.pdf")])
    assert told.exit_code == 2
    assert "o.pdf ends neither in .svg nor in .png" in told.output.replace("│\n│", "")
