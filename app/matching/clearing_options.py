"""How a clearing is asked for: parsed, stored with the run, read back by the worker."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.catalog.schemas import OfferId
from app.demand.schemas import RequestId
from app.kit.ids import TypeId, encode_id
from app.kit.money import PPM
from app.kit.schemas import HourMoment, Input, PriceFen, Text
from app.kit.time import hour_index
from app.matching.clearing_models import ClearingMode
from app.matching.core import limits
from app.matching.core.config import MAX_KAPPA_PPM, Forbid, Method, Objective, Pin, Share, SolverConfig
from app.matching.core.what_if import MAX_CHANGES, MAX_FACTOR_PPM, OFFER, SUPPLIER, OfferChange

ClearingId = Annotated[UUID, TypeId("clr")]
MAX_SECONDS = 3600
DEFAULT_SECONDS = 60


class PinIn(Input):
    """At least one block of the request goes on the offer, at `start` where one is given."""

    request_id: RequestId
    offer_id: OfferId
    start: HourMoment | None = None


class ForbidIn(Input):
    """No block of the request goes on the offer."""

    request_id: RequestId
    offer_id: OfferId


class ShareIn(Input):
    """A buyer or supplier gets at most this share of the card-hours requested in the run."""

    share: Annotated[str, Field(pattern=r"^(buyer|supplier)/.{1,200}$", examples=["buyer/example-buyer"])]
    share_ppm: Annotated[int, Field(ge=0, le=PPM, description="parts per million", examples=[200_000])]


class FiltersIn(Input):
    """Which part of the open market takes part; empty asks for all of it."""

    buyers: list[Text] = Field(default_factory=list, max_length=1000, description="references of buyers")
    suppliers: list[Text] = Field(default_factory=list, max_length=1000, description="references of suppliers")
    regions: list[Text] = Field(default_factory=list, max_length=1000, description="regions of offers")
    chip_models: list[Text] = Field(default_factory=list, max_length=1000, description="chip models of offers")
    limit_requests: Annotated[int | None, Field(ge=1, le=500_000, description="only the first by submission")] = None


class ProgrammeIn(Input):
    """A voucher programme, with other numbers than its own for a what-if."""

    id: Annotated[str, Field(min_length=1, max_length=60, examples=["open-example"])]
    set: dict[Text, Text] = Field(
        default_factory=dict,
        max_length=50,
        description="dry runs only: pool_year_cny, buyer_year_cny, stacking_ceiling or TIER.KEY, as decimal texts",
        examples=[{"pool_year_cny": "2000000"}],
    )


class OfferChangeIn(Input):
    """Another price or other cards for an offer or for all offers of a supplier: dry runs only.

    One that names an offer takes the place of its supplier's.
    """

    offer_id: OfferId | None = None
    supplier: Text | None = Field(default=None, description="a supplier's reference", examples=["example-supplier"])
    price_fen: PriceFen | None = Field(default=None, description="the posted price per card-hour instead, in fen")
    price_ppm: Annotated[int, Field(ge=0, le=MAX_FACTOR_PPM)] | None = Field(
        default=None, description="times the posted price, in parts per million, rounded half up", examples=[1_100_000]
    )
    add_cards: Annotated[int, Field(ge=-limits.MAX_CARDS, le=limits.MAX_CARDS)] | None = Field(
        default=None, description="cards more in each hour (below 0: withheld), from the first with any free to the end"
    )
    cards_ppm: Annotated[int, Field(ge=0, le=MAX_FACTOR_PPM)] | None = Field(
        default=None, description="times the free cards, in parts per million, rounded down; 0 withholds all"
    )

    @property
    def name(self) -> str | None:
        """Return what the engine calls the target; `None` where not exactly one is given."""
        if (self.offer_id is None) == (self.supplier is None):
            return None
        return f"{SUPPLIER}{self.supplier}" if self.offer_id is None else f"{OFFER}{offer_ref(self.offer_id)}"


class ClearingIn(Input):
    """What to clear and how."""

    mode: Annotated[ClearingMode, Field(strict=False, examples=["dry_run"])]
    method: Annotated[Method, Field(strict=False, description="the engine, or a plain rival")] = Method.CLEAR
    objective: Annotated[Objective, Field(strict=False)] = Objective.SURPLUS
    kappa_ppm: Annotated[int, Field(ge=0, le=MAX_KAPPA_PPM, description="cost of public funds")] = 0
    programmes: list[ProgrammeIn] | None = Field(
        default=None, max_length=20, description="null: all that are open this year; an empty list: no subsidy"
    )
    pins: list[PinIn] = Field(default_factory=list[PinIn], max_length=1000)
    forbids: list[ForbidIn] = Field(default_factory=list[ForbidIn], max_length=10_000)
    shares: list[ShareIn] = Field(default_factory=list[ShareIn], max_length=1000)
    filters: FiltersIn = Field(default_factory=FiltersIn)
    offer_changes: list[OfferChangeIn] = Field(
        default_factory=list[OfferChangeIn], max_length=MAX_CHANGES, description="dry runs only: what if offers were so"
    )
    base_clearing_id: ClearingId | None = Field(
        default=None,
        description=(
            "dry runs only: solve again what this clearing cleared, not the open market. Its programmes are the base's"
            " (`null`), or those listed of them, with the numbers set"
        ),
    )
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    time_limit_s: Annotated[
        int | None, Field(ge=1, le=MAX_SECONDS, description=f"wall seconds for the search; {DEFAULT_SECONDS} if null")
    ] = None
    work_limit: Annotated[int | None, Field(ge=1, le=1_000_000, description="units of work instead: reproducible")] = (
        None
    )

    def changes(self) -> tuple[OfferChange, ...]:
        """Return the changes of offers as the engine takes them; each names one target."""
        return tuple(
            OfferChange(change.name or "", change.price_fen, change.price_ppm, change.add_cards, change.cards_ppm)
            for change in self.offer_changes
        )

    def solver(self, workers: int) -> SolverConfig:
        """Return the engine's configuration; requests and offers are named by their ids."""
        limited = self.time_limit_s is None and self.work_limit is None
        return SolverConfig(
            method=self.method,
            objective=self.objective,
            kappa_ppm=self.kappa_ppm,
            pins=tuple(
                sorted(
                    (Pin(req_ref(p.request_id), offer_ref(p.offer_id), _hour(p.start)) for p in self.pins),
                    key=lambda pin: (pin.request, pin.offer, pin.start_hour or 0),
                )
            ),
            forbids=tuple(sorted(Forbid(req_ref(f.request_id), offer_ref(f.offer_id)) for f in self.forbids)),
            shares=tuple(sorted(Share(share.share, share.share_ppm) for share in self.shares)),
            seed=self.seed,
            time_limit_s=float(DEFAULT_SECONDS) if limited else self.time_limit_s,
            work_limit=self.work_limit,
            workers=1 if self.work_limit is not None else workers,
        )


def _hour(moment: datetime | None) -> int | None:
    return None if moment is None else hour_index(moment)


def req_ref(request_id: UUID) -> str:
    """Return what an instance calls a request; a buyer's own reference is not unique."""
    return encode_id("req", request_id)


def offer_ref(offer_id: UUID) -> str:
    """Return what an instance calls an offer."""
    return encode_id("offer", offer_id)
