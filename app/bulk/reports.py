"""Findings as they are stored with a job, capped; texts are filled in when they are shown, in the reader's language."""

from collections.abc import Sequence
from typing import Any

from app.bulk.plan import Plan
from app.bulk.rows import MAX_FINDINGS, Finding
from app.kit.errors import ErrorCode


def _storable(value: object) -> str | int:
    """JSON in PostgreSQL holds neither NUL nor half a surrogate pair; a bad row may well."""
    if isinstance(value, int):
        return value
    return str(value).replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def finding_json(finding: Finding) -> dict[str, Any]:
    """Return a finding as it is stored."""
    return {
        "file": finding.file,
        "line": finding.line,
        "column": None if finding.column is None else _storable(finding.column),
        "code": finding.code,
        "params": {name: _storable(value) for name, value in finding.params.items()},
    }


def capped(name: str, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return findings by file and line under a name, the first 1 000, and how many more there are."""
    shown = sorted(findings, key=lambda finding: (finding.file, finding.line))[:MAX_FINDINGS]
    return {name: [finding_json(finding) for finding in shown], f"more_{name}": len(findings) - len(shown)}


def error_json(code: ErrorCode, findings: Sequence[Finding] = (), **params: Any) -> dict[str, Any]:
    """Return why a job ended without a result, as it is stored."""
    return {"code": code.code, "params": params} | capped("bad_rows", findings)


def import_result(plan: Plan, *, dry_run: bool) -> dict[str, Any]:
    """Return what an import did, as it is stored."""
    files = {file: dict(counts) for file, counts in plan.counts.items()}
    return {"dry_run": dry_run, "files": files} | capped("notices", plan.notices) | capped("bad_rows", plan.bad)


class Refused(Exception):  # noqa: N818  the job's answer, no fault of ours
    """The job ends without a result."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["code"])
        self.error = error
