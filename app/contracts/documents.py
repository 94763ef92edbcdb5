"""A contract's documents: uploads read and checked, and the document that is generated from the contract itself."""

import hashlib
from dataclasses import dataclass
from html import escape
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Final

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from app.contracts.errors import DOCUMENT_FIELD, DOCUMENT_KIND, DOCUMENT_NAME, DOCUMENT_TYPE, ONE_FILE
from app.contracts.models import MAX_DOCUMENT_BYTES, Contract, DocumentKind
from app.kit.ids import encode_id
from app.kit.money import format_cny
from app.kit.time import format_rfc3339
from app.kit.uploads import read_form
from app.reservations.schemas import hours_between

# The form around the file is small; the file's own size is what the limit is about.
_FORM_BYTES: Final = 64 * 1024
_MAX_NAME: Final = 200
_MAGIC: Final = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
)
_ZH: Final = {
    "compute": "算力",
    "storage": "存储",
    "network": "网络",
    "security": "安全",
    "prepaid": "预付",
    "arrears": "后付",
}


@dataclass(frozen=True, slots=True)
class UploadedDocument:
    """A document as it came; `digest` is the same for the same file and kind, whatever boundary they came with."""

    kind: DocumentKind
    name: str
    media_type: str
    content: bytes
    digest: bytes


def upload_form(default: DocumentKind) -> dict[str, Any]:
    """Return how an upload is described in the OpenAPI document."""
    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["file"],
                        "properties": {
                            "file": {
                                "type": "string",
                                "format": "binary",
                                "description": "a PDF, PNG or JPEG of at most 10 MiB, told by its content",
                            },
                            "kind": {
                                "type": "string",
                                "enum": [kind.value for kind in DocumentKind],
                                "default": default.value,
                            },
                        },
                    }
                }
            },
        }
    }


async def read_document(request: Request, default: DocumentKind = DocumentKind.CONTRACT) -> UploadedDocument:
    """Return the one file of an upload, of the kind `default` unless it is told.

    Its type is told by its content, not by what the sender calls it.

    Raises:
        Problem: `not_multipart`, `upload_too_large`, `malformed`, `one_file`, `unknown_form_field`, `form_value`,
            `document_type`, `document_name`.
    """
    form = await read_form(request, max_bytes=MAX_DOCUMENT_BYTES + _FORM_BYTES, max_files=2, max_fields=4)
    try:
        return await _parsed(form, default)
    finally:
        await form.close()


async def _parsed(form: FormData, kind: DocumentKind) -> UploadedDocument:
    files: list[UploadFile] = []
    for name, value in form.multi_items():
        if name == "file" and isinstance(value, UploadFile):
            files.append(value)
        elif name == "kind" and isinstance(value, str):
            if value not in set(DocumentKind):
                raise DOCUMENT_KIND.field("/kind", wanted=", ".join(DocumentKind))
            kind = DocumentKind(value)
        else:
            raise DOCUMENT_FIELD.field(f"/{name[:60]}", name=name[:60])
    if len(files) != 1:
        raise ONE_FILE.field("/file")
    content = await files[0].read()
    media_type = next((kept for magic, kept in _MAGIC if content.startswith(magic)), None)
    if media_type is None:
        raise DOCUMENT_TYPE.field("/file")
    given = PurePosixPath(PureWindowsPath(files[0].filename or "").name).name
    if not (0 < len(given) <= _MAX_NAME and given.isprintable()):
        raise DOCUMENT_NAME.field("/file")
    digest = hashlib.sha256(f"{kind.value}\0{given}\0".encode() + content).digest()
    return UploadedDocument(kind, given, media_type, content, digest)


def contract_document(contract: Contract, buyer: str, supplier: str) -> str:
    """Return a contract as an HTML document in Chinese and English; the same contract gives the same bytes."""
    rows = (
        ("合同编号", "Contract", encode_id("ctr", contract.id)),
        ("预留编号", "Reservation", encode_id("rsv", contract.reservation_id)),
        ("需求方", "Buyer", f"{buyer} ({encode_id('org', contract.buyer_org_id)})"),
        ("供应方", "Supplier", f"{supplier} ({encode_id('org', contract.supplier_org_id)})"),
        ("签订时间", "Signed at", format_rfc3339(contract.signed_at)),
        ("芯片型号", "Chip model", contract.chip_model),
        ("地区", "Region", contract.region),
        ("卡数", "Cards", str(contract.cards)),
        ("开始", "From", format_rfc3339(contract.starts_at)),
        ("结束", "To", format_rfc3339(contract.ends_at)),
        ("时长（小时）", "Hours", str(hours_between(contract.starts_at, contract.ends_at))),
        ("单价（元/卡时）", "Price per card-hour (CNY)", format_cny(contract.price_fen)),
        *(
            (f"{_ZH[item.kind]}（元）", f"{item.kind.capitalize()} (CNY)", format_cny(item.amount_fen))
            for item in contract.items
        ),
        ("合同总额（元）", "Total (CNY)", format_cny(contract.amount_fen)),
        ("付款方式", "Payment", f"{_ZH[contract.payment]} / {contract.payment}"),
    )
    table = "\n".join(
        f"<tr><th>{escape(zh)}<br><small>{escape(en)}</small></th><td>{escape(value)}</td></tr>"
        for zh, en, value in rows
    )
    return f"""<!doctype html>
<html lang="zh-CN">
<head>
<meta charset="utf-8">
<title>算力服务合同 Compute service contract</title>
<style>
body {{ font-family: "Noto Sans SC", "Microsoft YaHei", sans-serif; max-width: 48rem; margin: 2rem auto; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ border: 1px solid #888; padding: 0.4rem 0.8rem; text-align: left; }}
th {{ width: 40%; font-weight: normal; background: #f4f4f4; }}
</style>
</head>
<body>
<h1>算力服务合同</h1>
<h2>Compute service contract</h2>
<p>双方在平台上确认后本合同成立。下列内容为签订时的约定。</p>
<p>This contract was made when both sides accepted it on the platform. The terms below are as signed.</p>
<table>
{table}
</table>
<p>算力券抵扣以经办部门或规则审核通过的申请为准，按实际结算分次抵扣。</p>
<p>Compute vouchers are deducted from each settlement as far as their applications are approved.</p>
</body>
</html>
"""
