"""Problems: every refusal has a stable code, a status and a text in English and Chinese (RFC 9457).

A package declares its `ErrorCode`s in its `errors.py`; `problem()` makes the exception that the handlers of
`kit.problems` turn into `application/problem+json`. Database constraint names map to codes through
`map_constraint`, in one registry; a name that is not there is a bug and surfaces as a 500.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

ENGLISH: Final = "en"
CHINESE: Final = "zh-CN"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with the input: a JSON pointer (`/cards`) or a parameter name, a code and a sentence."""

    pointer: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """A kind of refusal. `en` and `zh` are templates filled from the parameters of `problem()`."""

    code: str
    status: int
    en: str
    zh: str

    def problem(
        self,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        **params: object,
    ) -> "Problem":
        """Return the exception to raise, its texts filled with `params`."""
        return Problem(self, params=params, errors=tuple(errors), headers=dict(headers or {}))

    def field(self, pointer: str, **params: object) -> "Problem":
        """Return the exception for one wrong field."""
        error = FieldError(pointer, self.code, self.en.format(**params))
        return Problem(self, params=params, errors=(error,))

    @property
    def title(self) -> str:
        """The code as a short English phrase."""
        return self.code.replace("_", " ").capitalize()


@dataclass(eq=False)
class Problem(Exception):  # noqa: N818  RFC 9457's own word
    """A refusal that the caller is told about."""

    code: ErrorCode
    params: Mapping[str, object] = field(default_factory=dict[str, object])
    errors: tuple[FieldError, ...] = ()
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def detail(self, language: str = ENGLISH) -> str:
        """Return the sentence for people in `en` or `zh-CN`."""
        template = self.code.zh if language == CHINESE else self.code.en
        return template.format(**self.params)

    def __str__(self) -> str:
        return f"{self.code.code}: {self.detail()}"


_CONSTRAINTS: dict[str, ErrorCode] = {}


def map_constraint(name: str, code: ErrorCode) -> ErrorCode:
    """Declare which code a violated database constraint means; return the code."""
    _CONSTRAINTS[name] = code
    return code


def code_of_constraint(name: str | None) -> ErrorCode | None:
    """Return the code declared for a constraint name, or None."""
    return _CONSTRAINTS.get(name) if name else None


INVALID: Final = ErrorCode("invalid", 422, "The input is not valid; see errors.", "输入无效，详见 errors。")
MALFORMED: Final = ErrorCode("malformed", 400, "The request can't be read: {why}", "无法读取请求：{why}")
UNAUTHENTICATED: Final = ErrorCode(
    "unauthenticated",
    401,
    "Send a valid API key: Authorization: Bearer chk_…",
    "请提供有效的 API 密钥：Authorization: Bearer chk_…",
)
FORBIDDEN: Final = ErrorCode("forbidden", 403, "This is for: {roles}.", "仅限以下角色：{roles}。")
NOT_FOUND: Final = ErrorCode("not_found", 404, "There is no such {what}.", "没有此{what}。")
METHOD_NOT_ALLOWED: Final = ErrorCode(
    "method_not_allowed", 405, "This path doesn't take {method}.", "此路径不接受 {method}。"
)
CONFLICT: Final = ErrorCode(
    "concurrent_change",
    409,
    "Others kept changing the same rows; nothing was written. Try again.",
    "相同数据正被他人频繁修改，本次未写入任何内容，请重试。",
)
PRECONDITION_REQUIRED: Final = ErrorCode(
    "if_match_required",
    428,
    "Send If-Match with the ETag that you read, so that nobody's change is overwritten unseen.",
    "请在 If-Match 中带上读到的 ETag，以免覆盖他人的修改。",
)
STALE: Final = ErrorCode(
    "stale",
    412,
    "It has changed since you read it (now {etag}). Read it again.",
    "内容在您读取之后已被修改（当前为 {etag}），请重新读取。",
)
IDEMPOTENCY_REQUIRED: Final = ErrorCode(
    "idempotency_key_required",
    400,
    "Send an Idempotency-Key header (any unique text up to 255 characters) so that a retry can't act twice.",
    "请发送 Idempotency-Key 请求头（不超过 255 字符的唯一文本），以免重试时重复执行。",
)
IDEMPOTENCY_MISMATCH: Final = ErrorCode(
    "idempotency_key_reused",
    422,
    "This Idempotency-Key was used for another body. Use a new key.",
    "此 Idempotency-Key 已用于不同的请求内容，请换用新的键。",
)
IDEMPOTENCY_IN_FLIGHT: Final = ErrorCode(
    "idempotency_in_flight",
    409,
    "The first request with this Idempotency-Key is still running. Try again in a moment.",
    "使用此 Idempotency-Key 的首个请求仍在执行，请稍后重试。",
)
UNAVAILABLE: Final = ErrorCode(
    "database_unavailable",
    503,
    "The database can't be reached just now; nothing is lost. Try again in a moment.",
    "数据库暂时不可用，数据没有丢失，请稍后重试。",
)
INTERNAL: Final = ErrorCode(
    "internal_error",
    500,
    "Something went wrong on our side; quote the request_id when you report it.",
    "服务器内部错误，请在反馈时提供 request_id。",
)
