"""What goes in and out of the requests' endpoints."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal, NamedTuple
from uuid import UUID

from pydantic import ConfigDict, Field

from app.accounts.schemas import OrgId, Ref
from app.catalog.schemas import Gbps
from app.demand.errors import Notice
from app.demand.models import Alternative, ComputeRequest, RequestState
from app.demand.spec import whole_hours
from app.kit.ids import TypeId
from app.kit.schemas import Cards, Hours, Input, Moment, Number, Output, Patch, PriceFen, Quantity, Text

RequestId = Annotated[UUID, TypeId("req")]
Selector = Annotated[
    Text,
    Field(
        max_length=2000,
        description="any, domestic, class:NAME, a model, or several joined by |",
        examples=["A100 80G|class:H100-class"],
    ),
]
Blocks = Annotated[int, Field(strict=True, ge=1, le=1000)]
Priority = Annotated[int, Field(strict=True, ge=1, le=1000, description="the weight; by the desk only")]


class AlternativeIn(Input):
    """One way to meet a block: a gang of cards for hours in a row on one offer."""

    chips: Selector = "any"
    min_memory_gb: Quantity | None = Field(default=None, description="GB of one card at least")
    min_fp16_tflops: Quantity | None = Field(default=None, description="dense FP16 TFLOPS of one card at least")
    cards: Cards
    hours: Hours = Field(description="a reservation takes them rounded up to whole hours")
    max_net_price_fen: PriceFen = Field(description="the most that the buyer pays per card-hour after subsidy, in fen")


class SiteIn(Input):
    """Where it may run; what is left out rules nothing out. An attribute that is unknown meets no rule about it."""

    regions: list[Text] = Field(default_factory=list, max_length=100, examples=[["北京", "上海"]])
    suppliers_allowed: list[Ref] = Field(default_factory=list, max_length=100, description="references of suppliers")
    suppliers_refused: list[Ref] = Field(default_factory=list, max_length=100, description="references of suppliers")
    min_interconnect_gbps: Gbps | None = None
    min_cards_per_node: Cards | None = None
    domestic: bool | None = Field(default=None, description="true: only domestic chips; false: only others")


AlternativeList = Annotated[
    list[AlternativeIn], Field(min_length=1, max_length=20, description="any one of these will do")
]


class RequestIn(Input):
    """A need: so many identical blocks, each met by one of the alternatives, inside the window."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "ref": "train-1",
                    "alternatives": [
                        {"chips": "class:A100-class", "cards": 8, "hours": 72, "max_net_price_fen": 900},
                        {"min_memory_gb": 80, "cards": 4, "hours": 100.5, "max_net_price_fen": 1200},
                    ],
                    "earliest_start": "2026-12-02T09:00:00+08:00",
                    "deadline": "2026-12-12T00:00:00+08:00",
                    "blocks": 2,
                    "min_blocks": 1,
                    "site": {"regions": ["北京"], "min_interconnect_gbps": 200},
                }
            ]
        }
    )

    buyer_org_id: OrgId | None = Field(default=None, description="another organisation's, by the desk only")
    ref: Ref | None = Field(default=None, description="unique among the buyer's requests; by default made from its id")
    alternatives: AlternativeList
    earliest_start: Moment
    deadline: Moment = Field(description="all is done before this moment")
    blocks: Blocks = 1
    min_blocks: Blocks = Field(default=1, description="at least so many blocks or none")
    priority: Priority | None = None
    site: SiteIn = Field(default_factory=SiteIn)


class RequestPatch(Patch):
    """What to change of a request. All but the priority (the desk's) only while nothing is reserved for it."""

    alternatives: AlternativeList | None = None
    earliest_start: Moment | None = None
    deadline: Moment | None = None
    blocks: Blocks | None = None
    min_blocks: Blocks | None = None
    priority: Priority | None = None
    site: SiteIn | None = Field(default=None, description="all site rules, instead of what they were")


class Buyer(NamedTuple):
    """How a buyer is shown on its requests."""

    ref: str
    name: str


class BuyerOut(Output):
    """Whose request it is."""

    org_id: OrgId
    ref: str
    name: str


class AlternativeOut(Output):
    """One way to meet a block."""

    chips: str
    min_memory_gb: Number | None
    min_fp16_tflops: Number | None
    cards: int
    hours: Number = Field(description="as asked")
    whole_hours: int = Field(description="what a reservation takes: the hours rounded up")
    max_net_price_fen: int


class SiteOut(Output):
    """Where it may run; empty and null rule nothing out."""

    regions: list[str]
    suppliers_allowed: list[str]
    suppliers_refused: list[str]
    min_interconnect_gbps: int | None
    min_cards_per_node: int | None
    domestic: bool | None


class RequestOut(Output):
    """A need."""

    id: RequestId
    ref: str
    buyer: BuyerOut
    submitted_at: Moment
    earliest_start: Moment
    deadline: Moment
    blocks: int
    min_blocks: int
    priority: int
    alternatives: list[AlternativeOut]
    site: SiteOut
    currency: Literal["CNY"] = "CNY"
    state: RequestState
    version: int
    created_at: Moment


class NoticeOut(Output):
    """What stands in a request's way as things are; it is accepted all the same."""

    code: str = Field(examples=["larger_than_any_offer"])
    pointer: str = Field(examples=["/alternatives/0"])
    detail: str


class RequestDetail(RequestOut):
    """A need, with remarks on it."""

    notices: list[NoticeOut]


_PLAIN: Final = tuple(
    name for name in RequestOut.model_fields if name not in ("buyer", "alternatives", "site", "currency")
)


def alternative_out(alternative: Alternative) -> AlternativeOut:
    """Return an alternative as shown."""
    return AlternativeOut(
        chips=alternative.chips,
        min_memory_gb=alternative.min_memory_gb,
        min_fp16_tflops=alternative.min_fp16_tflops,
        cards=alternative.cards,
        hours=alternative.hours,
        whole_hours=whole_hours(alternative.hours),
        max_net_price_fen=alternative.max_net_price_fen,
    )


def request_out(request: ComputeRequest, buyer: Buyer) -> RequestOut:
    """Return a request, loaded with its alternatives, as shown."""
    return RequestOut(
        **{name: getattr(request, name) for name in _PLAIN},
        buyer=BuyerOut(org_id=request.buyer_org_id, ref=buyer.ref, name=buyer.name),
        alternatives=[alternative_out(alternative) for alternative in request.alternatives],
        site=SiteOut.model_validate(request),
    )


def request_detail(request: ComputeRequest, buyer: Buyer, notices: Sequence[Notice], language: str) -> RequestDetail:
    """Return a request as shown, with remarks in `en` or `zh-CN`."""
    remarks = [
        NoticeOut(code=notice.kind.code, pointer=f"/alternatives/{notice.position}", detail=notice.detail(language))
        for notice in notices
    ]
    shown = request_out(request, buyer)
    return RequestDetail(**{name: getattr(shown, name) for name in RequestOut.model_fields}, notices=remarks)
