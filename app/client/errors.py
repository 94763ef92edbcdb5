"""What can go wrong when the service is called."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class FieldProblem(NamedTuple):
    """One thing wrong with the input: a JSON pointer or a parameter's name, a code and a sentence."""

    pointer: str
    code: str
    detail: str


class ClientError(Exception):
    """The base of everything that this client raises by itself."""


class ServiceUnreachable(ClientError):  # noqa: N818  what it is called reads better in a traceback
    """No answer came: the service is not there, or the network is not. `url` is what was called."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"No answer from {url}: {reason}")
        self.url = url
        self.reason = reason


class JobFailed(ClientError):  # noqa: N818
    """An import or export ended without a result; `job` is as it was last read, its `error` says why."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        """Keep the job."""
        error = job["error"]
        super().__init__(f"{job['id']} {job['state']}" + (f": {error['detail']}" if error else ""))
        self.job = job


class ApiError(ClientError):
    """The service refused: an RFC 9457 problem. `code` is stable, `detail` is a sentence for people."""

    def __init__(
        self,
        *,
        status: int,
        code: str,
        detail: str,
        errors: Sequence[FieldProblem] = (),
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Keep what the problem says.

        Args:
            status: the HTTP status.
            code: the stable code; `http_502` and the like where the answer was not one of the service's own.
            detail: what is wrong, and what to do.
            errors: every field that is wrong.
            request_id: to quote when reporting it.
            retry_after: seconds to wait before another try, where the service said so.
        """
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        fields = "".join(f"; {error.pointer or '/'}: {error.detail}" for error in self.errors)
        return f"{self.status} {self.code}: {self.detail}{fields}"
