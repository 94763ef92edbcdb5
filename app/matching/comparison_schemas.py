"""What a comparison of two clearings looks like when it goes out."""

from typing import Any
from uuid import UUID

from pydantic import Field

from app.catalog.schemas import OfferId
from app.demand.schemas import RequestId
from app.kit.ids import decode_id
from app.kit.schemas import Output
from app.matching.clearing_options import ClearingId
from app.matching.core.compare import Cause, Effect
from app.matching.core.outcome import Status


class SideOut(Output):
    """One of two clearings compared. Money is unweighted but for the objective and its bound."""

    id: ClearingId
    status: Status
    objective: str = Field(description="the first objective", examples=["surplus"])
    unit: str = Field(examples=["weighted_fen"])
    objective_fen: int
    bound_fen: int
    gap: float
    matches: int = Field(description="blocks matched")
    requests_matched: int
    card_hours: int
    cost_fen: int
    subsidy_fen: int
    net_fen: int
    surplus_fen: int


class HoldingOut(Output):
    """What matches give together; surplus is unweighted."""

    blocks: int
    card_hours: int
    cost_fen: int
    subsidy_fen: int
    net_fen: int
    surplus_fen: int


class FateOut(HoldingOut):
    """How a request fares in one of two clearings."""

    offer_ids: list[OfferId]
    code: str | None = Field(description="why blocks of it are unmatched, if any are", examples=["outbid"])


class RequestDifferenceOut(Output):
    """A request that fares otherwise, and what differs that touches it."""

    request_id: RequestId
    buyer: str
    effects: list[Effect]
    causes: list[Cause] = Field(description="competition and search stand only where nothing of its own differs")
    surplus_gain_fen: int = Field(description="the buyer's surplus in this less that in the other")
    this: FateOut
    other: FateOut


class PartyDifferenceOut(Output):
    """A buyer or supplier whose matches differ in sum."""

    ref: str
    this: HoldingOut
    other: HoldingOut


class BudgetSideOut(Output):
    """A budget in one of two clearings."""

    limit_fen: int
    used_fen: int
    shadow_price_micro: int = Field(description="millionths of the objective's unit that one more fen would add")


class BudgetDifferenceOut(Output):
    """A budget that differs; null where there is no such budget."""

    budget: str
    this: BudgetSideOut | None
    other: BudgetSideOut | None


class ConfigDifferenceOut(Output):
    """A place in which what was asked for differs."""

    key: str = Field(examples=["programmes.open-example.pool_year_cny"])
    this: Any = None
    other: Any = None


class MarketDifferenceOut(Output):
    """Ids that only one market has, and those that both have with other terms."""

    only_in_this: list[str]
    only_in_other: list[str]
    changed: list[str]
    only_in_this_count: int
    only_in_other_count: int
    changed_count: int


class MarketDifferencesOut(Output):
    """How what was cleared differs."""

    requests: MarketDifferenceOut
    offers: MarketDifferenceOut


class ComparisonTotalsOut(Output):
    """This less the other, and how many gain or lose; `causes` counts the requests that each cause touches."""

    blocks: int
    card_hours: int
    cost_fen: int
    subsidy_fen: int
    net_fen: int
    surplus_fen: int
    requests_changed: int
    requests_gaining: int
    gained_fen: int
    requests_losing: int
    lost_fen: int
    buyers_changed: int
    suppliers_changed: int
    causes: dict[str, int]


class ComparisonOut(Output):
    """Two clearings: what the choice between them means, and to whom. Each list begins with the largest differences."""

    this: SideOut
    other: SideOut
    same_instance: bool = Field(description="both cleared the same market")
    config: list[ConfigDifferenceOut]
    market: MarketDifferencesOut
    totals: ComparisonTotalsOut
    requests: list[RequestDifferenceOut]
    buyers: list[PartyDifferenceOut]
    suppliers: list[PartyDifferenceOut]
    budgets: list[BudgetDifferenceOut]
    only_in_this: list[RequestId] = Field(description="of the requests listed, those matched in this one alone")
    only_in_other: list[RequestId] = Field(description="of the requests listed, those matched in the other alone")


def comparison_out(this_id: UUID, other_id: UUID, found: dict[str, Any]) -> ComparisonOut:
    """Return a comparison as it goes out, its refs as ids."""
    requests: list[dict[str, Any]] = [
        {key: value for key, value in row.items() if key != "request_ref"}
        | {"request_id": decode_id("req", row["request_ref"]), "this": _fate(row["this"]), "other": _fate(row["other"])}
        for row in found["requests"]
    ]
    return ComparisonOut.model_validate(
        found
        | {
            "this": found["this"] | {"id": this_id},
            "other": found["other"] | {"id": other_id},
            "requests": requests,
            "only_in_this": [row["request_id"] for row in requests if not row["other"]["blocks"]],
            "only_in_other": [row["request_id"] for row in requests if not row["this"]["blocks"]],
        }
    )


def _fate(row: dict[str, Any]) -> dict[str, Any]:
    ids = [decode_id("offer", ref) for ref in row["offer_refs"]]
    return {key: value for key, value in row.items() if key != "offer_refs"} | {"offer_ids": ids}
