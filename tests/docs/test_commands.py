"""Every command in the documents is run, in order, against a service really started."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from app.kit.embedded import EmbeddedPostgres
from app.settings import Settings
from tests.conftest import admin_dsn
from tests.docs.runner import ROOT, Block, blocks, documents, run

# The only commands that a document may show without their being run here; others have tests of their own.
_ALLOWED = re.compile(
    r"(make (demo|test|check|install|bench|bench-short)|docker .*"
    r"|(CARDHOUR_FAULT_SEED=\d+ )?make faults( FAULT_ROUNDS=\d+)?"
    r"|\.venv/bin/python (tools/client_types|benchmarks/ledger)\.py)(\s+#.*)?"
)
_COMMAND = re.compile(r"cardhour [a-z-]+ [a-z-]+")
# The Chinese readme shows the English one's commands: the test of both sees to that.
WITH_COMMANDS = [
    path
    for path in documents()
    if path.name != "README.zh-CN.md" and any(block.not_run is None for block in blocks(path))
]


@pytest.fixture
async def fresh_database(server: EmbeddedPostgres) -> AsyncIterator[str]:
    """An empty database beside the tests' own, as somebody's PostgreSQL."""
    admin = await asyncpg.connect(admin_dsn(server))
    name = f"docs_{uuid4().hex[:12]}"
    await admin.execute(f"CREATE DATABASE {name}")
    yield admin_dsn(server, name)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.mark.anyio
@pytest.mark.parametrize("path", WITH_COMMANDS, ids=[str(path.relative_to(ROOT)) for path in WITH_COMMANDS])
async def test_every_command_runs(path: Path, tmp_path: Path, fresh_database: str) -> None:
    done = run(blocks(path), tmp_path, fresh_database)
    assert done.returncode == 0, f"{path.name}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def test_what_is_not_run_is_run_elsewhere() -> None:
    skipped = [(path.name, line) for path in documents() for line in _lines(path, skipped=True)]
    assert skipped, "the readmes show make demo and make test"
    run_somewhere = set(
        _COMMAND.findall("\n".join(line for path in documents() for line in _lines(path, skipped=False)))
    )
    for name, line in skipped:
        command = _COMMAND.match(line)
        continues = line.startswith("  ")
        assert continues or _ALLOWED.fullmatch(line) or (command and command[0] in run_somewhere), (name, line)


def test_a_failing_command_fails_its_document(tmp_path: Path) -> None:
    done = run([Block(1, "cardhour offers show offer_x\necho reached\n", None)], tmp_path, "")
    assert done.returncode != 0
    assert "@@ line 1" in done.stderr
    assert "reached" not in done.stdout


def test_both_readmes_show_the_same_commands() -> None:
    def commands(name: str) -> list[str]:
        found = [re.sub(r"--name \S+( desk\")?|#.*", "", block.text) for block in blocks(ROOT / name)]
        return [re.sub(r"\s+", " ", text) for text in found]

    assert commands("README.md") == commands("README.zh-CN.md")


def test_the_configuration_tables_name_every_setting() -> None:
    names = {str(field.validation_alias or f"CARDHOUR_{name.upper()}") for name, field in Settings.model_fields.items()}
    names |= {"CARDHOUR_API_URL", "CARDHOUR_API_KEY"}
    for readme in ("README.md", "README.zh-CN.md"):
        rows = re.findall(r"^\| (`[^|]+) \|", (ROOT / readme).read_text(encoding="utf-8"), re.MULTILINE)
        assert {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)} == names, readme


def test_every_link_leads_somewhere() -> None:
    for path in documents():
        text = path.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def _lines(path: Path, *, skipped: bool) -> list[str]:
    found = [block for block in blocks(path) if (block.not_run is not None) == skipped]
    return [line for block in found for line in block.text.splitlines() if line]
