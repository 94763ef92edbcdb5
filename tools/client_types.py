"""Write `app/client/types.py` from the service's OpenAPI document: `python tools/client_types.py`.

`--check` writes nothing and exits 1 where the file is not what would be written.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, cast

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app.kit.db import APP_ROLE, Database  # noqa: E402
from app.kit.pages import CursorSigner  # noqa: E402
from app.kit.time import utc_now  # noqa: E402
from app.kit.web import AppContext  # noqa: E402
from app.main import create_app  # noqa: E402

TYPES: Final = ROOT / "app" / "client" / "types.py"
_BIN: Final = Path(sys.executable).parent
_HEAD: Final = '''"""The shapes of what goes in and out of the API. Written by tools/client_types.py; don't edit."""

# ruff: noqa: D101, D205, D415, E501
'''


def openapi() -> dict[str, Any]:
    """Return the service's OpenAPI document; no database is needed for it."""
    secret = b"only for the document, never served"
    database = Database("postgresql://localhost/none", role=APP_ROLE)
    context = AppContext(database=database, signer=CursorSigner(secret), secret=secret, clock=utc_now)
    return create_app(context).openapi()


def open_objects(value: Any) -> Any:
    """Return a schema without `additionalProperties: false`: a later service may add fields to its answers."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value).items()
        return {name: open_objects(part) for name, part in members if (name, part) != ("additionalProperties", False)}
    return [open_objects(part) for part in cast("list[Any]", value)] if isinstance(value, list) else value


def make_types() -> str:
    """Return the module's text."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "openapi.json"), Path(folder, "types.py")
        source.write_text(json.dumps(open_objects(openapi())), encoding="utf-8")
        _run(
            *("datamodel-codegen", "--input", source, "--input-file-type", "openapi", "--output", target),
            *("--output-model-type", "typing.TypedDict", "--target-python-version", "3.11"),
            *("--use-schema-description", "--use-field-description", "--use-single-line-docstring"),
            *("--enum-field-as-literal", "all", "--disable-timestamp", "--disable-future-imports"),
            *("--formatters", "builtin"),
        )
        body = re.sub(r"\A(#.*\n|\s)+", "", target.read_text(encoding="utf-8"))
    body = re.sub(
        r"^from typing_extensions import TypedDict$", "from typing import TypedDict", body, flags=re.MULTILINE
    )
    fixed = _run("ruff", "check", "--quiet", "--fix", "--stdin-filename", TYPES, "-", text=f"{_HEAD}\n{body}")
    return _run("ruff", "format", "--quiet", "--stdin-filename", TYPES, "-", text=fixed)


def _run(command: str, *arguments: str | Path, text: str = "") -> str:
    done = subprocess.run(  # noqa: S603  our own tools
        [_BIN / command, *arguments], check=True, cwd=ROOT, input=text, capture_output=True, text=True
    )
    return done.stdout


def main() -> int:
    """Write or check the file; return the exit code."""
    text = make_types()
    if "--check" not in sys.argv:
        TYPES.write_text(text, encoding="utf-8")
        return 0
    same = TYPES.read_text(encoding="utf-8") == text
    if not same:
        sys.stderr.write("app/client/types.py is not up to date; run: python tools/client_types.py\n")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
