"""What clearings refuse, why a run ends without an outcome, and why a match is lost when it is applied."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from app.kit.errors import CHINESE, ErrorCode

UNKNOWN_PROGRAMME: Final = ErrorCode(
    "unknown_programme",
    422,
    "There is no published programme {programme!r}; those are {known}.",
    "没有已发布的项目 {programme!r}；可用：{known}。",
)
PROGRAMME_SETTING: Final = ErrorCode("programme_setting", 422, "{why}", "{why}")
WHAT_IF_ONLY: Final = ErrorCode(
    "what_if_only",
    422,
    "Other numbers of a programme are a what-if: take mode dry_run, or open the programme with these amounts.",
    "修改项目参数仅用于试算：请使用 dry_run 模式，或按这些额度开放该项目。",
)
SETTING_WITHOUT_PROGRAMME: Final = ErrorCode(
    "setting_without_programme",
    422,
    "{programme!r} has settings but is not among the programmes.",
    "{programme!r} 有参数设置，但不在所选项目之中。",
)
ONE_LIMIT: Final = ErrorCode(
    "one_limit_only", 422, "Give time_limit_s or work_limit, not both.", "time_limit_s 与 work_limit 只能给出一个。"
)
TOO_MANY_CLEARINGS: Final = ErrorCode(
    "too_many_clearings",
    409,
    "{waiting} clearings wait or run already; cancel one or try again when they have ended.",
    "已有 {waiting} 个清算在排队或运行；请取消其中之一，或待其结束后再试。",
)
DRY_RUN_ONLY: Final = ErrorCode(
    "dry_run_only",
    422,
    "{what} is a what-if: take mode dry_run.",
    "{what} 仅用于试算：请使用 dry_run 模式。",
)
OFFER_CHANGE_TARGET: Final = ErrorCode(
    "offer_change_target",
    422,
    "Give exactly one of offer_id and supplier.",
    "offer_id 与 supplier 须且只能给出一个。",
)
OFFER_CHANGE_NUMBERS: Final = ErrorCode(
    "offer_change_numbers",
    422,
    "Give price_fen or price_ppm, add_cards or cards_ppm: at least one, and not both of a pair.",
    "请给出 price_fen 或 price_ppm、add_cards 或 cards_ppm：至少一个，且每对中不能同时给出。",
)
OFFER_CHANGED_TWICE: Final = ErrorCode(
    "offer_changed_twice",
    422,
    "{name} is changed twice; join the changes in one.",
    "{name} 被修改了两次；请合并为一项。",
)
BASE_HAS_FILTERS: Final = ErrorCode(
    "base_has_filters",
    422,
    "A stored clearing is solved again as a whole: leave the filters out, or leave base_clearing_id out.",
    "重新求解已存的清算时使用其全部输入：请去掉 filters，或去掉 base_clearing_id。",
)
BASE_PROGRAMME: Final = ErrorCode(
    "base_programme",
    422,
    "{programme!r} did not take part in the base clearing; those that did are {known}.",
    "{programme!r} 未参与基础清算；参与的项目：{known}。",
)
UNKNOWN_CHIP: Final = ErrorCode(
    "unknown_chip_on_offer",
    422,
    "{name!r} is neither a chip class nor a chip model on offer in this clearing; classes are {known}.",
    "{name!r} 不是此清算中在售的芯片类别或型号；类别有：{known}。",
)
TO_BEFORE_FROM: Final = ErrorCode("to_before_from", 422, "`to` is not after `from`.", "`to` 须晚于 `from`。")
CLEARING_FINISHED: Final = ErrorCode(
    "clearing_finished", 409, "The clearing has {state}; it can't be cancelled.", "清算已结束（{state}），不能取消。"
)
NO_OUTCOME: Final = ErrorCode(
    "no_outcome", 409, "The clearing is {state} and has no result to show.", "清算状态为 {state}，没有可显示的结果。"
)

_ENDS: dict[str, ErrorCode] = {}


def _end(code: str, en: str, zh: str) -> ErrorCode:
    _ENDS[code] = made = ErrorCode(code, 422, en, zh)
    return made


CANCELLED: Final = _end("cancelled", "The run was cancelled; nothing was reserved.", "清算已取消，未预留任何资源。")
INFEASIBLE: Final = _end(
    "infeasible",
    "What is pinned contradicts itself: {why}. Take one of these pins away.",
    "固定项相互矛盾：{why}。请去掉其中之一。",
)
TIMEOUT: Final = _end(
    "timeout",
    "No verified outcome was found in time: {why}. Give more time or fewer requests.",
    "未能在限时内得到经验证的结果：{why}。请延长时间或减少需求。",
)
WALL_LIMIT: Final = _end(
    "time_limit",
    "The solver did not end within {seconds} s and was stopped. Give it a longer time limit or fewer requests.",
    "求解器未在 {seconds} 秒内结束，已被终止。请延长时间限制或减少需求。",
)
MEMORY_LIMIT: Final = _end(
    "memory_limit",
    "The solver took more than {mib} MiB and was stopped. Filter the market, or raise CARDHOUR_SOLVER_MEMORY_MIB.",
    "求解器占用内存超过 {mib} MiB，已被终止。请缩小范围，或调高 CARDHOUR_SOLVER_MEMORY_MIB。",
)
SOLVER_DIED: Final = _end(
    "solver_died",
    "The solver ended by itself (code {code}); nothing was reserved. Run the clearing again.",
    "求解器意外退出（代码 {code}），未预留任何资源。请重新运行清算。",
)
REFUSED: Final = _end(
    "input_refused",
    "The market or the options can't be cleared: {why}. Correct that, or filter it out.",
    "市场或选项无法清算：{why}。请更正或筛除。",
)
NOT_VERIFIED: Final = _end(
    "not_verified",
    "The outcome did not pass its own check and was not used: {why}. Report this.",
    "结果未通过自检，未被采用：{why}。请反馈此问题。",
)
PROGRAMME_CLOSED: Final = _end(
    "programme_closed",
    "A programme is not open: {why}. Open it for this year, or leave it out.",
    "项目未开放：{why}。请开放该年度，或不使用该项目。",
)
NOT_APPLIED: Final = _end(
    "not_applied",
    "What was matched could not be reserved: {why} Nothing was reserved. Run the clearing again.",
    "匹配结果未能预留：{why} 未预留任何资源。请重新运行清算。",
)
TOO_BUSY: Final = _end(
    "concurrent_change",
    "Others kept changing what was to be reserved; nothing was reserved. Run the clearing again.",
    "待预留的资源持续被他人更改，未预留任何资源。请重新运行清算。",
)
GAVE_UP: Final = _end(
    "gave_up",
    "The run was begun {attempts} times and never ended; nothing was reserved. Run it again with a shorter limit.",
    "清算启动 {attempts} 次均未完成，未预留任何资源。请缩短时限后重新运行。",
)
FAILED: Final = _end(
    "internal_error",
    "Something went wrong on our side; nothing was reserved. Run the clearing again.",
    "服务器内部错误，未预留任何资源。请重新运行清算。",
)


def error_json(end: ErrorCode, /, **params: object) -> dict[str, Any]:
    """Return why a run ended, as it is stored."""
    return {"code": end.code, "params": params}


def end_sentence(stored: Mapping[str, Any], language: str) -> str:
    """Return why a run ended, in `en` or `zh-CN`."""
    known = _ENDS[stored["code"]]
    return (known.zh if language == CHINESE else known.en).format(**stored["params"])


class Loss(StrEnum):
    """Why a match was not reserved: what changed between the snapshot and its application."""

    CAPACITY_TAKEN = "capacity_taken"
    REQUEST_CHANGED = "request_changed"
    OFFER_CHANGED = "offer_changed"
    BUDGET_EXHAUSTED = "budget_exhausted"
    BLOCK_TAKEN = "block_taken"
    MIN_BLOCKS = "min_blocks"
    START_PASSED = "start_passed"
    NOT_ELIGIBLE = "not_eligible"
    PROGRAMME_CLOSED = "programme_closed"
    PROGRAMME_CHANGED = "programme_changed"
    YEAR_OVER = "year_over"


_LOSS_TEXTS: Final = {
    Loss.CAPACITY_TAKEN: ("A booking took the cards meanwhile.", "资源卡已被其他预订占用。"),
    Loss.REQUEST_CHANGED: (
        "The request was edited, withdrawn or closed meanwhile, or its buyer may not work any more.",
        "该需求已被修改、撤回或关闭，或其买方已不能交易。",
    ),
    Loss.OFFER_CHANGED: (
        "The offer was edited or withdrawn meanwhile, or its supplier may not work any more.",
        "该资源已被修改或撤回，或其供应方已不能交易。",
    ),
    Loss.BUDGET_EXHAUSTED: (
        "What was left of a voucher budget was earmarked for others meanwhile.",
        "算力券剩余额度已为其他预留所占用。",
    ),
    Loss.BLOCK_TAKEN: ("The block was booked meanwhile.", "该分块已被预订。"),
    Loss.MIN_BLOCKS: (
        "Other blocks of the request were lost, and what was left is less than its min_blocks.",
        "该需求的其他分块未能预留，剩余分块少于 min_blocks。",
    ),
    Loss.START_PASSED: ("The start had come before it could be reserved.", "开始时间已过，无法预留。"),
    Loss.NOT_ELIGIBLE: (
        "By the facts of now, the buyer or the supplier does not meet the terms of the voucher.",
        "按当前登记信息，买方或供应方不符合算力券条件。",
    ),
    Loss.PROGRAMME_CLOSED: ("The voucher programme is not open any more.", "该算力券项目已不再开放。"),
    Loss.PROGRAMME_CHANGED: (
        "The voucher programme is open under another version now.",
        "该算力券项目现适用另一版本。",
    ),
    Loss.YEAR_OVER: (
        "The programme's year ended meanwhile; a contract of now is of the next.",
        "项目年度已结束，现在签订的合同属于下一年度。",
    ),
}


def loss_sentence(loss: Loss, language: str) -> str:
    """Return why a match was lost, in `en` or `zh-CN`."""
    english, chinese = _LOSS_TEXTS[loss]
    return chinese if language == CHINESE else english
