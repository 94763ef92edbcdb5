"""What goes in and out of the endpoints of imports and exports."""

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import Field

from app.bulk.errors import sentence
from app.bulk.models import BulkJob, JobState
from app.bulk.rows import Format, Kind
from app.kit.ids import TypeId
from app.kit.schemas import Input, Moment, Output

ImportId = Annotated[UUID, TypeId("imp")]
ExportId = Annotated[UUID, TypeId("exp")]
NAMESPACE_PATTERN: Final = r"^[\w][\w.\-]{0,39}$"
Namespace = Annotated[str, Field(pattern=NAMESPACE_PATTERN, examples=["philly-cn"])]


class ProgressOut(Output):
    """How far a job has come."""

    phase: str = Field(description="waiting, reading, checking, writing", examples=["writing"])
    done: int
    total: int = Field(description="0 while it is not known")


class FindingOut(Output):
    """Something to tell about a row."""

    file: str = Field(examples=["requests.csv"])
    line: int = Field(description="the physical line, the header's being 1; 0 for the file as a whole", examples=[17])
    column: str | None = Field(examples=["cards"])
    code: str = Field(description="stable; never translated", examples=["not_whole"])
    detail: str = Field(examples=["2.5 is not a whole number."])


class FileCountsOut(Output):
    """What became of a file's rows."""

    inserted: int
    changed: int
    unchanged: int
    skipped: int = Field(description="bad rows that were left out")


class ImportResultOut(Output):
    """What an import did."""

    dry_run: bool = Field(description="nothing was written; this is what would have been")
    files: dict[str, FileCountsOut] = Field(description="by file")
    notices: list[FindingOut] = Field(description="rows that were taken, with something to tell; the first 1 000")
    more_notices: int = Field(description="notices beyond those listed")
    bad_rows: list[FindingOut] = Field(description="what was wrong with the rows left out; the first 1 000")
    more_bad_rows: int = Field(description="errors beyond those listed")


class JobErrorOut(Output):
    """Why a job ended without a result; nothing was written."""

    code: str = Field(examples=["bad_rows"])
    detail: str
    bad_rows: list[FindingOut] = Field(description="every bad row, or the first 1 000 errors")
    more_bad_rows: int = Field(description="errors beyond those listed")


class ImportSummaryOut(Output):
    """An import in a list."""

    id: ImportId
    state: JobState
    files: list[str]
    skip_bad: bool
    update: bool
    dry_run: bool
    start_at: Moment | None
    namespace: str | None
    progress: ProgressOut
    created_at: Moment
    finished_at: Moment | None


class ImportOut(ImportSummaryOut):
    """An import; once finished it has exactly one of a result and an error."""

    result: ImportResultOut | None
    error: JobErrorOut | None


class ExportIn(Input):
    """What to export."""

    format: Annotated[Format, Field(strict=False, examples=["csv"])]
    what: list[Annotated[Kind, Field(strict=False)]] = Field(
        min_length=1, max_length=len(Kind), examples=[["offers", "requests"]]
    )
    namespace: Namespace | None = Field(
        default=None, description="only what was imported into it, with its prefix taken off"
    )


class ExportFileOut(Output):
    """A file that an export wrote."""

    name: str = Field(examples=["offers.csv"])
    rows: int
    bytes: int
    url: str = Field(examples=["/v1/exports/exp_01jd5qx2y0e4t9g5k8z7b3m6n1/files/offers.csv"])


class ExportResultOut(Output):
    """What an export wrote; the files are deleted 24 hours after it ended."""

    files: list[ExportFileOut]


class ExportSummaryOut(Output):
    """An export in a list."""

    id: ExportId
    state: JobState
    format: Format
    what: list[Kind]
    namespace: str | None
    progress: ProgressOut
    created_at: Moment
    finished_at: Moment | None


class ExportOut(ExportSummaryOut):
    """An export; once finished it has exactly one of a result and an error."""

    result: ExportResultOut | None
    error: JobErrorOut | None


def _finding(stored: dict[str, Any], language: str) -> FindingOut:
    return FindingOut(
        file=stored["file"],
        line=stored["line"],
        column=stored["column"],
        code=stored["code"],
        detail=sentence(stored["code"], stored["params"], language),
    )


def _findings(stored: dict[str, Any], name: str, language: str) -> dict[str, Any]:
    shown = [_finding(one, language) for one in stored[name]]
    return {name: shown, f"more_{name}": stored[f"more_{name}"]}


def _error(job: BulkJob, language: str) -> JobErrorOut | None:
    if job.error is None:
        return None
    detail = sentence(job.error["code"], job.error["params"], language)
    return JobErrorOut(code=job.error["code"], detail=detail, **_findings(job.error, "bad_rows", language))


def _common(job: BulkJob) -> dict[str, Any]:
    return {
        "id": job.id,
        "state": JobState(job.state),
        "progress": ProgressOut(**job.progress),
        "created_at": job.created_at,
        "finished_at": job.finished_at,
    }


def import_summary(job: BulkJob) -> ImportSummaryOut:
    """Return an import as listed."""
    options: dict[str, Any] = {name: value for name, value in job.options.items() if name != "roles"}
    if options["start_at"] is not None:
        options["start_at"] = datetime.fromisoformat(options["start_at"])
    return ImportSummaryOut(**_common(job), **options)


def import_out(job: BulkJob, language: str) -> ImportOut:
    """Return an import as shown, its sentences in `language`."""
    result = None
    if job.result is not None:
        lists = _findings(job.result, "notices", language) | _findings(job.result, "bad_rows", language)
        files = {name: FileCountsOut(**counts) for name, counts in job.result["files"].items()}
        result = ImportResultOut(dry_run=job.result["dry_run"], files=files, **lists)
    summary = import_summary(job)
    known = {name: getattr(summary, name) for name in ImportSummaryOut.model_fields}
    return ImportOut(**known, result=result, error=_error(job, language))


def export_summary(job: BulkJob) -> ExportSummaryOut:
    """Return an export as listed."""
    options = job.options
    return ExportSummaryOut(
        **_common(job),
        format=Format(options["format"]),
        what=[Kind(kind) for kind in options["what"]],
        namespace=options["namespace"],
    )


def export_out(job: BulkJob, language: str, base: str) -> ExportOut:
    """Return an export as shown; its files are under `base`."""
    result = None
    if job.result is not None:
        result = ExportResultOut(
            files=[ExportFileOut(**file, url=f"{base}/files/{file['name']}") for file in job.result["files"]]
        )
    summary = export_summary(job)
    known = {name: getattr(summary, name) for name in ExportSummaryOut.model_fields}
    return ExportOut(**known, result=result, error=_error(job, language))
