"""What the sender of a job asked for, and with whose eyes it runs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.bulk.models import BulkJob
from app.bulk.rows import Format, Kind
from app.kit.db import Scope
from app.kit.time import format_rfc3339, parse_rfc3339


def scope_of(job: BulkJob) -> Scope:
    """Return the eyes that a job's transactions see with: those of the caller that sent it."""
    if job.role == "desk":
        return Scope("desk", job.org_id)
    return Scope("auditor" if job.role == "auditor" else "member", job.org_id)


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How an import is to be done; `roles` are those of the sender's key."""

    skip_bad: bool = False
    update: bool = False
    dry_run: bool = False
    start_at: datetime | None = None
    namespace: str | None = None
    roles: frozenset[str] = frozenset()

    @classmethod
    def of(cls, stored: dict[str, Any]) -> "ImportOptions":
        """Return the options that a job was stored with."""
        start_at = stored["start_at"]
        return cls(
            skip_bad=stored["skip_bad"],
            update=stored["update"],
            dry_run=stored["dry_run"],
            start_at=None if start_at is None else parse_rfc3339(start_at),
            namespace=stored["namespace"],
            roles=frozenset(stored["roles"]),
        )

    def stored(self, files: list[str]) -> dict[str, Any]:
        """Return the options as they are stored and shown."""
        return {
            "skip_bad": self.skip_bad,
            "update": self.update,
            "dry_run": self.dry_run,
            "start_at": None if self.start_at is None else format_rfc3339(self.start_at),
            "namespace": self.namespace,
            "roles": sorted(self.roles),
            "files": files,
        }


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What is to be exported, and how; `roles` are those of the sender's key."""

    format: Format
    what: tuple[Kind, ...]
    namespace: str | None = None
    roles: frozenset[str] = frozenset()

    @classmethod
    def of(cls, stored: dict[str, Any]) -> "ExportOptions":
        """Return the options that a job was stored with."""
        return cls(
            format=Format(stored["format"]),
            what=tuple(Kind(kind) for kind in stored["what"]),
            namespace=stored["namespace"],
            roles=frozenset(stored["roles"]),
        )

    def stored(self) -> dict[str, Any]:
        """Return the options as they are stored and shown."""
        return {
            "format": self.format.value,
            "what": [kind.value for kind in self.what],
            "namespace": self.namespace,
            "roles": sorted(self.roles),
        }
