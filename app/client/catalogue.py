"""Chip models and offers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from app.client.core import AsyncResource, Call, Resource, SyncResource, etag_of, id_of, method, rows
from app.client.types import (
    CapacityIn,
    CapacityOut,
    ChipIn,
    ChipOut,
    ChipPatch,
    ConversionOut,
    FoundOfferOut,
    OfferIn,
    OfferOut,
    OfferPatch,
    OfferSort,
    OfferState,
    PageChipOut,
    PageFoundOfferOut,
)

Moment = str | datetime
_CHIPS = "/v1/chips"
_OFFERS = "/v1/offers"


class ChipMethods(Resource):
    """Chip models and their classes."""

    def _list(
        self,
        *,
        vendor: str | None = None,
        chip_class: str | None = None,
        domestic: bool | None = None,
        min_memory_gb: float | None = None,
        min_fp16_tflops: float | None = None,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> Call[PageChipOut]:
        """One page of the chip models, by name."""
        query: dict[str, Any] = {
            "vendor": vendor,
            "chip_class": chip_class,
            "domestic": domestic,
            "memory_gb[gte]": None if min_memory_gb is None else f"{min_memory_gb:g}",
            "fp16_tflops[gte]": None if min_fp16_tflops is None else f"{min_fp16_tflops:g}",
            "limit": limit,
            "after": after,
            "before": before,
        }
        return Call("GET", _CHIPS, query)

    page = method(_list)
    each = rows(_list, ChipOut)

    @method
    def read(self, name: str) -> Call[ChipOut]:
        """One chip model."""
        return Call("GET", f"{_CHIPS}/{quote(name, safe='')}")

    @method
    def create(self, body: ChipIn) -> Call[ChipOut]:
        """Add a chip model (the desk)."""
        return Call("POST", _CHIPS, json=body, keyed=True)

    @method
    def edit(self, chip: str | ChipOut, body: ChipPatch, *, etag: str | None = None) -> Call[ChipOut]:
        """Change facts of a chip model (the desk)."""
        name = chip if isinstance(chip, str) else chip["name"]
        return Call("PATCH", f"{_CHIPS}/{quote(name, safe='')}", json=body, etag=etag_of(chip, etag), keyed=True)

    @method
    def convert(self, name: str, *, petaflops: str | None = None, cards: int | None = None) -> Call[ConversionOut]:
        """P as cards of a chip, or cards as P; 1 P is 1 000 TFLOPS of dense FP16."""
        return Call("GET", f"{_CHIPS}/{quote(name, safe='')}/conversion", {"petaflops": petaflops, "cards": cards})


class OfferMethods(Resource):
    """What is for sale, and what really can be had of it."""

    def _list(
        self,
        *,
        cards: int | None = None,
        hours: int | None = None,
        from_: Moment | None = None,
        to: Moment | None = None,
        chip_model: Sequence[str] = (),
        chip_class: str | None = None,
        vendor: str | None = None,
        domestic: bool | None = None,
        region: Sequence[str] = (),
        supplier: Sequence[str] = (),
        min_price_fen: int | None = None,
        max_price_fen: int | None = None,
        min_interconnect_gbps: int | None = None,
        min_memory_gb: float | None = None,
        min_fp16_tflops: float | None = None,
        cards_per_node: int | None = None,
        state: OfferState | None = None,
        sort: OfferSort | None = None,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> Call[PageFoundOfferOut]:
        """One page of the offers; with a shape (`cards`, `hours`, `from_`, `to`) only those that can really hold it.

        Prices are in fen per card-hour. Unless `state` says otherwise, open offers are listed.
        """
        query: dict[str, Any] = {
            "cards": cards,
            "hours": hours,
            "from": from_,
            "to": to,
            "chip_model": chip_model,
            "chip_class": chip_class,
            "vendor": vendor,
            "domestic": domestic,
            "region": region,
            "supplier": supplier,
            "price_fen[gte]": min_price_fen,
            "price_fen[lte]": max_price_fen,
            "interconnect_gbps[gte]": min_interconnect_gbps,
            "memory_gb[gte]": None if min_memory_gb is None else f"{min_memory_gb:g}",
            "fp16_tflops[gte]": None if min_fp16_tflops is None else f"{min_fp16_tflops:g}",
            "cards_per_node": cards_per_node,
            "state": state,
            "sort": sort,
            "limit": limit,
            "after": after,
            "before": before,
        }
        return Call("GET", _OFFERS, query)

    page = method(_list)
    each = rows(_list, FoundOfferOut)

    @method
    def create(self, body: OfferIn) -> Call[OfferOut]:
        """List capacity (a supplier, or the desk for one)."""
        return Call("POST", _OFFERS, json=body, keyed=True)

    @method
    def read(self, offer_id: str) -> Call[OfferOut]:
        """One offer."""
        return Call("GET", f"{_OFFERS}/{offer_id}")

    @method
    def edit(
        self, offer: str | OfferOut | FoundOfferOut, body: OfferPatch, *, etag: str | None = None
    ) -> Call[OfferOut]:
        """Change an offer's price and the like; its capacity has `replace_capacity`."""
        return Call("PATCH", f"{_OFFERS}/{id_of(offer)}", json=body, etag=etag_of(offer, etag), keyed=True)

    @method
    def withdraw(self, offer: str | OfferOut | FoundOfferOut, *, etag: str | None = None) -> Call[OfferOut]:
        """Take an offer off the market; what is reserved on it stays."""
        return Call("POST", f"{_OFFERS}/{id_of(offer)}/withdraw", etag=etag_of(offer, etag), keyed=True)

    @method
    def reopen(self, offer: str | OfferOut | FoundOfferOut, *, etag: str | None = None) -> Call[OfferOut]:
        """Put a withdrawn offer on the market again."""
        return Call("POST", f"{_OFFERS}/{id_of(offer)}/reopen", etag=etag_of(offer, etag), keyed=True)

    @method
    def capacity(self, offer_id: str, *, from_: Moment | None = None, to: Moment | None = None) -> Call[CapacityOut]:
        """How many cards there are, are reserved and are free, interval by interval."""
        return Call("GET", f"{_OFFERS}/{offer_id}/capacity", {"from": from_, "to": to})

    @method
    def replace_capacity(
        self, offer: str | OfferOut | FoundOfferOut, body: CapacityIn, *, etag: str | None = None
    ) -> Call[CapacityOut]:
        """Replace an offer's capacity; refused below what is reserved."""
        return Call("PUT", f"{_OFFERS}/{id_of(offer)}/capacity", json=body, etag=etag_of(offer, etag), keyed=True)


class Chips(ChipMethods, SyncResource):
    """Chip models."""


class AsyncChips(ChipMethods, AsyncResource):
    """Chip models, awaited."""


class Offers(OfferMethods, SyncResource):
    """Offers."""


class AsyncOffers(OfferMethods, AsyncResource):
    """Offers, awaited."""
