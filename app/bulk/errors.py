"""What bulk refuses: whole uploads as problems, single rows by codes that keep their sentences in both languages."""

from collections.abc import Mapping
from typing import Any, Final

from app.kit.errors import CHINESE, ErrorCode

NO_FILES: Final = ErrorCode(
    "no_files",
    422,
    "Send at least one file in the form field files.",
    "请在表单字段 files 中至少上传一个文件。",
)
UNKNOWN_FILE: Final = ErrorCode(
    "unknown_file",
    422,
    "{name} is not a file of a market; it takes offers, requests, buyers, suppliers and chips as .csv or .jsonl.",
    "{name} 不是市场文件；可用 offers、requests、buyers、suppliers、chips，后缀 .csv 或 .jsonl。",
)
REPEATED_FILE: Final = ErrorCode(
    "repeated_file", 422, "{name} comes twice; send each kind of file once.", "{name} 重复；每种文件只能上传一次。"
)
UNKNOWN_FORM_FIELD: Final = ErrorCode(
    "unknown_form_field",
    422,
    "This form has no field {name}; it takes files, skip_bad, update, start_at, namespace, dry_run.",
    "此表单没有字段 {name}；可用 files、skip_bad、update、start_at、namespace、dry_run。",
)
FORM_VALUE: Final = ErrorCode("form_value", 422, "{name} takes {wanted}.", "{name} 的取值应为：{wanted}。")
JOB_FINISHED: Final = ErrorCode(
    "job_finished", 409, "The job has {state}; it can't be cancelled.", "任务已结束（{state}），不能取消。"
)
FILE_GONE: Final = ErrorCode(
    "file_gone",
    410,
    "The file was deleted 24 hours after the export ended; export again.",
    "文件已在导出结束 24 小时后删除，请重新导出。",
)

_ROW_CODES: dict[str, ErrorCode] = {}


def _row(code: str, en: str, zh: str) -> ErrorCode:
    _ROW_CODES[code] = made = ErrorCode(code, 422, en, zh)
    return made


# Whole files.
NOT_UTF8: Final = _row(
    "not_utf8",
    "The file is not UTF-8: byte {byte} (counted from 0) can't be read. Save it as UTF-8.",
    "文件不是 UTF-8 编码：第 {byte} 字节（从 0 起）无法读取，请另存为 UTF-8。",
)
EMPTY_FILE: Final = _row("empty_file", "The file has no header line.", "文件没有表头。")
UNKNOWN_COLUMN: Final = _row(
    "unknown_column", "There is no column {name!r}; the columns are {known}.", "没有列 {name!r}；可用的列：{known}。"
)
MISSING_COLUMN: Final = _row("missing_column", "The column {name} is missing.", "缺少列 {name}。")
DUPLICATE_COLUMN: Final = _row("duplicate_column", "The column {name!r} comes twice.", "列 {name!r} 重复。")
TOO_MANY_ROWS: Final = _row(
    "too_many_rows", "The upload has more than {most} rows; send it in parts.", "上传超过 {most} 行，请分批上传。"
)
# Whole rows.
CELL_COUNT: Final = _row(
    "cell_count", "The row has {found} cells, the header {wanted}.", "该行有 {found} 个单元格，表头有 {wanted} 个。"
)
BAD_CSV: Final = _row("bad_csv", "The row can't be read as CSV: {why}.", "该行不是有效的 CSV：{why}。")
BAD_JSON: Final = _row("bad_json", "The line can't be read as JSON: {why}.", "该行不是有效的 JSON：{why}。")
NOT_AN_OBJECT: Final = _row("not_an_object", "Expected a JSON object.", "应为 JSON 对象。")
DUPLICATE_FIELD: Final = _row("duplicate_field", "The field {name!r} comes twice.", "字段 {name!r} 重复。")
DUPLICATE_REF: Final = _row(
    "duplicate_reference", "{ref!r} is in line {line} already.", "编号 {ref!r} 已在第 {line} 行出现。"
)
DEPENDS: Final = _row(
    "depends_on_bad_row", "{ref!r} is in {file}, in a row that is refused.", "{ref!r} 位于 {file} 中被拒绝的行。"
)
# Values.
REQUIRED: Final = _row("required", "A value is needed.", "必须填写。")
BAD_TEXT: Final = _row(
    "bad_text", "The text has characters that can't be stored (NUL or half a pair).", "文本含有无法存储的字符。"
)
TOO_LONG: Final = _row("too_long", "At most {most} characters.", "最多 {most} 个字符。")
BAD_REF: Final = _row(
    "bad_reference",
    "A reference has no spaces at its ends and no control characters.",
    "编号首尾不能有空格，也不能含控制字符。",
)
BAD_CHIP_NAME: Final = _row("bad_chip_name", "Not a chip model's name: {why}.", "芯片型号名称无效：{why}。")
BAD_SELECTOR: Final = _row("bad_selector", "Not a chip selector: {why}.", "芯片选择式无效：{why}。")
WRONG_TYPE: Final = _row("wrong_type", "Expected {wanted}.", "应为 {wanted}。")
NOT_A_NUMBER: Final = _row("not_a_number", "{value!r} is not a number.", "{value!r} 不是数字。")
NOT_WHOLE: Final = _row("not_whole", "{value} is not a whole number.", "{value} 不是整数。")
OUT_OF_RANGE: Final = _row(
    "out_of_range", "{value} is not between {low} and {high}.", "{value} 不在 {low} 与 {high} 之间。"
)
NOT_POSITIVE: Final = _row("not_positive", "{value} is not above 0.", "{value} 应大于 0。")
TOO_PRECISE: Final = _row("too_precise", "{value} has more than {most} decimals.", "{value} 的小数位超过 {most} 位。")
NOT_A_TIME: Final = _row(
    "not_a_time",
    "{value!r} is not an RFC 3339 time such as 2026-12-01T09:00:00+08:00.",
    "{value!r} 不是 RFC 3339 时间，例如 2026-12-01T09:00:00+08:00。",
)
NAIVE_TIME: Final = _row(
    "naive_time",
    "{value!r} has no offset; write for example 2026-12-01T09:00:00+08:00.",
    "{value!r} 没有时区偏移；例如 2026-12-01T09:00:00+08:00。",
)
NOT_WHOLE_HOUR: Final = _row(
    "not_whole_hour",
    "{value} is not on a whole hour (UTC); an offer begins and ends on whole hours, and rounding would change it.",
    "{value} 不在整点（UTC）；资源须在整点开始和结束，取整会改变其含义。",
)
NOT_A_CHOICE: Final = _row("not_a_choice", "{value!r} is not one of {choices}.", "{value!r} 应为 {choices} 之一。")
WINDOW_ENDS_FIRST: Final = _row(
    "window_ends_before_start", "It ends at {end}, not after it starts.", "结束时间 {end} 不晚于开始时间。"
)
MIN_BLOCKS: Final = _row(
    "min_blocks_above_blocks", "{min_blocks} is more than the {blocks} blocks.", "{min_blocks} 超过块数 {blocks}。"
)
STEPS_NOT_ASCENDING: Final = _row(
    "capacity_not_ascending", "Each step must begin after the one before it.", "每一级须晚于前一级开始。"
)
STEPS_NOT_ENDED: Final = _row(
    "capacity_ends_at_zero", "The last step must have 0 cards: it ends the offer.", "最后一级必须为 0 卡。"
)
PRICE_ONE_WAY: Final = _row(
    "price_one_way",
    "Give the fields of one price unit: price_fen and list_price_fen for card_hour, posted_fen_per_instance_month and"
    " listed_fen_per_instance_month for instance_month.",
    "只给出一种计价单位的字段：card_hour 用 price_fen 与 list_price_fen，instance_month 用"
    " posted_fen_per_instance_month 与 listed_fen_per_instance_month。",
)
# Against what exists.
UNKNOWN_BUYER: Final = _row("unknown_buyer", "There is no buyer {ref!r}.", "没有需求方 {ref!r}。")
UNKNOWN_SUPPLIER: Final = _row("unknown_supplier", "There is no supplier {ref!r}.", "没有供应商 {ref!r}。")
UNKNOWN_CHIP: Final = _row(
    "unknown_chip",
    "Neither the chips file nor the catalogue has the chip model or class {name!r}.",
    "芯片文件和目录中都没有型号或类别 {name!r}。",
)
NOT_APPROVED: Final = _row(
    "organisation_not_approved",
    "The organisation {ref!r} is {state}; the desk must approve it first.",
    "单位 {ref!r} 当前状态为 {state}，须先经撮合席批准。",
)
NOT_YOURS: Final = _row(
    "not_yours",
    "It belongs to {ref!r}; you may import only your own.",
    "该行属于 {ref!r}；您只能导入本单位的数据。",
)
PRIORITY_BY_DESK: Final = _row(
    "priority_by_desk_only",
    "Priority is set by the desk; write 1 or what is on record.",
    "优先级由撮合席设定；请填 1 或现有值。",
)
EXISTS_DIFFERENTLY: Final = _row(
    "exists_differently",
    "{ref!r} exists with other values of {columns}; use --update to change it, or --namespace NAME to import this"
    " market beside it.",
    "{ref!r} 已存在，且 {columns} 的值不同；使用 --update 修改，或用 --namespace NAME 将此市场并列导入。",
)
BELOW_COMMITMENTS: Final = _row(
    "capacity_below_commitments",
    "From {since} on {reserved} cards are reserved, more than the {cards} that the offer would have.",
    "自 {since} 起已预留 {reserved} 卡，超过更新后的 {cards} 卡。",
)
OFFER_COMMITTED: Final = _row(
    "offer_committed",
    "Reservations were made on this offer's {columns}; list another offer instead.",
    "已有预留基于该资源的 {columns}，请另行发布新的资源。",
)
REQUEST_COMMITTED: Final = _row(
    "request_has_live_reservations",
    "The request has live reservations, so it can't be changed.",
    "该需求有生效中的预留，不能修改。",
)
NOT_OPEN: Final = _row("not_open", "It is {state}, so it can't be changed.", "当前状态为 {state}，不能修改。")
# Notices.
CATALOGUE_DIFFERS: Final = _row(
    "catalogue_differs",
    "The catalogue says {known} for {name!r}, the file {stated}; the catalogue is kept (--update changes it).",
    "目录中 {name!r} 为 {known}，文件中为 {stated}；保留目录的值（--update 可修改）。",
)
IS_WITHDRAWN: Final = _row(
    "is_withdrawn", "{ref!r} is on record but withdrawn; it stays so.", "{ref!r} 已有记录但已撤回，保持不变。"
)
LARGER_THAN_ANY: Final = _row(
    "larger_than_any_offer",
    "It needs {cards} cards in one offer; the largest offer has {largest}. It is accepted and can't be matched yet.",
    "需要单个资源提供 {cards} 卡；现有最大资源为 {largest} 卡。已接受，但暂时无法撮合。",
)
# Exports.
CANNOT_CARRY: Final = _row(
    "csv_cannot_carry",
    "{ref!r}: CSV can't carry {what}; export as jsonl.",
    "{ref!r}：CSV 无法表达 {what}，请导出为 jsonl。",
)
# Why whole jobs end.
BAD_ROWS: Final = _row(
    "bad_rows",
    "{count} errors; nothing was written. Correct them, or send skip_bad to keep the good rows.",
    "共 {count} 处错误，未写入任何内容。请更正，或使用 skip_bad 保留正确的行。",
)
CANNOT_EXPORT: Final = _row(
    "export_refused",
    "{count} rows hold what CSV can't carry; export as jsonl.",
    "有 {count} 行包含 CSV 无法表达的内容，请导出为 jsonl。",
)
CANCELLED: Final = _row("cancelled", "The job was cancelled; nothing was written.", "任务已取消，未写入任何内容。")
GAVE_UP: Final = _row(
    "gave_up",
    "The job was begun {attempts} times and never ended; nothing was written.",
    "任务启动 {attempts} 次均未完成，未写入任何内容。",
)
FAILED: Final = _row(
    "internal_error", "Something went wrong on our side; nothing was written.", "服务器内部错误，未写入任何内容。"
)
CALLER_GONE: Final = _row(
    "caller_not_approved",
    "The organisation that sent it is {state} now; nothing was written.",
    "提交该任务的单位当前状态为 {state}，未写入任何内容。",
)
KEPT_CHANGING: Final = _row(
    "concurrent_change",
    "Others kept changing the same rows; nothing was written. Send it again.",
    "相同数据正被他人频繁修改，未写入任何内容，请重新提交。",
)


def sentence(code: str, params: Mapping[str, Any], language: str) -> str:
    """Return what a row's or a job's code says in `en` or `zh-CN`."""
    known = _ROW_CODES[code]
    return (known.zh if language == CHINESE else known.en).format(**params)
