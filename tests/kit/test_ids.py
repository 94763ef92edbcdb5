from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from app.accounts.schemas import OrgId
from app.kit.ids import decode_id, encode_id, new_id


def test_the_specification_s_own_example() -> None:
    # From the TypeID specification 0.3, valid.yml ("uuidv7").
    assert encode_id("prefix", UUID("01890a5d-ac96-774b-bcce-b302099a8057")) == "prefix_01h455vb4pex5vsknk084sn02q"
    assert encode_id("x", UUID(int=0)) == "x_00000000000000000000000000"
    assert encode_id("x", UUID(int=2**128 - 1)) == "x_7zzzzzzzzzzzzzzzzzzzzzzzzz"


@given(st.uuids())
def test_round_trip(value: UUID) -> None:
    assert decode_id("offer", encode_id("offer", value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "offer_8zzzzzzzzzzzzzzzzzzzzzzzzz",  # more than 128 bits
        "req_01h455vb4pex5vsknk084sn02q",
        "offer_01h455vb4pex5vsknk084sn02",
        "offer_01h455vb4pex5vsknk084sn0il",
        "01h455vb4pex5vsknk084sn02q",
        "offer_",
        "",
    ],
)
def test_others_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="offer_"):
        decode_id("offer", text)


def test_new_ids_are_ordered_by_time() -> None:
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(ids)
    assert {value.version for value in ids} == {7}


def test_a_field_takes_only_its_own_prefix() -> None:
    class Body(BaseModel):
        org: OrgId

    value = new_id()
    assert Body.model_validate({"org": encode_id("org", value)}).org == value
    assert Body(org=value).model_dump_json() == f'{{"org":"{encode_id("org", value)}"}}'
    with pytest.raises(ValidationError, match="org_"):
        Body.model_validate({"org": str(value)})
