"""What goes in and out of the catalogue's endpoints."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, ClassVar, Literal, NamedTuple
from uuid import UUID

from pydantic import ConfigDict, Field

from app.accounts.schemas import OrgId, Ref
from app.catalog.models import ChipModel, Offer, OfferState, PriceUnit
from app.kit.ids import TypeId
from app.kit.money import MAX_FEN
from app.kit.schemas import Cards, HourMoment, Input, Moment, Number, Output, Patch, PriceFen, Quantity, Text

OfferId = Annotated[UUID, TypeId("offer")]
ChipName = Annotated[Text, Field(max_length=100, examples=["A100 80G"])]
ChipClass = Annotated[Text, Field(max_length=100, examples=["A100-class"])]
Speed = Annotated[Quantity, Field(description="dense FP16 TFLOPS of one card")]
Memory = Annotated[Quantity, Field(description="GB of one card")]
Gbps = Annotated[
    int, Field(strict=True, ge=0, le=1_000_000, description="interconnect between nodes, Gbit/s", examples=[400])
]
MonthFen = Annotated[
    int,
    Field(
        strict=True,
        ge=0,
        le=MAX_FEN,
        description="integer fen for a whole node for an instance-month of 730 hours",
        examples=[5_000_000],
    ),
]
MAX_STEPS = 10_000


class ChipIn(Input):
    """A chip model to add; what is left out is unknown."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "A100 80G",
                    "vendor": "NVIDIA",
                    "fp16_tflops": 312,
                    "memory_gb": 80,
                    "domestic": False,
                    "chip_class": "A100-class",
                    "source": "vendor datasheet",
                }
            ]
        }
    )

    name: ChipName
    vendor: Text | None = Field(default=None, examples=["NVIDIA"])
    fp16_tflops: Speed | None = None
    memory_gb: Memory | None = None
    domestic: bool | None = None
    chip_class: ChipClass | None = Field(default=None, description="models that a buyer may treat as equivalent")
    source: Text | None = Field(default=None, description="where the facts come from")


class ChipPatch(Input):
    """Facts of a chip model to change; null makes one unknown."""

    vendor: Text | None = None
    fp16_tflops: Speed | None = None
    memory_gb: Memory | None = None
    domestic: bool | None = None
    chip_class: ChipClass | None = None
    source: Text | None = None


class ChipFactsOut(Output):
    """What is known of a chip model; null is unknown."""

    vendor: str | None
    fp16_tflops: Number | None = Field(description="dense FP16 TFLOPS of one card")
    memory_gb: Number | None = Field(description="GB of one card")
    domestic: bool | None
    chip_class: str | None


class ChipOut(ChipFactsOut):
    """A chip model of the catalogue."""

    name: str = Field(examples=["A100 80G"])
    source: str | None
    version: int
    created_at: Moment


class ConversionOut(Output):
    """P ↔ cards of one chip; 1 P is 1 000 TFLOPS of dense FP16."""

    chip_model: str
    fp16_tflops: Number
    cards: int = Field(description="whole cards: as asked, or so many that they are at least the P asked for")
    petaflops: Number = Field(description="P: as asked, or what the cards are")
    cards_petaflops: Number = Field(description="what so many cards really are in P")


class CapacityStep(Input):
    """From `starts_at` until the next step there are so many cards."""

    starts_at: HourMoment
    cards: int = Field(strict=True, ge=0, le=100_000, examples=[64])


StepList = Annotated[
    list[CapacityStep],
    Field(
        min_length=1,
        max_length=MAX_STEPS,
        description="on whole hours, ascending; the last has 0 cards and ends the offer",
        examples=[
            [
                {"starts_at": "2026-12-01T00:00:00Z", "cards": 64},
                {"starts_at": "2027-03-01T00:00:00Z", "cards": 0},
            ]
        ],
    ),
]


class CapacityIn(Input):
    """An offer's whole capacity, instead of what it was."""

    steps: StepList


class OfferIn(Input):
    """Capacity to list. The price is given per card-hour, or per instance-month of a node; not both."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "ref": "lot-1",
                    "chip_model": "A100 80G",
                    "region": "北京",
                    "cards_per_node": 8,
                    "interconnect_gbps": 400,
                    "price_fen": 850,
                    "list_price_fen": 1700,
                    "capacity": [
                        {"starts_at": "2026-12-01T00:00:00Z", "cards": 64},
                        {"starts_at": "2027-03-01T00:00:00Z", "cards": 0},
                    ],
                }
            ]
        }
    )

    supplier_org_id: OrgId | None = Field(default=None, description="another organisation's, by the desk only")
    ref: Ref | None = Field(default=None, description="unique among the supplier's offers; by default made from its id")
    chip_model: ChipName
    region: Text = Field(examples=["北京"])
    cards_per_node: Cards = 8
    interconnect_gbps: Gbps | None = None
    price_fen: PriceFen | None = None
    list_price_fen: PriceFen | None = Field(default=None, description="by default the price")
    posted_fen_per_instance_month: MonthFen | None = None
    listed_fen_per_instance_month: MonthFen | None = Field(default=None, description="by default the posted price")
    auto_accept: bool = Field(default=False, description="accept every booking at once")
    capacity: StepList


class OfferPatch(Patch):
    """What to change of an offer; nothing given confirms that it still stands. Capacity has a path of its own."""

    nullable: ClassVar[frozenset[str]] = frozenset({"interconnect_gbps"})

    region: Text | None = None
    interconnect_gbps: Gbps | None = Field(default=None, description="null for unknown")
    price_fen: PriceFen | None = None
    list_price_fen: PriceFen | None = None
    posted_fen_per_instance_month: MonthFen | None = None
    listed_fen_per_instance_month: MonthFen | None = None
    auto_accept: bool | None = None


class Supplier(NamedTuple):
    """How a supplier is shown on its offers."""

    ref: str
    name: str


class SupplierOut(Output):
    """Whose offer it is."""

    org_id: OrgId
    ref: str
    name: str


class OfferOut(Output):
    """A supplier's listing."""

    id: OfferId
    ref: str
    supplier: SupplierOut
    chip_model: str
    chip: ChipFactsOut
    region: str
    cards_per_node: int
    interconnect_gbps: int | None = Field(description="null where unknown")
    price_fen: int = Field(description="fen per card-hour; from an instance-month's price: rounded half up")
    list_price_fen: int = Field(description="fen per card-hour")
    price_unit: PriceUnit = Field(description="how the supplier posted its price")
    posted_fen_per_instance_month: int | None = Field(description="as posted, where it was per instance-month (730 h)")
    listed_fen_per_instance_month: int | None = Field(description="as posted, where it was per instance-month (730 h)")
    currency: Literal["CNY"] = "CNY"
    auto_accept: bool
    state: OfferState
    version: int
    created_at: Moment
    observed_at: Moment = Field(description="when the supplier last said that this is so")


class SegmentOut(Output):
    """An interval `[from, to)` in which nothing changes."""

    model_config = ConfigDict(
        extra="forbid", from_attributes=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    starts_at: Moment = Field(alias="from")
    ends_at: Moment = Field(alias="to")
    total: int = Field(description="cards")
    reserved: int = Field(description="cards held, confirmed, active or completed")
    free: int = Field(description="cards")


class StepOut(Output):
    """From `starts_at` until the next step there are so many cards."""

    starts_at: Moment
    cards: int


class CapacityOut(Output):
    """An offer's capacity: its steps, and what is free of it."""

    offer_id: OfferId
    version: int
    observed_at: Moment
    steps: list[StepOut]
    segments: list[SegmentOut]


def chip_facts_out(chip: ChipModel) -> ChipFactsOut:
    """Return a chip's facts as shown on an offer."""
    return ChipFactsOut.model_validate(chip)


def offer_out(offer: Offer, supplier: Supplier) -> OfferOut:
    """Return an offer, loaded with its chip, as shown."""
    shown = {
        name: getattr(offer, name) for name in OfferOut.model_fields if name not in ("supplier", "chip", "currency")
    }
    return OfferOut(
        **shown,
        supplier=SupplierOut(org_id=offer.supplier_org_id, ref=supplier.ref, name=supplier.name),
        chip=chip_facts_out(offer.chip),
    )


def steps_out(steps: Sequence[tuple[datetime, int]]) -> list[StepOut]:
    """Return capacity steps as shown."""
    return [StepOut(starts_at=starts_at, cards=cards) for starts_at, cards in steps]
