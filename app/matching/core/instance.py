"""The market to clear, as one frozen value: offers, requests, budgets and subsidy options.

Symbols as in the design: offers `o` with posted price `p_o` and capacity `K_o(t)`; requests `q` with weight `w_q`,
`blocks B_q`, `min_blocks M_q` and window `[e, d)`; alternatives `a` with `n` cards, `h` whole hours and the most that
the buyer pays net for a block; budgets `j` with `R_j` fen left; subsidy options `u` with components `c`.

Hours are indices: whole hours since 1970-01-01T00:00Z. Money is integer fen. Everything is sorted by its ref, so that
the order of input rows never matters, and `sha256` is that of the canonical JSON.
"""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import pairwise

from app.kit.money import PPM, floor_rate
from app.matching.core import limits
from app.matching.core.limits import InstanceError, within


@dataclass(frozen=True, slots=True)
class Chip:
    """A chip model; `None` is unknown. Memory in thousandths of a GB, speed in thousandths of a TFLOPS."""

    name: str
    chip_class: str | None = None
    domestic: bool | None = None
    memory_milli_gb: int | None = None
    fp16_milli_tflops: int | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """A supplier's listing. `steps` are (hour, cards from then on); the last has 0 cards.

    `subsidy_class` joins the offer to the options of a buyer: suppliers with the same standing share one.
    """

    ref: str
    supplier: str
    region: str
    chip: str
    cards_per_node: int
    interconnect_gbps: int | None
    price_fen: int
    list_price_fen: int
    subsidy_class: str
    steps: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to meet a block. `max_net_fen` is per block; `value_fen` is what counts in the objective.

    `value_fen` equals `max_net_fen` offline; online it is at most the dearest acceptable list price.
    """

    chips: str
    cards: int
    hours: int
    max_net_fen: int
    value_fen: int
    min_memory_milli_gb: int | None = None
    min_fp16_milli_tflops: int | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """Where a request may go; empty and `None` mean that it doesn't mind."""

    regions: tuple[str, ...] = ()
    suppliers_allowed: tuple[str, ...] = ()
    suppliers_refused: tuple[str, ...] = ()
    min_interconnect_gbps: int | None = None
    min_cards_per_node: int | None = None
    domestic: bool | None = None


ANYWHERE = Site()


@dataclass(frozen=True, slots=True)
class Request:
    """A buyer's need: `blocks` identical blocks of which at least `min_blocks` or none are matched.

    `standing` names the options that it may take where a buyer's requests differ in them; empty: those of its buyer.
    """

    ref: str
    buyer: str
    submitted_at: datetime
    weight: int
    blocks: int
    min_blocks: int
    earliest_hour: int
    deadline_hour: int
    alternatives: tuple[Alternative, ...]
    site: Site = ANYWHERE
    standing: str = ""

    @property
    def party(self) -> str:
        """Whose options it may take: `Option.buyer` of them."""
        return self.standing or self.buyer


@dataclass(frozen=True, slots=True)
class Budget:
    """What is left of a cap, in fen: `PROGRAMME/pool/YEAR`, `PROGRAMME/buyer/BUYER/YEAR` or another name."""

    name: str
    limit_fen: int


@dataclass(frozen=True, slots=True)
class Component:
    """One programme tier in an option. `min_fen` and `cap_fen` are per contract; `None` is no cap.

    `fixed`: exactly the rate unless one of the budgets is exhausted; otherwise any amount up to it.
    It is for contracts that cost `from_fen` to `to_fen` (`None`: any more).
    """

    programme: str
    tier: str
    rate_ppm: int
    min_fen: int
    cap_fen: int | None
    fixed: bool
    budgets: tuple[str, ...]
    from_fen: int = 0
    to_fen: int | None = None

    def full_fen(self, cost_fen: int) -> int:
        """Return the most that it gives for a contract where no budget is short; below 0 where it is not for it."""
        if cost_fen < self.from_fen or (self.to_fen is not None and cost_fen > self.to_fen):
            return -1
        full = floor_rate(self.rate_ppm, cost_fen)
        return full if self.cap_fen is None else min(full, self.cap_fen)


@dataclass(frozen=True, slots=True)
class Option:
    """A subsidy that a buyer may take on offers of a subsidy class; no subsidy at all is always an option too.

    `buyer` is a buyer's ref, or the standing of some of its requests.
    """

    buyer: str
    subsidy_class: str
    ceiling_ppm: int | None
    components: tuple[Component, ...]

    def ceiling_fen(self, cost_fen: int) -> int:
        """Return the most that all components together may give on a contract; never more than it costs."""
        return cost_fen if self.ceiling_ppm is None else floor_rate(self.ceiling_ppm, cost_fen)


@dataclass(frozen=True)
class Instance:
    """All that a clearing decides on. Sorts itself and refuses what is inconsistent or over a limit.

    Raises:
        InstanceError: naming the place, a code and what is wrong.
    """

    chips: tuple[Chip, ...]
    offers: tuple[Offer, ...]
    requests: tuple[Request, ...]
    budgets: tuple[Budget, ...] = ()
    options: tuple[Option, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "chips", tuple(sorted(self.chips, key=lambda chip: chip.name)))
        object.__setattr__(self, "offers", tuple(sorted(self.offers, key=lambda offer: offer.ref)))
        object.__setattr__(self, "requests", tuple(sorted(self.requests, key=lambda request: request.ref)))
        object.__setattr__(self, "budgets", tuple(sorted(self.budgets, key=lambda budget: budget.name)))
        object.__setattr__(self, "options", tuple(sorted(self.options, key=_option_key)))
        _check_counts(self)
        _check_unique("chips", [chip.name for chip in self.chips])
        _check_unique("offers", [offer.ref for offer in self.offers])
        _check_unique("requests", [request.ref for request in self.requests])
        _check_unique("budgets", [budget.name for budget in self.budgets])
        chips = {chip.name for chip in self.chips}
        for offer in self.offers:
            _check_offer(offer, chips)
        for request in self.requests:
            _check_request(request)
        budgets = {budget.name for budget in self.budgets}
        for budget in self.budgets:
            within(f"budgets/{budget.name}", "limit_fen", budget.limit_fen, 0, limits.MAX_BUDGET_FEN)
        for option in self.options:
            _check_option(option, budgets)

    @cached_property
    def request_index(self) -> dict[str, int]:
        """The position of each request by its ref."""
        return {request.ref: index for index, request in enumerate(self.requests)}

    @cached_property
    def offer_index(self) -> dict[str, int]:
        """The position of each offer by its ref."""
        return {offer.ref: index for index, offer in enumerate(self.offers)}

    @cached_property
    def budget_index(self) -> dict[str, int]:
        """The position of each budget by its name."""
        return {budget.name: index for index, budget in enumerate(self.budgets)}

    @cached_property
    def requested_card_hours(self) -> int:
        """Card-hours asked for by all blocks, counted by each request's first alternative."""
        return sum(
            request.blocks * request.alternatives[0].cards * request.alternatives[0].hours for request in self.requests
        )


def _option_key(option: Option) -> tuple[str, str, tuple[tuple[str, str, int], ...]]:
    names = tuple((component.programme, component.tier, component.from_fen) for component in option.components)
    return option.buyer, option.subsidy_class, names


def _check_counts(instance: Instance) -> None:
    for name, count, most in (
        ("chips", len(instance.chips), limits.MAX_CHIPS),
        ("offers", len(instance.offers), limits.MAX_OFFERS),
        ("requests", len(instance.requests), limits.MAX_REQUESTS),
        ("budgets", len(instance.budgets), limits.MAX_BUDGETS),
        ("options", len(instance.options), limits.MAX_OPTIONS),
        ("total_blocks", sum(request.blocks for request in instance.requests), limits.MAX_TOTAL_BLOCKS),
    ):
        within("instance", name, count, 0, most)


def _check_unique(path: str, names: list[str]) -> None:
    for name in names:
        if not 0 < len(name) <= limits.MAX_REF_LENGTH:
            raise InstanceError(path, "bad_ref", f"{name[:50]!r} is not a ref of 1 to {limits.MAX_REF_LENGTH} letters")
    for before, after in pairwise(names):
        if before == after:
            raise InstanceError(f"{path}/{after}", "duplicate_ref", f"{after!r} stands twice")


def _check_offer(offer: Offer, chips: set[str]) -> None:
    path = f"offers/{offer.ref}"
    if offer.chip not in chips:
        raise InstanceError(path, "unknown_chip", f"chip model {offer.chip!r} is not among the chips")
    within(path, "price_fen", offer.price_fen, 0, limits.MAX_PRICE_FEN)
    within(path, "list_price_fen", offer.list_price_fen, 0, limits.MAX_PRICE_FEN)
    within(path, "cards_per_node", offer.cards_per_node, 1, limits.MAX_CARDS)
    within(path, "steps", len(offer.steps), 1, limits.MAX_STEPS)
    for hour, cards in offer.steps:
        within(path, "hour", hour, limits.MIN_HOUR, limits.MAX_HOUR)
        within(path, "cards", cards, 0, limits.MAX_CARDS)
    if any(before[0] >= after[0] for before, after in pairwise(offer.steps)):
        raise InstanceError(path, "steps_not_ascending", "capacity steps are not in ascending order of time")
    if offer.steps[-1][1] != 0:
        raise InstanceError(path, "steps_open_ended", "the last capacity step must have 0 cards")


def _check_request(request: Request) -> None:
    path = f"requests/{request.ref}"
    if request.submitted_at.tzinfo is None:
        raise InstanceError(path, "naive_time", "submitted_at has no offset")
    within(path, "weight", request.weight, 1, limits.MAX_WEIGHT)
    within(path, "blocks", request.blocks, 1, limits.MAX_BLOCKS)
    within(path, "min_blocks", request.min_blocks, 1, request.blocks)
    within(path, "earliest_hour", request.earliest_hour, limits.MIN_HOUR, limits.MAX_HOUR)
    within(path, "deadline_hour", request.deadline_hour, limits.MIN_HOUR, limits.MAX_HOUR)
    within(path, "alternatives", len(request.alternatives), 1, limits.MAX_ALTERNATIVES)
    for position, alternative in enumerate(request.alternatives):
        _check_alternative(f"{path}/alternatives/{position}", request, alternative)


def _check_alternative(path: str, request: Request, alternative: Alternative) -> None:
    within(path, "cards", alternative.cards, 1, limits.MAX_CARDS)
    within(path, "hours", alternative.hours, 1, limits.MAX_BLOCK_HOURS)
    within(path, "max_net_fen", alternative.max_net_fen, 0, limits.MAX_BLOCK_FEN)
    within(path, "value_fen", alternative.value_fen, 0, alternative.max_net_fen)
    within(path, "weighted_value_fen", request.weight * alternative.max_net_fen, 0, limits.MAX_WEIGHTED_FEN)
    if any(not term.strip() for term in alternative.chips.split("|")):
        raise InstanceError(path, "bad_chips", f"{alternative.chips!r} is not a chip selector")


def _check_option(option: Option, budgets: set[str]) -> None:
    path = f"options/{option.buyer}/{option.subsidy_class}"
    within(path, "components", len(option.components), 1, limits.MAX_COMPONENTS)
    if option.ceiling_ppm is not None:
        within(path, "ceiling_ppm", option.ceiling_ppm, 0, PPM)
    named: set[str] = set()
    for component in option.components:
        within(path, "rate_ppm", component.rate_ppm, 0, PPM)
        within(path, "min_fen", component.min_fen, 0, limits.MAX_BLOCK_FEN)
        if component.cap_fen is not None:
            within(path, "cap_fen", component.cap_fen, 0, limits.MAX_BLOCK_FEN)
        within(path, "from_fen", component.from_fen, 0, limits.MAX_BUDGET_FEN)
        if component.to_fen is not None:
            within(path, "to_fen", component.to_fen, component.from_fen, limits.MAX_BUDGET_FEN)
        for budget in component.budgets:
            if budget not in budgets:
                raise InstanceError(path, "unknown_budget", f"budget {budget!r} is not among the budgets")
            if budget in named:
                raise InstanceError(path, "budget_twice", f"two components of one option draw on {budget!r}")
            named.add(budget)
