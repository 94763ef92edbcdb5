"""The shapes of what goes in and out of the API. Written by tools/client_types.py; don't edit."""

# ruff: noqa: D101, E501

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict


class AccessIn(TypedDict):
    """How the buyer gets to the cards; a field left out or null is emptied."""

    contact: NotRequired[str | None]
    """whom to reach; by default the supplier's own contact"""
    instructions: NotRequired[str | None]


class AccessOut(TypedDict):
    """How the buyer gets to the cards."""

    reservation_id: str
    contact: str | None
    instructions: str | None


class AdvanceIn(TypedDict):
    """Money of the reserve fund that a supplier is given ahead of its claims."""

    supplier_org_id: str
    amount_fen: int
    """integer fen (1/100 CNY)"""
    reference: NotRequired[str | None]
    """of the transfer"""


class AdvanceOut(TypedDict):
    """An advance of a programme's reserve fund."""

    id: str
    programme: str
    programme_version: int
    supplier_org_id: str
    amount_fen: int
    currency: NotRequired[Literal["CNY"]]
    reference: str | None
    created_at: str


class AdvancedOut(TypedDict):
    """An advance that was just made, and what the supplier's claims did not make up for yet, this one included."""

    id: str
    programme: str
    programme_version: int
    supplier_org_id: str
    amount_fen: int
    currency: NotRequired[Literal["CNY"]]
    reference: str | None
    created_at: str
    outstanding_fen: int
    cap_fen: int | None
    """most that a supplier has in advance; null: the programme names no limit"""


class AffiliationIn(TypedDict):
    """Two organisations under one control."""

    org_id: str
    other_org_id: str
    valid_from: str
    valid_to: NotRequired[str | None]
    evidence: str


class AffiliationOut(TypedDict):
    """Two organisations under one control."""

    org_id: str
    other_org_id: str
    valid_from: str
    valid_to: str | None
    evidence: str
    recorded_at: str


class AlternativeIn(TypedDict):
    """One way to meet a block: a gang of cards for hours in a row on one offer."""

    chips: NotRequired[str]
    """any, domestic, class:NAME, a model, or several joined by |"""
    min_memory_gb: NotRequired[float | None]
    """GB of one card at least"""
    min_fp16_tflops: NotRequired[float | None]
    """dense FP16 TFLOPS of one card at least"""
    cards: int
    hours: float
    """a reservation takes them rounded up to whole hours"""
    max_net_price_fen: int
    """the most that the buyer pays per card-hour after subsidy, in fen"""


class AlternativeOut(TypedDict):
    """One way to meet a block."""

    chips: str
    min_memory_gb: float | None
    min_fp16_tflops: float | None
    cards: int
    hours: float
    """as asked"""
    whole_hours: int
    """what a reservation takes: the hours rounded up"""
    max_net_price_fen: int


ApplicationState: TypeAlias = Literal["submitted", "approved", "rejected", "withdrawn"]
"""`submitted → approved | rejected | withdrawn`; the database refuses other turns."""


class ApplyIn(TypedDict):
    """Apply for the vouchers that are set aside for a contract."""

    contract_id: str


class ApproveIn(TypedDict):
    """Approve an application."""

    amount_fen: NotRequired[int | None]
    """less than the rules give; left out, all of it"""


class BookingIn(TypedDict):
    """Book an option of a quote."""

    quote_id: str
    option: NotRequired[int]
    """its number, from 1"""


class BudgetPriceOut(TypedDict):
    """What a clearing took of a budget, and what one more fen of it would add."""

    budget: str
    limit_fen: int
    """what was left of it before"""
    used_fen: int
    unit: str
    """weighted_fen: fen of surplus times the request's priority; or weighted_card_hours"""
    shadow_price_micro: int
    """millionths of the unit per fen; 0 where the budget does not bind"""


class BudgetSideOut(TypedDict):
    """A budget in one of two clearings."""

    limit_fen: int
    used_fen: int
    shadow_price_micro: int
    """millionths of the objective's unit that one more fen would add"""


class BurnDownDay(TypedDict):
    """A pool at the end of a day, or now for the last one."""

    day: str
    filled_fen: int
    """what was put into it so far"""
    issued_fen: int
    """issued so far, less what came back"""
    earmarked_fen: int
    """set aside and not decided"""
    left_fen: int | None
    """of what was put in; null where the pool has no cap"""
    redeemed_fen: int
    """redeemed so far of this year's vouchers, less what was given back"""


class BuyerOut(TypedDict):
    """Whose request it is."""

    org_id: str
    ref: str
    name: str


CancelReason: TypeAlias = Literal[
    "buyer_changed_plans",
    "buyer_found_elsewhere",
    "refused",
    "supplier_unavailable",
    "hardware_failure",
    "desk_decision",
]
"""Why a party gives a reservation up; each reason belongs to one side, or to the desk."""


class CapacityStep(TypedDict):
    """From `starts_at` until the next step there are so many cards."""

    starts_at: str
    cards: int


Cause: TypeAlias = Literal[
    "request_changed",
    "pin_changed",
    "forbid_changed",
    "share_changed",
    "offer_changed",
    "subsidy_terms_changed",
    "budget_changed",
    "objective_changed",
    "competition",
    "search",
]
"""What differs between the clearings that touches a request; the last two only where nothing else does."""


ChangeOut = TypedDict(
    "ChangeOut",
    {
        "change": str,
        "from": str | int,
        "to": str | int,
        "offer_id": str,
        "starts_at": str,
    },
)


class ChipFactsOut(TypedDict):
    """What is known of a chip model; null is unknown."""

    vendor: str | None
    fp16_tflops: float | None
    """dense FP16 TFLOPS of one card"""
    memory_gb: float | None
    """GB of one card"""
    domestic: bool | None
    chip_class: str | None


class ChipIn(TypedDict):
    """A chip model to add; what is left out is unknown."""

    name: str
    vendor: NotRequired[str | None]
    fp16_tflops: NotRequired[float | None]
    memory_gb: NotRequired[float | None]
    domestic: NotRequired[bool | None]
    chip_class: NotRequired[str | None]
    """models that a buyer may treat as equivalent"""
    source: NotRequired[str | None]
    """where the facts come from"""


class ChipOut(TypedDict):
    """A chip model of the catalogue."""

    vendor: str | None
    fp16_tflops: float | None
    """dense FP16 TFLOPS of one card"""
    memory_gb: float | None
    """GB of one card"""
    domestic: bool | None
    chip_class: str | None
    name: str
    source: str | None
    version: int
    created_at: str


class ChipPatch(TypedDict):
    """Facts of a chip model to change; null makes one unknown."""

    vendor: NotRequired[str | None]
    fp16_tflops: NotRequired[float | None]
    memory_gb: NotRequired[float | None]
    domestic: NotRequired[bool | None]
    chip_class: NotRequired[str | None]
    source: NotRequired[str | None]


Choice: TypeAlias = Literal["full_price", "lapsed"]
"""What came of a buyer's choice after a rejection: the full price accepted, or the time for it lapsed."""


RedemptionId: TypeAlias = str


ClaimReason: TypeAlias = Literal["proof_insufficient", "not_delivered", "wrong_amount", "ineligible", "desk_decision"]
"""Why the desk rejects a claim or a line of it."""


ClaimState: TypeAlias = Literal["submitted", "approved", "rejected", "paid"]
"""`submitted → approved | rejected`, `approved → paid`; the database refuses other turns."""


ClearingMode: TypeAlias = Literal["dry_run", "apply"]
"""`dry_run` decides and reserves nothing; `apply` holds what was matched."""


class ClearingProgressOut(TypedDict):
    """Where a run is."""

    phase: str
    """waiting, reading, the engine's own, verifying, writing, done"""
    best: int | None
    """the first objective so far; fen, or weighted card-hours"""
    bound: int | None
    """what no outcome can exceed, as far as is proved"""
    gap: float | None
    """(bound - best) / bound"""


ClearingState: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled"]
"""`queued → running → succeeded | failed`, or `cancelled`."""


class ComparisonTotalsOut(TypedDict):
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


class ConfigDifferenceOut(TypedDict):
    """A place in which what was asked for differs."""

    key: str
    this: NotRequired[Any]
    other: NotRequired[Any]


class ConversionOut(TypedDict):
    """P ↔ cards of one chip; 1 P is 1 000 TFLOPS of dense FP16."""

    chip_model: str
    fp16_tflops: float
    cards: int
    """whole cards: as asked, or so many that they are at least the P asked for"""
    petaflops: float
    """P: as asked, or what the cards are"""
    cards_petaflops: float
    """what so many cards really are in P"""


class CorrectionIn(TypedDict):
    """A posted transfer to take back, in whole or in part."""

    transfer_id: str
    amount_fen: int
    """at most what it posted less earlier corrections"""
    reason: str


DecidedBy: TypeAlias = Literal["rules", "desk"]
"""Who decided an application."""


class DecisionIn(TypedDict):
    """Why the desk decides so."""

    reason: NotRequired[str | None]


class DeliveryIn(TypedDict):
    """What was metered in a period of a reservation, `[period_start, period_end)` on whole seconds."""

    period_start: str
    period_end: str
    card_seconds: int
    """delivered in the period, over all cards; at most cards × seconds"""
    corrects_id: NotRequired[str | None]
    """the report of the same period that this one takes the place of"""


class DeliveryOut(TypedDict):
    """What a supplier reported as delivered in a period; never changed, but corrected by a later report."""

    id: str
    reservation_id: str
    buyer_org_id: str
    supplier_org_id: str
    period_start: str
    period_end: str
    card_seconds: int
    corrects_id: str | None
    """the report that this one takes the place of"""
    corrected_by: str | None
    """the report that took the place of this one; null: in force"""
    disputed_at: str | None
    """since when the buyer disputes it, else null"""
    dispute_reason: str | None
    created_at: str


class DisputeIn(TypedDict):
    """Why a report is not what was delivered."""

    reason: str
    """both sides and the desk see it"""


DocumentKind: TypeAlias = Literal["contract", "invoice", "delivery_record", "claim_proof", "other"]
"""What an uploaded document is; `claim_proof` is attached to claims."""


class DocumentOut(TypedDict):
    """A document of a contract; its content is at `…/documents/{id}`."""

    id: str
    contract_id: str | None
    kind: DocumentKind
    name: str
    media_type: Literal["application/pdf", "image/png", "image/jpeg"]
    size_bytes: int
    sha256: str
    """of the content, in hexadecimal"""
    uploaded_by_org_id: str
    created_at: str


class DraftIn(TypedDict):
    """A file of a programme."""

    toml: str
    """the file, as it is; see docs/vouchers/programmes.md"""


Effect: TypeAlias = Literal[
    "new_request",
    "request_gone",
    "matched",
    "unmatched",
    "more_blocks",
    "fewer_blocks",
    "moved",
    "rescheduled",
    "other_shape",
    "dearer",
    "cheaper",
    "subsidy_gained",
    "subsidy_lost",
]
"""What is otherwise for a request."""


class EffectRow(TypedDict):
    """What redeemed vouchers of a group enabled."""

    programme: str | None
    year: int | None
    buyer_kind: str | None
    chip_origin: Literal["domestic", "foreign", "unknown"] | None
    contracts: int
    """with redeemed vouchers, each once in a group, and in each of its groups"""
    card_seconds: int
    """settled under these contracts"""
    settled_fen: int
    """what these contracts cost so far"""
    redeemed_fen: int
    """what vouchers took of it"""
    card_hours_per_cny: str | None
    """card-hours settled for each CNY of subsidy, rounded half up"""
    settled_cny_per_cny: str | None
    """CNY of compute settled for each CNY of subsidy"""


EmptyReason: TypeAlias = Literal[
    "no_chip",
    "no_site",
    "too_large_for_any_offer",
    "no_window",
    "over_budget",
    "subsidy_exhausted",
    "min_blocks",
    "fragmented",
    "sold_out",
]
"""Why nothing can be offered: the first that holds, in this order."""


class EndIn(TypedDict):
    """End a running reservation early. Takes no fields."""


class EvaluationIn(TypedDict):
    """What a completed contract achieved."""

    score: int
    remarks: str


class EvaluationOut(TypedDict):
    """What the desk found that a contract achieved."""

    score: int
    remarks: str
    created_at: str


WithProgramme: TypeAlias = str


class ExportFileOut(TypedDict):
    """A file that an export wrote."""

    name: str
    rows: int
    bytes: int
    url: str


class ExportResultOut(TypedDict):
    """What an export wrote; the files are deleted 24 hours after it ended."""

    files: list[ExportFileOut]


class ExtendIn(TypedDict):
    """Keep the cards longer."""

    hours: int
    """whole hours more"""


FactKey: TypeAlias = Literal[
    "kind",
    "unified_social_credit_code",
    "prior_year_revenue_fen",
    "registered_city",
    "integrity",
    "project_lead",
    "partner",
    "centre_pflops",
    "centre_racks",
    "supercomputing",
]
"""The kinds of dated facts that rules read."""


class FactOut(TypedDict):
    """A dated statement; it counts once verified."""

    id: str
    org_id: str
    key: FactKey
    value: str | int | bool
    valid_from: str
    evidence: str | None
    recorded_at: str
    verified_by: str | None
    verified_at: str | None


class FateOut(TypedDict):
    """How a request fares in one of two clearings."""

    blocks: int
    card_hours: int
    cost_fen: int
    subsidy_fen: int
    net_fen: int
    surplus_fen: int
    offer_ids: list[str]
    code: str | None
    """why blocks of it are unmatched, if any are"""


class FileCountsOut(TypedDict):
    """What became of a file's rows."""

    inserted: int
    changed: int
    unchanged: int
    skipped: int
    """bad rows that were left out"""


Buyer: TypeAlias = str


Supplier: TypeAlias = str


Region: TypeAlias = str


ChipModel: TypeAlias = str


class FiltersIn(TypedDict):
    """Which part of the open market takes part; empty asks for all of it."""

    buyers: NotRequired[list[Buyer]]
    """references of buyers"""
    suppliers: NotRequired[list[Supplier]]
    """references of suppliers"""
    regions: NotRequired[list[Region]]
    """regions of offers"""
    chip_models: NotRequired[list[ChipModel]]
    """chip models of offers"""
    limit_requests: NotRequired[int | None]
    """only the first by submission"""


class FindingOut(TypedDict):
    """Something to tell about a row."""

    file: str
    line: int
    """the physical line, the header's being 1; 0 for the file as a whole"""
    column: str | None
    code: str
    """stable; never translated"""
    detail: str


class ForbidIn(TypedDict):
    """No block of the request goes on the offer."""

    request_id: str
    offer_id: str


Format: TypeAlias = Literal["csv", "jsonl"]
"""How a market is written."""


class FullPriceIn(TypedDict):
    """Accept the full price after a rejection. Takes no fields."""


Group: TypeAlias = Literal["programme", "year", "buyer_kind", "chip_origin"]
"""What figures are told by."""


Guard: TypeAlias = Literal["none", "debits_le_credits", "credits_le_debits"]
"""Which side of an account may never exceed the other; pending amounts count on the side that is bounded."""


class Health(TypedDict):
    """The service is well."""

    status: NotRequired[Literal["ok"]]


class HoldingOut(TypedDict):
    """What matches give together; surplus is unweighted."""

    blocks: int
    card_hours: int
    cost_fen: int
    subsidy_fen: int
    net_fen: int
    surplus_fen: int


class ImportResultOut(TypedDict):
    """What an import did."""

    dry_run: bool
    """nothing was written; this is what would have been"""
    files: dict[str, FileCountsOut]
    """by file"""
    notices: list[FindingOut]
    """rows that were taken, with something to tell; the first 1 000"""
    more_notices: int
    """notices beyond those listed"""
    bad_rows: list[FindingOut]
    """what was wrong with the rows left out; the first 1 000"""
    more_bad_rows: int
    """errors beyond those listed"""


InvoiceFormat: TypeAlias = Literal["json", "html", "pdf"]
"""What an invoice is read as."""


class ItemIn(TypedDict):
    """A line of a contract."""

    kind: Literal["compute", "storage", "network", "security"]
    amount_fen: int
    """integer fen (1/100 CNY)"""


ItemKind: TypeAlias = Literal["compute", "storage", "network", "security"]
"""What a part of a contract's amount is for; programmes say which of them count."""


class ItemOut(TypedDict):
    """A part of a contract's amount."""

    kind: ItemKind
    amount_fen: int


class JobErrorOut(TypedDict):
    """Why a job ended without a result; nothing was written."""

    code: str
    detail: str
    bad_rows: list[FindingOut]
    """every bad row, or the first 1 000 errors"""
    more_bad_rows: int
    """errors beyond those listed"""


JobState: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled"]
"""`queued → running → succeeded | failed`, or `cancelled`."""


Kind: TypeAlias = Literal["chips", "suppliers", "buyers", "offers", "requests"]
"""The files of a market, by their names without suffix."""


class KindSums(TypedDict):
    """The sums of one kind of accounts."""

    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int
    kind: str
    accounts: int


LineState: TypeAlias = Literal["submitted", "approved", "rejected"]
"""`submitted → approved | rejected`, by the desk; a rejected line's redemption may be claimed again."""


Loss: TypeAlias = Literal[
    "capacity_taken",
    "request_changed",
    "offer_changed",
    "budget_exhausted",
    "block_taken",
    "min_blocks",
    "start_passed",
    "not_eligible",
    "programme_closed",
    "programme_changed",
    "year_over",
]
"""Why a match was not reserved: what changed between the snapshot and its application."""


class MarketDifferenceOut(TypedDict):
    """Ids that only one market has, and those that both have with other terms."""

    only_in_this: list[str]
    only_in_other: list[str]
    changed: list[str]
    only_in_this_count: int
    only_in_other_count: int
    changed_count: int


class MarketDifferencesOut(TypedDict):
    """How what was cleared differs."""

    requests: MarketDifferenceOut
    offers: MarketDifferenceOut


class MatchSubsidyOut(TypedDict):
    """What one programme's tier adds."""

    programme: str
    tier: str
    amount_fen: int


Method: TypeAlias = Literal["clear", "fcfs", "cpsat"]
"""`clear` is the engine, `fcfs` first come first served, `cpsat` one direct CP-SAT model."""


class MissedOut(TypedDict):
    """A clause and how many contracts miss it."""

    clause: str
    contracts: int


class NeedAlternativeIn(TypedDict):
    """One way to meet a block: a gang of cards for hours in a row on one offer."""

    chips: NotRequired[str]
    """any, domestic, class:NAME, a model, or several joined by |"""
    min_memory_gb: NotRequired[float | None]
    """GB of one card at least"""
    min_fp16_tflops: NotRequired[float | None]
    """dense FP16 TFLOPS of one card at least"""
    cards: int
    hours: float
    """a reservation takes them rounded up to whole hours"""
    max_net_price_fen: NotRequired[int | None]
    """the most per card-hour after subsidy, in fen; null for no limit"""


class NoticeOut(TypedDict):
    """What stands in a request's way as things are; it is accepted all the same."""

    code: str
    pointer: str
    detail: str


Objective: TypeAlias = Literal["surplus", "coverage", "thrift"]
"""What is sought first and next; see `core.objective`."""


class OfferChangeIn(TypedDict):
    """Another price or other cards for an offer or for all offers of a supplier: dry runs only.

    One that names an offer takes the place of its supplier's.
    """

    offer_id: NotRequired[str | None]
    supplier: NotRequired[str | None]
    """a supplier's reference"""
    price_fen: NotRequired[int | None]
    """the posted price per card-hour instead, in fen"""
    price_ppm: NotRequired[int | None]
    """times the posted price, in parts per million, rounded half up"""
    add_cards: NotRequired[int | None]
    """cards more in each hour (below 0: withheld), from the first with any free to the end"""
    cards_ppm: NotRequired[int | None]
    """times the free cards, in parts per million, rounded down; 0 withholds all"""


class OfferIn(TypedDict):
    """Capacity to list. The price is given per card-hour, or per instance-month of a node; not both."""

    supplier_org_id: NotRequired[str | None]
    """another organisation's, by the desk only"""
    ref: NotRequired[str | None]
    """unique among the supplier's offers; by default made from its id"""
    chip_model: str
    region: str
    cards_per_node: NotRequired[int]
    interconnect_gbps: NotRequired[int | None]
    price_fen: NotRequired[int | None]
    list_price_fen: NotRequired[int | None]
    """by default the price"""
    posted_fen_per_instance_month: NotRequired[int | None]
    listed_fen_per_instance_month: NotRequired[int | None]
    """by default the posted price"""
    auto_accept: NotRequired[bool]
    """accept every booking at once"""
    capacity: list[CapacityStep]
    """on whole hours, ascending; the last has 0 cards and ends the offer"""


class OfferPatch(TypedDict):
    """What to change of an offer; nothing given confirms that it still stands. Capacity has a path of its own."""

    region: NotRequired[str]
    interconnect_gbps: NotRequired[int | None]
    """null for unknown"""
    price_fen: NotRequired[int]
    """integer fen per card-hour"""
    list_price_fen: NotRequired[int]
    """integer fen per card-hour"""
    posted_fen_per_instance_month: NotRequired[int]
    """integer fen for a whole node for an instance-month of 730 hours"""
    listed_fen_per_instance_month: NotRequired[int]
    """integer fen for a whole node for an instance-month of 730 hours"""
    auto_accept: NotRequired[bool]


OfferSort: TypeAlias = Literal["price", "-price", "earliest_start"]
"""How a list of offers is ordered; ties by price, then earliest start, then id."""


OfferState: TypeAlias = Literal["open", "withdrawn"]
"""Open for booking, or withdrawn (what is reserved on it stays)."""


class OpenIn(TypedDict):
    """A year to open a programme for; amounts left out are the programme's own."""

    year: int
    """the calendar year in the programme's time zone"""
    pool_fen: NotRequired[int | None]
    """what all buyers may get, in integer fen"""
    buyer_year_fen: NotRequired[int | None]
    """what one buyer may get, in integer fen"""


OrganisationState: TypeAlias = Literal["pending", "approved", "rejected", "suspended"]
"""Registered, and what the desk made of it."""


class OtherIn(TypedDict):
    """Another subsidy on the contract."""

    level: Literal["national", "province", "city", "district"]
    amount_fen: NotRequired[int]
    """integer fen (1/100 CNY)"""


class PageAdvanceOut(TypedDict):
    data: list[AdvanceOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class PageBudgetPriceOut(TypedDict):
    data: list[BudgetPriceOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class PageChipOut(TypedDict):
    data: list[ChipOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class PageDeliveryOut(TypedDict):
    data: list[DeliveryOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class PartnerIn(TypedDict):
    """A supplier's place on a programme's partner list."""

    list_name: str
    org_id: str
    batch: str
    valid_from: str


class PartnerOut(TypedDict):
    """A supplier's place on a partner list."""

    list_name: str
    org_id: str
    batch: str
    valid_from: str
    recorded_at: str


class PartyDifferenceOut(TypedDict):
    """A buyer or supplier whose matches differ in sum."""

    ref: str
    this: HoldingOut
    other: HoldingOut


class PartyOut(TypedDict):
    """A side of an invoice."""

    id: str
    name: str
    contact: str | None


class PayClaimIn(TypedDict):
    """That a claim was paid."""

    amount_fen: int
    """what was paid, in integer fen: exactly `cash_fen`"""
    paid_at: NotRequired[str | None]
    """when; by default now"""
    reference: NotRequired[str | None]
    """of the transfer"""


class PayIn(TypedDict):
    """That a settlement was paid."""

    amount_fen: int
    """what was paid, in integer fen: exactly what was to be paid"""
    paid_at: NotRequired[str | None]
    """when; by default now"""
    reference: NotRequired[str | None]
    """of the transfer"""


Payment: TypeAlias = Literal["prepaid", "arrears"]
"""When a contract is paid for: before each period, or after it."""


class PaymentIn(TypedDict):
    """When a contract is paid for."""

    payment: Payment


PaymentState: TypeAlias = Literal["open", "paid", "void"]
"""`open → paid` or `void`; where nothing is to be paid, `paid` from the start."""


class PinIn(TypedDict):
    """At least one block of the request goes on the offer, at `start` where one is given."""

    request_id: str
    offer_id: str
    start: NotRequired[str | None]


PlotFormat: TypeAlias = Literal["svg", "png"]
"""What a picture is drawn as."""


class PriceRunOut(TypedDict):
    """A stretch of hours at one price."""

    starts_at: str
    hours: int
    price_micro: int
    """millionths of the unit per card-hour; 0 where cards are plentiful"""


PriceUnit: TypeAlias = Literal["card_hour", "instance_month"]
"""What a supplier's posted price is for."""


class ProgrammeIn(TypedDict):
    """A voucher programme, with other numbers than its own for a what-if."""

    id: str
    set: NotRequired[dict[str, str]]
    """dry runs only: pool_year_cny, buyer_year_cny, stacking_ceiling or TIER.KEY, as decimal texts"""


class ProgressOut(TypedDict):
    """How far a job has come."""

    phase: str
    """waiting, reading, checking, writing"""
    done: int
    total: int
    """0 while it is not known"""


class ProofIn(TypedDict):
    """A document that proves the claim: uploaded by `POST /v1/claim-proofs`, or a contract's."""

    kind: str
    """one that the programme names"""
    document_id: str


class ProofOut(TypedDict):
    """A document that proves the claim; its content is at `…/proofs/{document_id}`."""

    kind: str
    document_id: str
    name: str
    media_type: str
    size_bytes: int
    sha256: str


class PublishIn(TypedDict):
    """Which draft to publish."""

    version: int


class QuotedSubsidyOut(TypedDict):
    """What one programme's tier takes off a block; earmarked when the option is booked."""

    programme: str
    programme_version: int
    tier: str
    year: int
    """whose budgets it draws on"""
    amount_fen: int


RedemptionKind: TypeAlias = Literal["redeemed", "given_back"]
"""`redeemed` takes from a voucher; `given_back` returns to it what a redemption took too much."""


class RedemptionOut(TypedDict):
    """Voucher money taken off a settlement, or given back to the voucher."""

    id: str
    voucher_id: str
    programme: str
    kind: RedemptionKind
    of_id: str | None
    """the redemption that is given back, else null"""
    amount_fen: int
    """positive, whichever way it goes"""
    claimant_org_id: str
    """who claims it from the programme: the supplier or the buyer"""


class Registration(TypedDict):
    """An organisation registers itself."""

    name: str
    roles: list[Literal["buyer", "supplier"]]
    """what it wants to act as"""
    ref: NotRequired[str | None]
    """its reference in market files; by default made from its id"""
    contact: NotRequired[str | None]
    """shown to the other side once a reservation is confirmed"""


class RejectClaimIn(TypedDict):
    """Reject a claim with all of its lines."""

    reason: ClaimReason
    detail: str
    """in the desk's own words; the claimant sees it"""


RejectReason: TypeAlias = Literal["desk_check_failed", "documents_insufficient", "false_statement", "desk_decision"]
"""Why the desk rejects an application."""


class RejectedLineIn(TypedDict):
    """A line that is not approved."""

    line_id: str
    reason: ClaimReason
    detail: str
    """in the desk's own words; the claimant sees it"""


ReportFormat: TypeAlias = Literal["json", "csv", "svg", "png"]
"""How a report is read: as data, as a table for spreadsheets, or drawn."""


class RequestDifferenceOut(TypedDict):
    """A request that fares otherwise, and what differs that touches it."""

    request_id: str
    buyer: str
    effects: list[Effect]
    causes: list[Cause]
    """competition and search stand only where nothing of its own differs"""
    surplus_gain_fen: int
    """the buyer's surplus in this less that in the other"""
    this: FateOut
    other: FateOut


RequestState: TypeAlias = Literal["open", "partly_matched", "matched", "closed", "withdrawn", "expired"]
"""How far a request has come. Derived from its live reservations while it is open."""


ReservationState: TypeAlias = Literal["held", "confirmed", "active", "completed", "cancelled", "expired"]
"""`held → confirmed → active → completed`, or `cancelled`, `expired`; the guard refuses other turns."""


RevokeReason: TypeAlias = Literal["false_statement", "misuse", "not_delivered", "desk_decision"]
"""Why the desk revokes a voucher."""


Role: TypeAlias = Literal["buyer", "supplier", "desk", "auditor"]
"""What an organisation, and a key of it, may act as."""


class RoleOut(TypedDict):
    """A role and the reference under it."""

    role: Role
    ref: str


SegmentOut = TypedDict(
    "SegmentOut",
    {
        "from": str,
        "to": str,
        "total": int,
        "reserved": int,
        "free": int,
    },
)


SettlementKind: TypeAlias = Literal["prepaid", "arrears", "refund", "redemption"]
"""`prepaid` and `arrears` bill; `refund` gives back; `redemption` bills nothing and only redeems, or gives back."""


class SettlementOut(TypedDict):
    """A line of a contract's bill: the rounded total so far less what was billed before."""

    id: str
    number: int
    """counted by supplier from 1, without gaps"""
    kind: SettlementKind
    contract_id: str
    reservation_id: str
    report_id: str | None
    """the delivery report that made it, if one did"""
    buyer_org_id: str
    supplier_org_id: str
    period_start: str
    period_end: str
    price_fen: int
    """fen per card-hour"""
    card_seconds_total: int
    """owed for in all up to this line"""
    amount_fen: int
    """of this line; below 0 in a refund"""
    redemptions: list[RedemptionOut]
    redeemed_fen: int
    """of vouchers by this line, give-backs taken off"""
    payable_fen: int
    """what the buyer pays the supplier; below 0 what the supplier pays back"""
    currency: NotRequired[Literal["CNY"]]
    payment_state: PaymentState
    paid_at: str | None
    payment_reference: str | None
    version: int
    """what the ETag is made of"""
    created_at: str


class ShareIn(TypedDict):
    """A buyer or supplier gets at most this share of the card-hours requested in the run."""

    share: str
    share_ppm: int
    """parts per million"""


Side: TypeAlias = Literal["buyer", "supplier"]
"""A party of a reservation."""


SignalCode: TypeAlias = Literal[
    "affiliated_parties",
    "price_above_recent",
    "price_above_non_voucher",
    "split_contracts",
    "claimed_above_metered",
    "proof_reused",
]
"""What a signal is of."""


class SignalOut(TypedDict):
    """A sign of abuse; it decides nothing."""

    code: SignalCode
    of: str
    """the id of what it is about"""
    found: str
    against: str
    """what it was held against"""
    told: str
    """in a sentence, English or Chinese by Accept-Language"""


class SimulateIn(TypedDict):
    """Which version; a file in its place, stored nowhere, or the newest version where neither is given."""

    version: NotRequired[int | None]
    toml: NotRequired[str | None]
    """a file with the programme's id"""


class SimulatedYearOut(TypedDict):
    """The contracts of a calendar year in the programme's time zone."""

    contracts: int
    eligible: int
    """those that meet every clause of their best tier"""
    granted: int
    """those that get something"""
    cost_fen: int
    amount_fen: int
    """what the programme would have given"""
    subsidised_fen: int
    """what they were really matched with, under any programme"""
    missed: list[MissedOut]
    """the most frequent first"""
    year: int
    pool_left_fen: int | None
    """null where there is no pool"""


SuppliersAllowedItem: TypeAlias = str


SuppliersRefusedItem: TypeAlias = str


class SiteIn(TypedDict):
    """Where it may run; what is left out rules nothing out. An attribute that is unknown meets no rule about it."""

    regions: NotRequired[list[Region]]
    suppliers_allowed: NotRequired[list[SuppliersAllowedItem]]
    """references of suppliers"""
    suppliers_refused: NotRequired[list[SuppliersRefusedItem]]
    """references of suppliers"""
    min_interconnect_gbps: NotRequired[int | None]
    min_cards_per_node: NotRequired[int | None]
    domestic: NotRequired[bool | None]
    """true: only domestic chips; false: only others"""


class SiteOut(TypedDict):
    """Where it may run; empty and null rule nothing out."""

    regions: list[str]
    suppliers_allowed: list[str]
    suppliers_refused: list[str]
    min_interconnect_gbps: int | None
    min_cards_per_node: int | None
    domestic: bool | None


Status: TypeAlias = Literal["optimal", "feasible", "infeasible", "timeout", "cancelled", "failed"]
"""How a run ended."""


class Sums(TypedDict):
    """Debits and credits in integer fen."""

    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int


class SupplierOut(TypedDict):
    """Whose offer it is."""

    org_id: str
    ref: str
    name: str


class TallyOut(TypedDict):
    """What contracts would get, in integer fen."""

    contracts: int
    eligible: int
    """those that meet every clause of their best tier"""
    granted: int
    """those that get something"""
    cost_fen: int
    amount_fen: int
    """what the programme would have given"""
    subsidised_fen: int
    """what they were really matched with, under any programme"""
    missed: list[MissedOut]
    """the most frequent first"""


class TitleOut(TypedDict):
    """A name in two languages."""

    en: str
    zh: str


class TotalsRow(TypedDict):
    """Voucher money of a group; what the report is not grouped by is null."""

    programme: str | None
    year: int | None
    """of the budgets that the vouchers draw on"""
    buyer_kind: str | None
    """what the buyer was on record as when it signed, or `unknown`"""
    chip_origin: Literal["domestic", "foreign", "unknown"] | None
    vouchers: int
    """how many were ever earmarked"""
    earmarked_fen: int
    """set aside and not decided"""
    issued_fen: int
    """ever issued"""
    redeemed_fen: int
    """of it, what settlements took, less what they gave back"""
    returned_fen: int
    """of it, what went back to the pool unspent"""
    left_fen: int
    """of it, what can still be redeemed"""
    clawed_back_fen: int
    """of what was redeemed, what claimants owe since the voucher was revoked"""
    claimed_fen: int
    """in claims that wait to be paid"""
    paid_fen: int
    """paid to claimants, in money or against advances and what they owed"""


TransferKind: TypeAlias = Literal["single", "pending", "post", "void", "expire"]
"""`single` posts at once; `pending` reserves until one `post` (of at most as much), `void` or `expire`."""


class TransferOut(TypedDict):
    """An amount in fen from one account to another."""

    id: str
    seq: int
    """the order of record"""
    debit_id: str
    credit_id: str
    amount_fen: int
    """0 for void and expire, which release all that was pending"""
    kind: TransferKind
    pending_id: str | None
    """the pending transfer that this one resolves"""
    subject: str | None
    """what it is about: a voucher's id, as a plain UUID"""
    created_at: str


class TrialBalanceOut(TypedDict):
    """What was debited and credited, by kind of account and in all."""

    programme: str | None
    owner_org_id: str | None
    kinds: list[KindSums]
    total: Sums
    currency: NotRequired[Literal["CNY"]]
    balanced: bool | None
    """whether debits equal credits, posted and pending; null where only some of the accounts are shown, since the other side of a transfer is then left out"""


class UnmatchedOut(TypedDict):
    """Why blocks of a request were not matched."""

    position: int
    request_id: str
    blocks_unmatched: int
    code: str
    detail: str
    changes: list[ChangeOut]


class UseIn(TypedDict):
    """Put a bonus voucher on a contract."""

    contract_id: str


Verdict: TypeAlias = Literal["runs_out", "lasts", "no_pace", "used_up", "year_over", "no_cap"]
"""What the pace comes to."""


VersionState: TypeAlias = Literal["draft", "published"]
"""A draft can be simulated; a published version is in force and never changes."""


VoucherKind: TypeAlias = Literal["contract", "bonus"]
"""`contract`: for the contract it was matched with; `bonus`: given for a good outcome, for a later contract."""


VoucherState: TypeAlias = Literal["earmarked", "voided", "rejected", "issued", "exhausted", "expired", "revoked"]
"""
A voucher's life; the database refuses other turns.

`earmarked` with the hold; `voided` when its reservation ends before it was decided; `issued` or `rejected` by the
decision; `exhausted` once all of it was redeemed; `expired` when its time was over, `revoked` for a reason.
"""


class VoucherStepOut(TypedDict):
    """A turn of a voucher's life."""

    state: VoucherState
    amount_fen: int
    reason_code: str | None
    at: str


class YearOut(TypedDict):
    """A year that a programme is open for; amounts in integer fen, null where there is no cap."""

    year: int
    version: int
    """the programme version that this year's vouchers are under"""
    pool_fen: int | None
    buyer_year_fen: int | None
    opened_at: str


class AppCatalogSchemasStepOut(TypedDict):
    """From `starts_at` until the next step there are so many cards."""

    starts_at: str
    cards: int


class AppContractsSchemasClauseOut(TypedDict):
    """A clause of the programme as the rules found it."""

    name: str
    met: bool
    needed: str
    found: str | None
    """null: not known"""
    told: str
    """in a sentence, English or Chinese by Accept-Language"""


class AppContractsSchemasReasonOut(TypedDict):
    """Why an application was rejected or withdrawn."""

    code: str
    told: str
    detail: str | None
    """the desk's own words"""


class AppContractsSchemasStepOut(TypedDict):
    """A step of the amount's arithmetic."""

    name: str
    amount_fen: int
    detail: str
    told: str


class AppContractsSchemasWithdrawIn(TypedDict):
    """Withdraw an application. Takes no fields."""


class AppMatchingSchemasReasonOut(TypedDict):
    """Why nothing can be offered."""

    code: EmptyReason
    detail: str


class AppSettlementsSchemasWithdrawIn(TypedDict):
    """Withdraw a dispute. Takes no fields."""


class AppVouchersExplainingClauseOut(TypedDict):
    """A clause of a programme; `found` is null where it isn't known."""

    name: str
    met: bool
    needed: str
    found: str | None
    told: str


class AppVouchersExplainingStepOut(TypedDict):
    """A step of the arithmetic of an amount, in integer fen."""

    name: str
    amount_fen: int
    detail: str
    told: str


class ProblemField(TypedDict):
    """One thing wrong with the input."""

    pointer: str
    """JSON pointer into the body, or the parameter's name"""
    code: str
    detail: str


class ProblemBody(TypedDict):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    """stable; never translated"""
    request_id: str
    errors: list[ProblemField]
    """every field that is wrong; empty where none is"""


class AcceptIn(TypedDict):
    """Accept a hold."""

    side: NotRequired[Side | None]
    """for whom: needed by the desk and by who is both sides"""


class AccountOut(TypedDict):
    """An account of the ledger; balances in integer fen."""

    id: str
    name: str
    kind: str
    guard: Guard
    """which side may never exceed the other"""
    owner_org_id: str | None
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int
    created_at: str


class AffiliationList(TypedDict):
    """An organisation's affiliations."""

    data: list[AffiliationOut]


class ApplicationOut(TypedDict):
    """A contract's application for a voucher, with each clause and the arithmetic of the amount."""

    id: str
    state: ApplicationState
    contract_id: str
    programme: str
    voucher_id: str
    buyer_org_id: str
    supplier_org_id: str
    amount_fen: int
    """what the rules give, at most the earmark; once approved, what was issued"""
    clauses: list[AppContractsSchemasClauseOut]
    arithmetic: list[AppContractsSchemasStepOut]
    desk_checks: list[str]
    """what the facts can't tell: with any, the desk decides"""
    signals: list[SignalOut] | None
    """signs of abuse, for the desk and auditors; null for others"""
    decided_by: DecidedBy | None
    decided_at: str | None
    reason: AppContractsSchemasReasonOut | None
    choice: Choice | None
    """after a rejection: what came of the buyer's choice; null while it is open"""
    choice_ends_at: str | None
    """until when the buyer can accept the full price"""
    version: int
    """what the ETag is made of"""
    created_at: str


class ApproveClaimIn(TypedDict):
    """Approve a claim, but for the lines named."""

    rejected: NotRequired[list[RejectedLineIn]]


class BudgetDifferenceOut(TypedDict):
    """A budget that differs; null where there is no such budget."""

    budget: str
    this: BudgetSideOut | None
    other: BudgetSideOut | None


class CancelIn(TypedDict):
    """Give a reservation up before it runs."""

    reason: CancelReason
    detail: NotRequired[str | None]
    """in one's own words; both sides see it"""


class CapacityIn(TypedDict):
    """An offer's whole capacity, instead of what it was."""

    steps: list[CapacityStep]
    """on whole hours, ascending; the last has 0 cards and ends the offer"""


class CapacityOut(TypedDict):
    """An offer's capacity: its steps, and what is free of it."""

    offer_id: str
    version: int
    observed_at: str
    steps: list[AppCatalogSchemasStepOut]
    segments: list[SegmentOut]


class ClaimIn(TypedDict):
    """What is claimed: all that was redeemed in a period and is not claimed yet, or the redemptions named."""

    programme: str
    programme_version: NotRequired[int | None]
    """by default that of the oldest redemption that is not claimed"""
    period: str
    """a calendar period in the programme's time zone, of its cadence: `2026-12`, `2026-Q4`, `2026-H2`, `2026`"""
    proofs: NotRequired[list[ProofIn]]
    """at least one of each kind that the programme names"""
    redemption_ids: NotRequired[list[RedemptionId] | None]
    """only these; by default all"""
    amount_fen: NotRequired[int | None]
    """what this must come to, in integer fen; else it is refused"""
    claimant_org_id: NotRequired[str | None]
    """for whom, where the desk claims"""


class ClaimLineOut(TypedDict):
    """A redemption that is claimed."""

    id: str
    redemption_id: str
    settlement_id: str
    voucher_id: str
    amount_fen: int
    state: LineState
    reason: ClaimReason | None
    """of a rejected one"""
    detail: str | None


class ClaimOut(TypedDict):
    """What a claimant asks of a programme for a period."""

    id: str
    state: ClaimState
    programme: str
    programme_version: int
    claimant_org_id: str
    period: str
    period_start: str
    period_end: str
    amount_fen: int
    """the sum of its lines"""
    approved_fen: int | None
    """the sum of the approved lines; null before the decision"""
    netted_fen: int | None
    """taken off at payment for advances of the reserve fund"""
    recovered_fen: int | None
    """taken off at payment for vouchers revoked after they were paid"""
    cash_fen: int | None
    """what is left to pay: approved less netted less recovered"""
    currency: NotRequired[Literal["CNY"]]
    decided_at: str | None
    paid_at: str | None
    payment_reference: str | None
    signals: list[SignalOut] | None
    """signs of abuse, for the desk and auditors; null for others"""
    version: int
    """what the ETag is made of"""
    created_at: str


class ClassPricesOut(TypedDict):
    """Congestion prices of a chip class within one UTC day, in the hours in which it has cards on offer."""

    chip_class: str
    starts_at: str
    """the first of its hours"""
    unit: str
    """weighted_fen: fen of surplus times the request's priority; or weighted_card_hours"""
    runs: list[PriceRunOut]


class ClearingErrorOut(TypedDict):
    """Why a run ended without a result, and what to do; nothing was reserved."""

    code: str
    status: Status | None
    """the engine's word, where it had one"""
    detail: str


class ClearingIn(TypedDict):
    """What to clear and how."""

    mode: ClearingMode
    method: NotRequired[Method]
    """the engine, or a plain rival"""
    objective: NotRequired[Objective]
    kappa_ppm: NotRequired[int]
    """cost of public funds"""
    programmes: NotRequired[list[ProgrammeIn] | None]
    """null: all that are open this year; an empty list: no subsidy"""
    pins: NotRequired[list[PinIn]]
    forbids: NotRequired[list[ForbidIn]]
    shares: NotRequired[list[ShareIn]]
    filters: NotRequired[FiltersIn]
    offer_changes: NotRequired[list[OfferChangeIn]]
    """dry runs only: what if offers were so"""
    base_clearing_id: NotRequired[str | None]
    """dry runs only: solve again what this clearing cleared, not the open market. Its programmes are the base's (`null`), or those listed of them, with the numbers set"""
    seed: NotRequired[int]
    time_limit_s: NotRequired[int | None]
    """wall seconds for the search; 60 if null"""
    work_limit: NotRequired[int | None]
    """units of work instead: reproducible"""


class ContractDetail(TypedDict):
    """A contract with its applications, documents and evaluation."""

    id: str
    reservation_id: str
    buyer_org_id: str
    supplier_org_id: str
    chip_model: str
    domestic: bool | None
    """whether the chip is a domestic one; null: not known"""
    region: str
    cards: int
    starts_at: str
    ends_at: str
    price_fen: int
    """fen per card-hour"""
    amount_fen: int
    """as signed: the sum of its items"""
    currency: NotRequired[Literal["CNY"]]
    items: list[ItemOut]
    payment: Payment
    """`prepaid`: before each period; `arrears`: after it"""
    signed_at: str
    """when the second side accepted"""
    version: int
    """what the ETag is made of"""
    applications: list[ApplicationOut]
    documents: list[DocumentOut]
    evaluation: EvaluationOut | None


class ContractIn(TypedDict):
    """A contract to explain; signed now where no time is given."""

    signed_at: NotRequired[str | None]
    items: list[ItemIn]
    hours: NotRequired[int | None]
    domestic: NotRequired[bool | None]
    """whether its chips are domestic"""
    workload: NotRequired[str | None]
    blocks: NotRequired[int]
    """how many such contracts the whole request is"""
    year_contracts_fen: NotRequired[int]
    """the buyer's other contracts of the year"""
    others: NotRequired[list[OtherIn]]
    on_application: NotRequired[bool]
    """whether it is applied for what isn't automatic"""
    applied_at: NotRequired[str | None]
    """when it is applied for; at the signing if left out"""
    applications: NotRequired[int]
    """how many applications there are for it already"""


class ContractOut(TypedDict):
    """What a confirmed reservation is under, as both sides accepted it."""

    id: str
    reservation_id: str
    buyer_org_id: str
    supplier_org_id: str
    chip_model: str
    domestic: bool | None
    """whether the chip is a domestic one; null: not known"""
    region: str
    cards: int
    starts_at: str
    ends_at: str
    price_fen: int
    """fen per card-hour"""
    amount_fen: int
    """as signed: the sum of its items"""
    currency: NotRequired[Literal["CNY"]]
    items: list[ItemOut]
    payment: Payment
    """`prepaid`: before each period; `arrears`: after it"""
    signed_at: str
    """when the second side accepted"""
    version: int
    """what the ETag is made of"""


class CorrectionOut(TypedDict):
    """A correction: the new transfer goes the other way."""

    transfer: TransferOut
    corrects_id: str
    reason: str
    created_at: str


class DeliveriesIn(TypedDict):
    """Reports of one reservation, taken together or not at all."""

    reports: list[DeliveryIn]


class DeliveriesOut(TypedDict):
    """The reports that were taken, and the settlements that they made."""

    reports: list[DeliveryOut]
    settlements: list[SettlementOut]


class DocumentList(TypedDict):
    """A contract's documents, in the order they came."""

    data: list[DocumentOut]


class EffectOut(TypedDict):
    """Card-hours enabled per CNY of subsidy, by group and in all."""

    as_of: str
    currency: NotRequired[Literal["CNY"]]
    by: list[Group]
    rows: list[EffectRow]
    total: EffectRow
    """each contract counted once, whatever it is grouped by"""


class ExplainIn(TypedDict):
    """Who would sign what."""

    with_programmes: NotRequired[list[WithProgramme]]
    """further programmes, tried alone and together"""
    buyer_org_id: str
    supplier_org_id: NotRequired[str | None]
    """left out: a partner that isn't affiliated"""
    contract: ContractIn


class ExportIn(TypedDict):
    """What to export."""

    format: Format
    what: list[Kind]
    namespace: NotRequired[str | None]
    """only what was imported into it, with its prefix taken off"""


class ExportOut(TypedDict):
    """An export; once finished it has exactly one of a result and an error."""

    id: str
    state: JobState
    format: Format
    what: list[Kind]
    namespace: str | None
    progress: ProgressOut
    created_at: str
    finished_at: str | None
    result: ExportResultOut | None
    error: JobErrorOut | None


class ExportSummaryOut(TypedDict):
    """An export in a list."""

    id: str
    state: JobState
    format: Format
    what: list[Kind]
    namespace: str | None
    progress: ProgressOut
    created_at: str
    finished_at: str | None


class FactIn(TypedDict):
    """A dated statement about an organisation."""

    key: FactKey
    value: str | int | bool
    """by key: kind (startup, sme, enterprise, institute, university, bureau), unified_social_credit_code (18 characters), prior_year_revenue_fen (integer fen), registered_city, integrity (clean, flagged), project_lead (none, provincial, national), partner (true, false), and of a supplier's largest centre centre_pflops, centre_racks (whole), supercomputing (true, false)"""
    valid_from: str
    evidence: NotRequired[str | None]


class FactList(TypedDict):
    """An organisation's facts, newest first by key."""

    data: list[FactOut]


class ForecastOut(TypedDict):
    """What becomes of the pool at the pace of the last days."""

    method: Literal["recent_pace"]
    """now + left × window ÷ drawn, where drawn is what was taken of the pool in the window, open earmarks counted, less what came back"""
    verdict: Verdict
    """`runs_out` at `used_up_at`; `lasts` to the year's end with `left_at_year_end_fen`; `no_pace`: nothing was drawn lately; `used_up`; `year_over`; `no_cap`"""
    window_from: str
    """never before the pool was opened, and at least a day ago"""
    window_to: str
    drawn_fen: int
    """in the window; negative where more came back"""
    fen_per_day: int
    """rounded down"""
    used_up_at: str | None
    left_at_year_end_fen: int | None


class FoundOfferOut(TypedDict):
    """A listing; for a shape, from when it can hold it and what that costs."""

    id: str
    ref: str
    supplier: SupplierOut
    chip_model: str
    chip: ChipFactsOut
    region: str
    cards_per_node: int
    interconnect_gbps: int | None
    """null where unknown"""
    price_fen: int
    """fen per card-hour; from an instance-month's price: rounded half up"""
    list_price_fen: int
    """fen per card-hour"""
    price_unit: PriceUnit
    """how the supplier posted its price"""
    posted_fen_per_instance_month: int | None
    """as posted, where it was per instance-month (730 h)"""
    listed_fen_per_instance_month: int | None
    """as posted, where it was per instance-month (730 h)"""
    currency: NotRequired[Literal["CNY"]]
    auto_accept: bool
    state: OfferState
    version: int
    created_at: str
    observed_at: str
    """when the supplier last said that this is so"""
    earliest_start: str | None
    """the first whole hour at which the shape fits; null without one"""
    total_fen: int | None
    """price × cards × hours of the shape; null without one"""


class ImportOut(TypedDict):
    """An import; once finished it has exactly one of a result and an error."""

    id: str
    state: JobState
    files: list[str]
    skip_bad: bool
    update: bool
    dry_run: bool
    start_at: str | None
    namespace: str | None
    progress: ProgressOut
    created_at: str
    finished_at: str | None
    result: ImportResultOut | None
    error: JobErrorOut | None


class ImportSummaryOut(TypedDict):
    """An import in a list."""

    id: str
    state: JobState
    files: list[str]
    skip_bad: bool
    update: bool
    dry_run: bool
    start_at: str | None
    namespace: str | None
    progress: ProgressOut
    created_at: str
    finished_at: str | None


class InvoiceVoucherOut(TypedDict):
    """A voucher's part in an invoice."""

    voucher_id: str
    programme: str
    title: TitleOut
    kind: RedemptionKind
    amount_fen: int
    deducted: bool
    """whether it is taken off what the buyer pays: the supplier claims it"""


class KeyIn(TypedDict):
    """A key to make."""

    label: str
    roles: list[Role]
    """a part of the organisation's roles"""
    expires_at: NotRequired[str | None]
    """when it ends by itself; null for never"""
    org_id: NotRequired[str | None]
    """another organisation's, by the desk only"""


class KeyOut(TypedDict):
    """A key, without its secret."""

    id: str
    org_id: str
    label: str
    prefix: str
    """to recognise it by"""
    roles: list[Role]
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class LineOut(TypedDict):
    """A transfer as one account sees it, with that account's balances after it."""

    transfer_id: str
    seq: int
    """the order of record"""
    created_at: str
    kind: TransferKind
    side: Literal["debit", "credit"]
    other_account_id: str
    other_account: str | None
    """the other account's name; null where it is not one's own"""
    subject: str | None
    """what it is about: a voucher's id, as a plain UUID"""
    pending_fen: int
    """what it adds to what is pending; negative where it resolves"""
    posted_fen: int
    """what it posts"""
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int
    left_fen: int
    """credits posted less debits posted and pending, after this line"""
    pending_id: str | None
    """the pending transfer that this one resolves"""
    corrects_id: str | None
    """the transfer that this one corrects"""
    reason: str | None
    """why it was corrected"""


class LoserOut(TypedDict):
    """A match that the present had overtaken when it was to be reserved."""

    position: int
    """of the match"""
    request_id: str
    offer_id: str
    code: Loss
    detail: str


class MatchOut(TypedDict):
    """One block on one offer."""

    position: int
    request_id: str
    block: int
    """which of the request's blocks, from 0"""
    offer_id: str
    starts_at: str
    hours: int
    cards: int
    cost_fen: int
    subsidies: list[MatchSubsidyOut]
    subsidy_fen: int
    net_fen: int
    """cost less subsidy: what the buyer pays"""
    surplus_fen: int | None
    """the buyer's most less net; null for the supplier"""
    reservation_id: str | None
    """what holds it; null for a dry run or where it was lost"""
    lost: Loss | None
    """why it was not reserved"""
    currency: NotRequired[Literal["CNY"]]


class NeedIn(TypedDict):
    """A need that is not posted as a request; booking an option of its quote makes a request of it."""

    alternatives: list[NeedAlternativeIn]
    """any one of these will do"""
    earliest_start: str
    deadline: str
    """all is done before this moment"""
    blocks: NotRequired[int]
    site: NotRequired[SiteIn]


class NewKeyOut(TypedDict):
    """A key just made; `secret` is shown this once."""

    id: str
    org_id: str
    label: str
    prefix: str
    """to recognise it by"""
    roles: list[Role]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    secret: str


class OfferOut(TypedDict):
    """A supplier's listing."""

    id: str
    ref: str
    supplier: SupplierOut
    chip_model: str
    chip: ChipFactsOut
    region: str
    cards_per_node: int
    interconnect_gbps: int | None
    """null where unknown"""
    price_fen: int
    """fen per card-hour; from an instance-month's price: rounded half up"""
    list_price_fen: int
    """fen per card-hour"""
    price_unit: PriceUnit
    """how the supplier posted its price"""
    posted_fen_per_instance_month: int | None
    """as posted, where it was per instance-month (730 h)"""
    listed_fen_per_instance_month: int | None
    """as posted, where it was per instance-month (730 h)"""
    currency: NotRequired[Literal["CNY"]]
    auto_accept: bool
    state: OfferState
    version: int
    created_at: str
    observed_at: str
    """when the supplier last said that this is so"""


class OrganisationOut(TypedDict):
    """An organisation."""

    id: str
    name: str
    contact: str | None
    state: OrganisationState
    state_reason: str | None
    roles: list[RoleOut]
    created_at: str
    decided_at: str | None


class PageAccountOut(TypedDict):
    data: list[AccountOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class PageApplicationOut(TypedDict):
    data: list[ApplicationOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class PageClaimOut(TypedDict):
    data: list[ClaimOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class PageClassPricesOut(TypedDict):
    data: list[ClassPricesOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class PageContractOut(TypedDict):
    data: list[ContractOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class PageExportSummaryOut(TypedDict):
    data: list[ExportSummaryOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class PageFoundOfferOut(TypedDict):
    data: list[FoundOfferOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class PageImportSummaryOut(TypedDict):
    data: list[ImportSummaryOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class PageLineOut(TypedDict):
    data: list[LineOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class PageMatchOut(TypedDict):
    data: list[MatchOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class PageOrganisationOut(TypedDict):
    data: list[OrganisationOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class PageSettlementOut(TypedDict):
    data: list[SettlementOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class PageTransferOut(TypedDict):
    data: list[TransferOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class PageUnmatchedOut(TypedDict):
    data: list[UnmatchedOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class PartnerList(TypedDict):
    """The entries of partner lists."""

    data: list[PartnerOut]


class PlacementOut(TypedDict):
    """One block on one offer, `[starts_at, ends_at)`."""

    block: int
    """which of the request's blocks, from 0"""
    alternative: int
    """by which of the need's alternatives, from 0"""
    offer_id: str
    offer_ref: str
    supplier: SupplierOut
    chip_model: str
    region: str
    interconnect_gbps: int | None
    auto_accept: bool
    """the supplier accepts every booking at once"""
    starts_at: str
    ends_at: str
    cards: int
    hours: int
    price_fen: int
    """fen per card-hour"""
    cost_fen: int
    """price × cards × hours"""
    subsidies: list[QuotedSubsidyOut]
    """what vouchers take off, by programme and tier"""
    subsidy_fen: int
    """what vouchers take off in all"""
    net_fen: int
    """cost less subsidy: what the buyer pays"""


class ProgrammeDetail(TypedDict):
    """A voucher programme with its content."""

    id: str
    version: int
    title: TitleOut
    grade: Literal["seed", "official", "press", "second_hand", "example"]
    """how sure we are of its source"""
    tiers: list[str]
    sha256: str
    """of the TOML as stored"""
    stored_at: str
    years: list[YearOut]
    """the years it is open for"""
    toml: str
    """the programme as data, exactly as stored"""


class ProgrammeOut(TypedDict):
    """A voucher programme: its newest published version."""

    id: str
    version: int
    title: TitleOut
    grade: Literal["seed", "official", "press", "second_hand", "example"]
    """how sure we are of its source"""
    tiers: list[str]
    sha256: str
    """of the TOML as stored"""
    stored_at: str
    years: list[YearOut]
    """the years it is open for"""


class QuoteIn(TypedDict):
    """What to quote for: a posted request, or a need."""

    request_id: NotRequired[str | None]
    need: NotRequired[NeedIn | None]
    buyer_org_id: NotRequired[str | None]
    """for whose need, by the desk only"""
    blocks: NotRequired[int | None]
    """of a request: how many blocks; by default what it lacks to its min_blocks, and at least 1"""
    limit: NotRequired[int]
    """options at most"""


class RegisteredOut(TypedDict):
    """A fresh registration: the organisation waits for the desk, its first key works at once for reading."""

    organisation: OrganisationOut
    key: NewKeyOut


class RejectIn(TypedDict):
    """Reject an application."""

    reason: RejectReason
    detail: str
    """in the desk's own words; both sides see it"""


class RequestDetail(TypedDict):
    """A need, with remarks on it."""

    id: str
    ref: str
    buyer: BuyerOut
    submitted_at: str
    earliest_start: str
    deadline: str
    blocks: int
    min_blocks: int
    priority: int
    alternatives: list[AlternativeOut]
    site: SiteOut
    currency: NotRequired[Literal["CNY"]]
    state: RequestState
    version: int
    created_at: str
    notices: list[NoticeOut]


class RequestIn(TypedDict):
    """A need: so many identical blocks, each met by one of the alternatives, inside the window."""

    buyer_org_id: NotRequired[str | None]
    """another organisation's, by the desk only"""
    ref: NotRequired[str | None]
    """unique among the buyer's requests; by default made from its id"""
    alternatives: list[AlternativeIn]
    """any one of these will do"""
    earliest_start: str
    deadline: str
    """all is done before this moment"""
    blocks: NotRequired[int]
    min_blocks: NotRequired[int]
    """at least so many blocks or none"""
    priority: NotRequired[int | None]
    site: NotRequired[SiteIn]


class RequestOut(TypedDict):
    """A need."""

    id: str
    ref: str
    buyer: BuyerOut
    submitted_at: str
    earliest_start: str
    deadline: str
    blocks: int
    min_blocks: int
    priority: int
    alternatives: list[AlternativeOut]
    site: SiteOut
    currency: NotRequired[Literal["CNY"]]
    state: RequestState
    version: int
    created_at: str


class RequestPatch(TypedDict):
    """What to change of a request. All but the priority (the desk's) only while nothing is reserved for it."""

    alternatives: NotRequired[list[AlternativeIn]]
    """any one of these will do"""
    earliest_start: NotRequired[str]
    deadline: NotRequired[str]
    blocks: NotRequired[int]
    min_blocks: NotRequired[int]
    priority: NotRequired[int]
    """the weight; by the desk only"""
    site: NotRequired[SiteIn]
    """all site rules, instead of what they were"""


class ReservationSubsidyOut(TypedDict):
    """A voucher that takes something off what a reservation costs."""

    voucher_id: str
    programme: str
    tier: str
    amount_fen: int
    """earmarked for it"""
    issued_fen: int | None
    """what of it was issued"""
    state: VoucherState


class RevokeIn(TypedDict):
    """Revoke a voucher."""

    reason: RevokeReason
    detail: str
    """in the desk's own words; both sides see it"""


class SideOut(TypedDict):
    """One of two clearings compared. Money is unweighted but for the objective and its bound."""

    id: str
    status: Status
    objective: str
    """the first objective"""
    unit: str
    objective_fen: int
    bound_fen: int
    gap: float
    matches: int
    """blocks matched"""
    requests_matched: int
    card_hours: int
    cost_fen: int
    subsidy_fen: int
    net_fen: int
    surplus_fen: int


class SimulationOut(TypedDict):
    """What a programme would have given the contracts on record, and the open requests each by itself."""

    programme: str
    version: int
    years: list[SimulatedYearOut]
    requests: TallyOut
    """at the most that each buyer pays, with a partner"""


class TierOut(TypedDict):
    """What one tier gives."""

    tier: str
    rate_ppm: int
    amount_fen: int
    unmet: list[str]
    """the clauses that are missed; empty where it is open"""
    clauses: list[AppVouchersExplainingClauseOut]
    arithmetic: list[AppVouchersExplainingStepOut]


class TotalsOut(TypedDict):
    """Voucher money by group and in all."""

    as_of: str
    currency: NotRequired[Literal["CNY"]]
    by: list[Group]
    rows: list[TotalsRow]
    total: TotalsRow


class VersionDetail(TypedDict):
    """A version of a programme with its content."""

    programme: str
    version: int
    state: VersionState
    title: TitleOut
    grade: Literal["seed", "official", "press", "second_hand", "example"]
    tiers: list[str]
    sha256: str
    """of the TOML as stored"""
    stored_at: str
    toml: str
    """the programme as data, exactly as stored"""


class VersionOut(TypedDict):
    """A version of a programme."""

    programme: str
    version: int
    state: VersionState
    title: TitleOut
    grade: Literal["seed", "official", "press", "second_hand", "example"]
    tiers: list[str]
    sha256: str
    """of the TOML as stored"""
    stored_at: str


class VoucherDetail(TypedDict):
    """A voucher with what became of its money and its life so far."""

    id: str
    kind: VoucherKind
    """`bonus`: given for a good outcome, for a later contract"""
    reservation_id: str | None
    """null for a bonus that is not used yet"""
    buyer_org_id: str
    programme: str
    programme_version: int
    tier: str
    year: int
    amount_fen: int
    """earmarked"""
    issued_fen: int | None
    """what of it was issued"""
    rate_ppm: int | None
    """of each settlement, in parts per million"""
    currency: NotRequired[Literal["CNY"]]
    state: VoucherState
    reason_code: str | None
    """why it expired or was revoked, else null"""
    reason_detail: str | None
    created_at: str
    issued_at: str | None
    expires_at: str | None
    """until when it can be redeemed; null: no end"""
    version: int
    """what the ETag is made of"""
    redeemed_fen: int
    """less what was given back"""
    left_fen: int
    """what can still be redeemed; 0 before it is issued and once it has ended"""
    history: list[VoucherStepOut]


class VoucherOut(TypedDict):
    """A voucher: an amount for a buyer's reservation under one tier of a programme."""

    id: str
    kind: VoucherKind
    """`bonus`: given for a good outcome, for a later contract"""
    reservation_id: str | None
    """null for a bonus that is not used yet"""
    buyer_org_id: str
    programme: str
    programme_version: int
    tier: str
    year: int
    amount_fen: int
    """earmarked"""
    issued_fen: int | None
    """what of it was issued"""
    rate_ppm: int | None
    """of each settlement, in parts per million"""
    currency: NotRequired[Literal["CNY"]]
    state: VoucherState
    reason_code: str | None
    """why it expired or was revoked, else null"""
    reason_detail: str | None
    created_at: str
    issued_at: str | None
    expires_at: str | None
    """until when it can be redeemed; null: no end"""
    version: int
    """what the ETag is made of"""


class ApplicationList(TypedDict):
    """Applications that were made together."""

    data: list[ApplicationOut]


class BurnDownOut(TypedDict):
    """A programme's pool of a year, day by day, and when it is used up."""

    programme: str
    title: TitleOut
    version: int
    """of the programme, that the year is open under"""
    year: int
    time_zone: str
    as_of: str
    currency: NotRequired[Literal["CNY"]]
    pool_fen: int | None
    """null where the pool has no cap"""
    issued_fen: int
    earmarked_fen: int
    left_fen: int | None
    redeemed_fen: int
    days: list[BurnDownDay]
    """every day since the pool was opened, the last one up to `as_of`"""
    forecast: ForecastOut


class ClaimDetail(TypedDict):
    """A claim with its lines and proofs; of an approved one the amounts are those of a payment now."""

    id: str
    state: ClaimState
    programme: str
    programme_version: int
    claimant_org_id: str
    period: str
    period_start: str
    period_end: str
    amount_fen: int
    """the sum of its lines"""
    approved_fen: int | None
    """the sum of the approved lines; null before the decision"""
    netted_fen: int | None
    """taken off at payment for advances of the reserve fund"""
    recovered_fen: int | None
    """taken off at payment for vouchers revoked after they were paid"""
    cash_fen: int | None
    """what is left to pay: approved less netted less recovered"""
    currency: NotRequired[Literal["CNY"]]
    decided_at: str | None
    paid_at: str | None
    payment_reference: str | None
    signals: list[SignalOut] | None
    """signs of abuse, for the desk and auditors; null for others"""
    version: int
    """what the ETag is made of"""
    created_at: str
    lines: list[ClaimLineOut]
    proofs: list[ProofOut]


class ClearingResultOut(TypedDict):
    """What a run decided."""

    status: Status
    objective_fen: int
    """of the first objective; weighted card-hours for coverage and thrift"""
    bound_fen: int
    """certified: anyone can recompute it from the certificate"""
    gap: float
    matches: int
    """blocks matched"""
    reserved: int
    """blocks held; 0 for a dry run"""
    losers: list[LoserOut]


class ComparisonOut(TypedDict):
    """Two clearings: what the choice between them means, and to whom. Each list begins with the largest differences."""

    this: SideOut
    other: SideOut
    same_instance: bool
    """both cleared the same market"""
    config: list[ConfigDifferenceOut]
    market: MarketDifferencesOut
    totals: ComparisonTotalsOut
    requests: list[RequestDifferenceOut]
    buyers: list[PartyDifferenceOut]
    suppliers: list[PartyDifferenceOut]
    budgets: list[BudgetDifferenceOut]
    only_in_this: list[str]
    """of the requests listed, those matched in this one alone"""
    only_in_other: list[str]
    """of the requests listed, those matched in the other alone"""


class DecisionOut(TypedDict):
    """What a programme gives for a contract: the tier chosen, and what each would give."""

    programme: str
    version: int
    year: int
    tier: str
    """the best: the largest amount, then the fewest clauses missed"""
    amount_fen: int
    desk_checks: list[str]
    """what the facts can't tell: with any, the desk decides"""
    tiers: list[TierOut]


class EvaluatedOut(TypedDict):
    """An evaluation, and the bonus vouchers that it earned."""

    score: int
    remarks: str
    created_at: str
    bonuses: list[VoucherOut]


class InvoiceOut(TypedDict):
    """A settlement as an invoice: what the buyer pays the supplier, and how it came about."""

    number: int
    """the settlement's, by supplier, without gaps"""
    settlement_id: str
    contract_id: str
    kind: SettlementKind
    issued_at: str
    supplier: PartyOut
    buyer: PartyOut
    chip_model: str
    region: str
    period_start: str
    period_end: str
    price_fen: int
    """fen per card-hour"""
    card_seconds: int
    """of this line"""
    card_seconds_total: int
    """in all, this line included"""
    billed_before_fen: int
    amount_fen: int
    vouchers: list[InvoiceVoucherOut]
    payable_fen: int
    """below 0 what the supplier pays back"""
    payable_in_words: str
    """in Chinese capital characters"""
    currency: NotRequired[Literal["CNY"]]
    arithmetic: list[str]
    """how the amount came about, in Chinese and English"""
    payment_state: PaymentState
    paid_at: str | None


class KeyList(TypedDict):
    """An organisation's keys, newest first."""

    data: list[KeyOut]


class MeOut(TypedDict):
    """Who the key belongs to."""

    organisation: OrganisationOut
    roles: list[Role]
    """what this key may act as"""


class OptionOut(TypedDict):
    """A way to place all blocks asked for; booked as a whole."""

    option: int
    """its number, from 1"""
    placements: list[PlacementOut]
    net_fen: int
    """what the buyer pays for all of them"""


class PageRequestOut(TypedDict):
    data: list[RequestOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class PageVoucherOut(TypedDict):
    data: list[VoucherOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class ProgrammeList(TypedDict):
    """The programmes, by id."""

    data: list[ProgrammeOut]


class QuoteOut(TypedDict):
    """The best options now: least net cost first, then earliest start, then lowest offer id."""

    id: str
    buyer_org_id: str
    request_id: str | None
    """null for a need"""
    blocks: int
    """how many blocks each option places"""
    options: list[OptionOut]
    reason: AppMatchingSchemasReasonOut | None
    """why there is no option; null where there is one"""
    currency: NotRequired[Literal["CNY"]]
    created_at: str
    expires_at: str
    """until when an option can be booked, as long as it is free"""


class ReservationOut(TypedDict):
    """Capacity held for one block of a request on one offer, `[starts_at, ends_at)`."""

    id: str
    state: ReservationState
    request_id: str
    block: int
    """which of the request's blocks, from 0"""
    offer_id: str
    offer_ref: str
    chip_model: str
    region: str
    buyer_org_id: str
    supplier_org_id: str
    cards: int
    starts_at: str
    ends_at: str
    hours: int
    """whole hours from start to end"""
    price_fen: int
    """fen per card-hour"""
    cost_fen: int
    """price × cards × hours"""
    subsidies: list[ReservationSubsidyOut]
    """its vouchers, by programme; both sides see them"""
    subsidy_fen: int
    """what vouchers take off; at most the cost"""
    net_fen: int
    """what the buyer pays"""
    currency: NotRequired[Literal["CNY"]]
    hold_ends_at: str | None
    """until when both sides must have accepted; null once confirmed"""
    buyer_accepted_at: str | None
    supplier_accepted_at: str | None
    reason_code: str | None
    """why it was cancelled or expired, else null"""
    reason_detail: str | None
    version: int
    """what the ETag is made of"""
    created_at: str
    updated_at: str


class VersionList(TypedDict):
    """A programme's versions, the newest first."""

    data: list[VersionOut]


class ChoiceOut(TypedDict):
    """Programmes taken together, or one alone."""

    programmes: list[str]
    amount_fen: int
    decisions: list[DecisionOut]


class ClearingOut(TypedDict):
    """A clearing. Buyers and suppliers see that it was, and their rows; the rest is for the desk and auditors."""

    id: str
    mode: ClearingMode
    state: ClearingState
    requested_by: str | None
    options: dict[str, Any] | None
    """what was asked for"""
    attempt: int | None
    progress: ClearingProgressOut | None
    result: ClearingResultOut | None
    error: ClearingErrorOut | None
    created_at: str
    started_at: str | None
    finished_at: str | None


class ExplanationOut(TypedDict):
    """The choices of a buyer for a contract, the best first."""

    choices: list[ChoiceOut]


class PageClearingOut(TypedDict):
    data: list[ClearingOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class PageReservationOut(TypedDict):
    data: list[ReservationOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class ReservationList(TypedDict):
    """Reservations that were made together."""

    data: list[ReservationOut]
