"""Statement lines as files: CSV that no spreadsheet takes for formulas, and JSON Lines."""

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Final

from app.kit.ids import encode_id
from app.kit.money import format_cny
from app.kit.time import format_rfc3339
from app.ledger.models import Line

# As in every export: a text that begins like a formula gets an apostrophe before it.
_DANGEROUS: Final = re.compile(r"'*[=+\-@\t\r]")
COLUMNS: Final = (
    "account",
    "seq",
    "created_at",
    "transfer_id",
    "kind",
    "side",
    "other_account",
    "subject",
    "pending_cny",
    "posted_cny",
    "debits_pending_cny",
    "debits_posted_cny",
    "credits_pending_cny",
    "credits_posted_cny",
    "left_cny",
    "corrects_id",
    "reason",
)


def escape(text: str) -> str:
    """Return a text with an apostrophe before it if a spreadsheet might take it for a formula."""
    return f"'{text}" if _DANGEROUS.match(text) else text


def _amounts(line: Line) -> tuple[int, ...]:
    return (
        line.pending_fen,
        line.posted_fen,
        line.debits_pending,
        line.debits_posted,
        line.credits_pending,
        line.credits_posted,
        line.left_fen,
    )


def write_csv(lines: Sequence[Line]) -> bytes:
    """Return lines as UTF-8 CSV with LF; amounts in CNY with two decimals, what is unknown empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for line in lines:
        writer.writerow(
            (
                escape(line.account_name),
                line.seq,
                format_rfc3339(line.created_at),
                encode_id("xfer", line.transfer_id),
                line.kind,
                line.side,
                escape(line.other_name or ""),
                line.subject or "",
                *map(format_cny, _amounts(line)),
                "" if line.corrects_id is None else encode_id("xfer", line.corrects_id),
                escape(line.reason or ""),
            )
        )
    return text.getvalue().encode()


def write_jsonl(lines: Sequence[Line]) -> bytes:
    """Return lines as UTF-8 JSON Lines; amounts in integer fen."""
    names = [name.removesuffix("_cny") + "_fen" for name in COLUMNS if name.endswith("_cny")]

    def as_object(line: Line) -> dict[str, object]:
        return {
            "account": line.account_name,
            "account_id": encode_id("acct", line.account_id),
            "seq": line.seq,
            "created_at": format_rfc3339(line.created_at),
            "transfer_id": encode_id("xfer", line.transfer_id),
            "kind": line.kind,
            "side": line.side,
            "other_account": line.other_name,
            "other_account_id": encode_id("acct", line.other_id),
            "subject": None if line.subject is None else str(line.subject),
            **dict(zip(names, _amounts(line), strict=True)),
            "corrects_id": None if line.corrects_id is None else encode_id("xfer", line.corrects_id),
            "reason": line.reason,
        }

    return "".join(json.dumps(as_object(line), ensure_ascii=False) + "\n" for line in lines).encode()
