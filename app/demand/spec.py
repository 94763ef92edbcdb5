"""What matching needs to know of a request: frozen, parsed, in whole hours. Pure but for reading the row."""

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from uuid import UUID

from app.catalog.selectors import ChipSelector
from app.demand.models import Alternative, ComputeRequest


@dataclass(frozen=True, slots=True)
class SiteRules:
    """Where a request may run; empty and None rule nothing out. Suppliers are references."""

    regions: frozenset[str] = frozenset()
    suppliers_allowed: frozenset[str] = frozenset()
    suppliers_refused: frozenset[str] = frozenset()
    min_interconnect_gbps: int | None = None
    min_cards_per_node: int | None = None
    domestic: bool | None = None

    def accepts(
        self,
        *,
        region: str,
        supplier: str,
        interconnect_gbps: int | None,
        cards_per_node: int,
        domestic: bool | None,
    ) -> bool:
        """Tell whether an offer with these attributes will do; an unknown one meets no rule about it."""
        return (
            (not self.regions or region in self.regions)
            and (not self.suppliers_allowed or supplier in self.suppliers_allowed)
            and supplier not in self.suppliers_refused
            and _at_least(interconnect_gbps, self.min_interconnect_gbps)
            and _at_least(cards_per_node, self.min_cards_per_node)
            and (self.domestic is None or domestic is self.domestic)
        )


@dataclass(frozen=True, slots=True)
class AlternativeSpec:
    """One way to meet a block: `cards` for `hours` whole hours; the price is the most per card-hour, net, in fen."""

    position: int
    selector: ChipSelector
    cards: int
    hours: int
    max_net_price_fen: int


@dataclass(frozen=True, slots=True)
class RequestSpec:
    """A request as matching sees it. Its window is `[earliest_start, deadline)`."""

    id: UUID
    buyer_org_id: UUID
    submitted_at: datetime
    earliest_start: datetime
    deadline: datetime
    blocks: int
    min_blocks: int
    priority: int
    site: SiteRules
    alternatives: tuple[AlternativeSpec, ...]


def whole_hours(hours: Decimal) -> int:
    """Return the hours that a reservation takes: those asked for, rounded up."""
    return int(hours.to_integral_value(ROUND_CEILING))


def spec_of(request: ComputeRequest) -> RequestSpec:
    """Return a request, loaded with its alternatives, as matching sees it.

    Raises:
        ValueError: if a selector can't be parsed, which the service never lets in.
    """
    return RequestSpec(
        id=request.id,
        buyer_org_id=request.buyer_org_id,
        submitted_at=request.submitted_at,
        earliest_start=request.earliest_start,
        deadline=request.deadline,
        blocks=request.blocks,
        min_blocks=request.min_blocks,
        priority=request.priority,
        site=site_of(request),
        alternatives=tuple(alternative_of(alternative) for alternative in request.alternatives),
    )


def site_of(request: ComputeRequest) -> SiteRules:
    """Return a request's site rules."""
    return SiteRules(
        regions=frozenset(request.regions),
        suppliers_allowed=frozenset(request.suppliers_allowed),
        suppliers_refused=frozenset(request.suppliers_refused),
        min_interconnect_gbps=request.min_interconnect_gbps,
        min_cards_per_node=request.min_cards_per_node,
        domestic=request.domestic,
    )


def alternative_of(alternative: Alternative) -> AlternativeSpec:
    """Return an alternative as matching sees it."""
    return AlternativeSpec(
        position=alternative.position,
        selector=ChipSelector.parse(
            alternative.chips,
            min_memory_gb=alternative.min_memory_gb,
            min_fp16_tflops=alternative.min_fp16_tflops,
        ),
        cards=alternative.cards,
        hours=whole_hours(alternative.hours),
        max_net_price_fen=alternative.max_net_price_fen,
    )


def _at_least(known: int | None, wanted: int | None) -> bool:
    return wanted is None or (known is not None and known >= wanted)
