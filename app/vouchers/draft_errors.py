"""What drafts of programmes refuse."""

from typing import Final

from app.kit.errors import ErrorCode, map_constraint

PROGRAMME_FILE: Final = ErrorCode(
    "programme_file",
    422,
    "The file is not a programme; its {count} faults are in errors, by line and key.",
    "该文件不是有效的项目文件，共 {count} 处错误，按行号和键列于 errors。",
)
VERSION_EXISTS: Final = map_constraint(
    "programme_version_pkey",
    ErrorCode(
        "programme_version_exists",
        409,
        "This version of the programme is stored. Change the draft, or give the file the next version.",
        "该项目的此版本已存在，请修改草稿，或在文件中使用下一个版本号。",
    ),
)
OLD_VERSION: Final = ErrorCode(
    "programme_version_older",
    409,
    "The programme {programme} is published as version {newest}; a new one needs a higher number.",
    "项目 {programme} 已发布第 {newest} 版，新版本号须更大。",
)
OTHER_PROGRAMME: Final = ErrorCode(
    "other_programme",
    422,
    "The file must keep id {programme} and version {version} of the draft.",
    "文件须保留草稿的编号 {programme} 和版本 {version}。",
)
PUBLISHED: Final = ErrorCode(
    "programme_published",
    409,
    "Version {version} of {programme} is published and never changes. Draft the next version.",
    "项目 {programme} 第 {version} 版已发布，不可更改，请起草下一版。",
)
