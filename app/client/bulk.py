"""Imports and exports of whole markets: jobs that are sent, watched and fetched."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast

from app.client.core import AsyncResource, Call, Flow, Resource, Sleep, SyncResource, method, rows, steps
from app.client.errors import JobFailed
from app.client.types import (
    ExportIn,
    ExportOut,
    ExportSummaryOut,
    ImportOut,
    ImportSummaryOut,
    Kind,
    PageExportSummaryOut,
    PageImportSummaryOut,
)

OnImport = Callable[[ImportOut], None]
OnExport = Callable[[ExportOut], None]
_IMPORTS = "/v1/imports"
_EXPORTS = "/v1/exports"
# Small jobs are over at once, long ones need no closer look than the service itself asks for.
_FIRST_LOOK_SECONDS = 0.1
_LONGEST_LOOK_SECONDS = 1.0


class ImportMethods(Resource):
    """Markets into the service."""

    def _list(
        self, *, limit: int | None = None, after: str | None = None, before: str | None = None
    ) -> Call[PageImportSummaryOut]:
        """One page of the imports, newest first."""
        return Call("GET", _IMPORTS, {"limit": limit, "after": after, "before": before})

    page = method(_list)
    each = rows(_list, ImportSummaryOut)

    def _start(
        self,
        files: Mapping[str, bytes],
        *,
        skip_bad: bool = False,
        update: bool = False,
        dry_run: bool = False,
        start_at: str | None = None,
        namespace: str | None = None,
    ) -> Call[ImportOut]:
        """Send files (name → content) to be imported; the job that comes back has just been queued.

        Args:
            files: `offers.csv`, `requests.csv`, `buyers.csv`, `suppliers.csv`, `chips.csv`, or the same as `.jsonl`.
            skip_bad: keep the good rows; else one bad row refuses all.
            update: change rows that exist with other values; else they are bad rows.
            dry_run: write nothing.
            start_at: RFC 3339, on a whole hour; shift all times so that the earliest becomes this.
            namespace: put `NAME:` before every reference.
        """
        flags = {"skip_bad": skip_bad, "update": update, "dry_run": dry_run}
        form = {name: "true" for name, value in flags.items() if value}
        form |= {name: value for name, value in (("start_at", start_at), ("namespace", namespace)) if value}
        return Call("POST", _IMPORTS, form=form, files=tuple(sorted(files.items())), keyed=True)

    start = method(_start)

    @method
    def read(self, import_id: str) -> Call[ImportOut]:
        """One import."""
        return Call("GET", f"{_IMPORTS}/{import_id}")

    @method
    def cancel(self, import_id: str) -> Call[ImportOut]:
        """Stop an import before it writes."""
        return Call("POST", f"{_IMPORTS}/{import_id}/cancel", keyed=True)

    @method
    def template(self, kind: Kind) -> Call[bytes]:
        """A CSV file with a header and an example row."""
        return Call("GET", f"{_IMPORTS}/templates/{kind}.csv", raw=True)

    @steps
    def run(
        self,
        files: Mapping[str, bytes],
        *,
        skip_bad: bool = False,
        update: bool = False,
        dry_run: bool = False,
        start_at: str | None = None,
        namespace: str | None = None,
        on_progress: OnImport | None = None,
    ) -> Flow[ImportOut]:
        """Import files and wait for the end; `on_progress` is called with the job whenever it was read.

        Raises:
            JobFailed: if it failed or was cancelled; its `job` names the bad rows.
        """
        call = self._start(
            files, skip_bad=skip_bad, update=update, dry_run=dry_run, start_at=start_at, namespace=namespace
        )
        job = yield from call.flow(self.tries)
        return (yield from watch_job(self, _IMPORTS, job, on_progress))


class ExportMethods(Resource):
    """Markets out of the service."""

    def _list(
        self, *, limit: int | None = None, after: str | None = None, before: str | None = None
    ) -> Call[PageExportSummaryOut]:
        """One page of the exports, newest first."""
        return Call("GET", _EXPORTS, {"limit": limit, "after": after, "before": before})

    page = method(_list)
    each = rows(_list, ExportSummaryOut)

    @method
    def start(self, body: ExportIn) -> Call[ExportOut]:
        """Ask for an export; the job that comes back has just been queued."""
        return Call("POST", _EXPORTS, json=body, keyed=True)

    @method
    def read(self, export_id: str) -> Call[ExportOut]:
        """One export."""
        return Call("GET", f"{_EXPORTS}/{export_id}")

    @method
    def cancel(self, export_id: str) -> Call[ExportOut]:
        """Stop an export."""
        return Call("POST", f"{_EXPORTS}/{export_id}/cancel", keyed=True)

    @method
    def file(self, export_id: str, name: str) -> Call[bytes]:
        """A file that an export wrote."""
        return Call("GET", f"{_EXPORTS}/{export_id}/files/{name}", raw=True)

    @steps
    def run(
        self,
        *,
        format: Literal["csv", "jsonl"] = "csv",  # noqa: A002  the API's word
        what: Sequence[Kind] = ("chips", "suppliers", "buyers", "offers", "requests"),
        namespace: str | None = None,
        on_progress: OnExport | None = None,
    ) -> Flow[dict[str, bytes]]:
        """Export, wait for the end and return the files (name → content).

        Raises:
            JobFailed: if it failed or was cancelled; its `job` names the rows that the format can't carry.
        """
        body: ExportIn = {"format": format, "what": list(what), "namespace": namespace}
        call = Call[ExportOut]("POST", _EXPORTS, json=body, keyed=True)
        job = yield from call.flow(self.tries)
        job = yield from watch_job(self, _EXPORTS, job, on_progress)
        files: dict[str, bytes] = {}
        for file in cast("list[dict[str, Any]]", job["result"]["files"]):
            path = f"{_EXPORTS}/{job['id']}/files/{file['name']}"
            files[file["name"]] = yield from Call[bytes]("GET", path, raw=True).flow(self.tries)
        return files


def watch_job(resource: Resource, path: str, job: Any, on_progress: Callable[[Any], None] | None) -> Flow[Any]:
    """Read a job until it has ended.

    Raises:
        JobFailed: if it ended without a result.
    """
    wait = _FIRST_LOOK_SECONDS
    while True:
        if on_progress is not None:
            on_progress(job)
        if job["state"] not in ("queued", "running"):
            break
        yield Sleep(wait)
        wait = min(_LONGEST_LOOK_SECONDS, wait * 1.5)
        job = yield from Call[Any]("GET", f"{path}/{job['id']}").flow(resource.tries)
    if job["state"] != "succeeded":
        raise JobFailed(cast("Mapping[str, Any]", job))
    return job


class Imports(ImportMethods, SyncResource):
    """Imports."""


class AsyncImports(ImportMethods, AsyncResource):
    """Imports, awaited."""


class Exports(ExportMethods, SyncResource):
    """Exports."""


class AsyncExports(ExportMethods, AsyncResource):
    """Exports, awaited."""
