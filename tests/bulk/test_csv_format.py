"""The CSV reader against anything: it never raises, and what is valid comes back as it was."""

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.bulk.csv_format import COLUMNS, read_csv, unescape
from app.bulk.csv_writing import cannot_carry, escape, write_csv
from app.bulk.jsonl_format import read_jsonl
from app.bulk.jsonl_writing import write_jsonl
from app.bulk.progress import Progress
from app.bulk.rows import AlternativeRow, ChipRow, Finding, Kind, OfferRow, OrganisationRow, RequestRow
from tests.bulk.conftest import HEADERS, SMALL

TEXT = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), st.sampled_from("'=+-@\t\r\n,\"")),
    min_size=1,
    max_size=30,
)
REF = TEXT.filter(lambda text: text == text.strip() and text.isprintable())
MODEL = st.sampled_from(["A100 80G", "Ascend 910B", "=1+1", "-x", "'@y"])
HOURS = st.integers(0, 200_000)
MOMENT = st.datetimes(datetime(2000, 1, 2), datetime(2199, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
HOUR = MOMENT.map(lambda moment: moment.replace(minute=0, second=0, microsecond=0))
CARDS = st.integers(1, 100_000)
PRICE = st.integers(0, 100_000_000)
QUANTITY = st.none() | st.decimals("0.001", "1000000", places=3)


@st.composite
def offers(draw: st.DrawFn) -> OfferRow:
    start, end = sorted(draw(st.lists(HOUR, min_size=2, max_size=2, unique=True)))
    return OfferRow(
        draw(REF), draw(REF), draw(TEXT), draw(MODEL), draw(CARDS), draw(st.none() | st.integers(0, 1_000_000)),
        draw(PRICE), draw(PRICE), ((start, draw(CARDS)), (end, 0)),
    )  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> RequestRow:
    start, end = sorted(draw(st.lists(MOMENT, min_size=2, max_size=2, unique=True)))
    blocks = draw(st.integers(1, 1_000))
    alternative = AlternativeRow(
        "|".join(draw(st.lists(st.just("any") | MODEL, min_size=1, max_size=3))),
        draw(CARDS),
        draw(st.decimals("0.000000000001", "20000", places=12)),
        draw(PRICE),
    )
    return RequestRow(
        draw(REF), draw(REF), draw(MOMENT), start, end, (alternative,), draw(st.integers(1, 1_000)), blocks,
        draw(st.integers(1, blocks)),
    )  # fmt: skip


CITY = TEXT.filter(lambda text: text.isprintable() and text.strip())
BUYERS = st.builds(
    OrganisationRow,
    REF,
    st.fixed_dictionaries(
        {},
        optional={
            "kind": st.sampled_from(["startup", "university"]),
            "prior_year_revenue_fen": st.integers(0, 10**15),
            "registered_city": CITY,
            "integrity": st.sampled_from(["clean", "flagged"]),
            "project_lead": st.sampled_from(["none", "national"]),
        },
    ),
)
SUPPLIERS = st.builds(
    OrganisationRow, REF, st.fixed_dictionaries({}, optional={"registered_city": CITY, "partner": st.booleans()})
)
WORDS = TEXT.filter(str.strip)
CHIPS = st.builds(ChipRow, MODEL, st.none() | WORDS, QUANTITY, QUANTITY, st.none() | st.booleans(), st.none() | WORDS)
MARKETS = st.one_of(
    *(
        st.tuples(st.just(kind), st.lists(rows, max_size=4, unique_by=lambda row: row.key[1]))
        for kind, rows in (
            (Kind.OFFERS, offers()),
            (Kind.REQUESTS, requests()),
            (Kind.BUYERS, BUYERS),
            (Kind.SUPPLIERS, SUPPLIERS),
            (Kind.CHIPS, CHIPS),
        )
    )
)


@given(MARKETS)
def test_valid_rows_come_back_as_they_were(market) -> None:
    kind, rows = market
    assert cannot_carry(kind, rows) == []
    for write, read in ((write_csv, read_csv), (write_jsonl, read_jsonl)):
        bad: list[Finding] = []
        table = read(kind, "x", write(kind, rows), bad, Progress())
        assert bad == []
        assert [at.row for at in table.rows] == rows


@given(st.sampled_from(Kind), st.binary(max_size=300))
def test_any_bytes_give_rows_or_errors(kind, content) -> None:
    for start in (b"", (HEADERS[kind.value] + "\n").encode()):
        for read in (read_csv, read_jsonl):
            bad: list[Finding] = []
            table = read(kind, "x", start + content, bad, Progress())
            assert table.total == len(table.rows) or bad


CELL = st.text(max_size=20) | st.sampled_from(
    ["", "-1", "1e9", "NaN", "2026-12-01", "any", "1.234", "=1", "\x00", "٣", "9" * 40, "1e99", "2026-12-01T00:00:00Z"]
)


@given(st.sampled_from(Kind), st.data())
def test_any_cells_give_a_row_or_errors_in_their_column(kind, data) -> None:
    good = next(csv.reader(io.StringIO(SMALL[kind.value][0])))
    cells = [data.draw(st.just(cell) | CELL) for cell in good]
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerow(cells)
    bad: list[Finding] = []
    content = f"{HEADERS[kind.value]}\n{written.getvalue()}".encode("utf-8", "replace")
    table = read_csv(kind, "x", content, bad, Progress())
    assert len(table.rows) == 1 or bad
    assert all(finding.line == 2 and (finding.column in COLUMNS[kind] or finding.column is None) for finding in bad)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "'=x", "''-x", "'x", "x", "'", ""])
def test_formulas_are_defused_and_come_back(text) -> None:
    cell = escape(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unescape(cell) == text


@given(TEXT)
@example("'" * 3 + "=")
@settings(max_examples=300)
def test_escaping_is_undone(text) -> None:
    assert unescape(escape(text)) == text
    assert not escape(text).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_what_csv_has_no_column_for_is_named() -> None:
    start, end = datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 12, 2, tzinfo=UTC)
    steps = ((start, 8), (end, 0))
    plain = OfferRow("o", "s", "r", "m", 8, None, 1, 1, steps)
    assert cannot_carry(Kind.OFFERS, [plain]) == []
    for offer in (
        OfferRow("o", "s", "r", "m", 8, None, 1, 1, ((start, 8), (start.replace(hour=1), 4), (end, 0))),
        OfferRow("o", "s", "r", "m", 8, None, 1, 1, ((end, 0),)),
        OfferRow("o", "s", "r", "m", 8, None, 1, 1, steps, "instance_month", 1, 1),
        OfferRow("o", "s", "r", "m", 8, None, 1, 1, steps, auto_accept=True),
    ):
        assert [found.code for found in cannot_carry(Kind.OFFERS, [offer])] == ["csv_cannot_carry"]
    twin = OfferRow("o", "other", "r", "m", 8, None, 1, 1, steps)
    assert len(cannot_carry(Kind.OFFERS, [plain, twin])) == 1
    one = AlternativeRow("any", 8, Decimal(1), 1)
    for request in (
        RequestRow("q", "b", start, start, end, (one, AlternativeRow("any", 4, Decimal(1), 1))),
        RequestRow("q", "b", start, start, end, (AlternativeRow("any", 8, Decimal(1), 1, Decimal(80)),)),
        RequestRow("q", "b", start, start, end, (one,), regions=("北京",)),
        RequestRow("q", "b", start, start, end, (one,), domestic=False),
    ):
        assert [found.code for found in cannot_carry(Kind.REQUESTS, [request])] == ["csv_cannot_carry"]
