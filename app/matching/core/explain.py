"""Why a request is not fully matched, and the smallest changes that would let it fit what is left.

The reason is the first that holds, in the order of `Reason`. Each change is proved: the request alone is checked again
against the capacity, budgets and shares that the outcome leaves. A later deadline is sought as far as the offers'
hours are kept (`columns.LOOK_AHEAD_HOURS` after the last deadline of the market); `packing` says how several blocks
are placed. No solver here.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from app.kit.time import format_rfc3339, from_hour_index
from app.matching.core import probe
from app.matching.core.acceptance import CLASS, meets_minimum
from app.matching.core.columns import Columns
from app.matching.core.config import Objective
from app.matching.core.instance import Alternative, Request, Site
from app.matching.core.outcome import Change, Match, Unmatched
from app.matching.core.packing import Asks, Wider
from app.matching.core.residual import world_of

I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
# A class of models that have nothing in common: such a model is proposed by its name.
UNCLASSIFIED: Final = "unclassified"
# The kinds of change in the order in which they are told, by `probe`'s numbers.
KINDS: Final = ("price", "deadline", "cards", "chips", "region")
# Requests are explained in batches, so that the tables of a batch (bytes) stay small however many there are.
BATCH_REQUESTS: Final = 16_384
BATCH_BYTES: Final = 64_000_000


class Reason(StrEnum):
    """Reason codes in the order in which they are tried."""

    NO_CHIP = "no_chip"
    NO_SITE = "no_site"
    TOO_LARGE = "too_large_for_any_offer"
    NO_WINDOW = "no_window"
    OVER_BUDGET = "over_budget"
    SUBSIDY_EXHAUSTED = "subsidy_exhausted"
    MIN_BLOCKS = "min_blocks"
    FRAGMENTED = "fragmented"
    FORBIDDEN = "forbidden"
    SHARE_LIMIT = "share_limit"
    NO_GAIN = "no_gain"
    OUTBID = "outbid"


DETAIL = {
    Reason.NO_CHIP: "No offer has a chip that the request accepts.",
    Reason.NO_SITE: "Offers with an accepted chip fail the request's regions, suppliers, network or node size.",
    Reason.TOO_LARGE: "No acceptable offer has as many cards at any hour.",
    Reason.NO_WINDOW: "No acceptable offer has the cards for the hours inside the window, even on an empty market.",
    Reason.OVER_BUDGET: "The most that the buyer pays is below the price of every offer, even with full subsidy.",
    Reason.SUBSIDY_EXHAUSTED: "What is left of the subsidy budgets brings no offer down to what the buyer pays.",
    Reason.MIN_BLOCKS: "Some blocks would fit, but fewer than the request's minimum.",
    Reason.FRAGMENTED: "Enough card-hours are free inside the window, but no offer has the cards free together.",
    Reason.FORBIDDEN: "The pairs that would fit were forbidden by the desk.",
    Reason.SHARE_LIMIT: "A share limit of the buyer or the supplier leaves no room for a block.",
    Reason.NO_GAIN: "A match would cost more public money than it brings the buyer.",
    Reason.OUTBID: "The acceptable capacity went to other requests.",
}


class Explainer:
    """Explains requests in batches against what an outcome leaves."""

    def __init__(self, columns: Columns, matches: Sequence[Match]) -> None:
        self.columns = columns
        self.instance = columns.instance
        self.world = world_of(columns, matches)
        self.placed = Counter(match.request for match in matches)
        supply = columns.supply
        self.horizon = int((supply.first_hour + np.diff(supply.row_ptr)).max(initial=0))
        asked = columns.asked
        self.first_row = np.searchsorted(asked.request, np.arange(len(self.instance.requests) + 1)).astype(np.int64)
        # Under κ a block has to gain as well as to be paid for.
        own_gain = columns.config.objective is Objective.SURPLUS and columns.config.kappa_ppm > 0
        self.worth = asked.value if own_gain else asked.max_net
        self._number_offers()

    def _number_offers(self) -> None:
        """Number the models, chip terms and regions that are on offer."""
        instance = self.instance
        chips = {chip.name: chip for chip in instance.chips}
        offered = sorted({offer.chip for offer in instance.offers})
        self.models = [chips[name] for name in offered]
        term_of = {
            chip.name: chip.name if chip.chip_class in {None, UNCLASSIFIED} else f"{CLASS}{chip.chip_class}"
            for chip in self.models
        }
        self.terms = sorted(set(term_of.values()))
        self.regions = sorted({offer.region for offer in instance.offers})
        model_at = {name: index for index, name in enumerate(offered)}
        term_at = {name: index for index, name in enumerate(self.terms)}
        region_at = {name: index for index, name in enumerate(self.regions)}
        self.model = np.array([model_at[offer.chip] for offer in instance.offers], dtype=np.int64)
        self.term = np.array([term_at[term_of[offer.chip]] for offer in instance.offers], dtype=np.int64)
        self.region = np.array([region_at[offer.region] for offer in instance.offers], dtype=np.int64)
        self.by_price = np.argsort(self.columns.supply.price, kind="stable").astype(np.int32)

    def missing(self, request: Request) -> int:
        """Return how many blocks of a request are not matched."""
        return request.blocks - self.placed[request.ref]

    def explain(self, indices: Sequence[int]) -> Iterator[Unmatched]:
        """Yield the reason and the smallest changes of each of these requests."""
        batch: list[int] = []
        tables = _Tables(self)
        for index in indices:
            batch.append(index)
            tables.add(index)
            if len(batch) == BATCH_REQUESTS or tables.bytes > BATCH_BYTES:
                yield from self._answer(batch, tables)
                batch, tables = [], _Tables(self)
        yield from self._answer(batch, tables)

    def _answer(self, batch: Sequence[int], tables: "_Tables") -> Iterator[Unmatched]:
        reasons = np.zeros(len(batch), dtype=np.int8)
        changes = np.full((len(batch), len(KINDS), 5), probe.NONE, dtype=np.int64)
        asks = self._asks(batch, tables)
        probe.answer(
            self.world,
            asks,
            tables.wider(),
            self.horizon,
            max(len(self.terms), len(self.regions)),
            reasons,
            changes,
            np.zeros(int((asks.deadline - asks.low).max(initial=0)) + 1, dtype=np.int64),
        )
        # Rows of the batch become positions in the request's list.
        changes[:, :, probe.AT_ROW] -= asks.row_ptr[:-1, np.newaxis]
        codes = list(Reason)
        for index, number, found in zip(batch, reasons.tolist(), changes.tolist(), strict=True):
            request, reason = self.instance.requests[index], codes[number]
            told = tuple(
                self._change(request, kind, row)
                for kind, row in zip(KINDS, found, strict=True)
                if row[probe.AT_OFFER] != probe.NONE
            )
            yield Unmatched(request.ref, self.missing(request), reason.value, DETAIL[reason], told)

    def _asks(self, batch: Sequence[int], tables: "_Tables") -> Asks:
        asked, demand = self.columns.asked, self.columns.demand
        requests = np.array(batch, dtype=np.int64)
        counts = self.first_row[requests + 1] - self.first_row[requests]
        row_ptr = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(counts)))
        rows = np.repeat(self.first_row[requests] - row_ptr[:-1], counts) + np.arange(int(row_ptr[-1]), dtype=np.int64)
        items = [self.instance.requests[index] for index in batch]
        return Asks(
            request=requests,
            buyer=asked.buyer[self.first_row[requests]].astype(np.int64),
            low=demand.earliest[requests].astype(np.int64),
            deadline=demand.deadline[requests].astype(np.int64),
            wanted=np.array([1 if self.placed[item.ref] else item.min_blocks for item in items], dtype=np.int64),
            regional=np.array([bool(item.site.regions) for item in items], dtype=np.bool_),
            row_ptr=row_ptr,
            site=np.array(tables.sites, dtype=np.int64),
            cards=asked.cards[rows].astype(np.int64),
            hours=asked.hours[rows].astype(np.int64),
            max_net=asked.max_net[rows],
            worth=self.worth[rows],
            group=asked.group[rows].astype(np.int64),
            chips=np.array(tables.chips, dtype=np.int64),
            group_ptr=asked.group_ptr,
            accepted=asked.accepted,
        )

    def _change(self, request: Request, kind: str, row: list[int]) -> Change:
        _, to, offer, start, position = row
        alternative = request.alternatives[position]
        before: str | int
        after: str | int
        if kind == "price":
            before, after = alternative.max_net_fen // (alternative.cards * alternative.hours), to
        elif kind == "deadline":
            hours = (request.deadline_hour, to + self.columns.base_hour)
            before, after = (format_rfc3339(from_hour_index(hour)) for hour in hours)
        elif kind == "cards":
            before, after = alternative.cards, to
        elif kind == "chips":
            before, after = alternative.chips, self.terms[to]
        else:
            before, after = "|".join(request.site.regions), self.regions[to]
        return Change(kind, before, after, self.instance.offers[offer].ref, start + self.columns.base_hour)


class _Tables:
    """What the chip selectors and sites of a batch accept, each worked out once."""

    def __init__(self, explainer: Explainer) -> None:
        self.explainer = explainer
        self.chips: list[int] = []
        self.sites: list[int] = []
        self._chip_rows: dict[tuple[str, int | None, int | None], tuple[int, Mask, Mask]] = {}
        self._site_rows: dict[Site, tuple[int, Mask, Mask]] = {}

    @property
    def bytes(self) -> int:
        """The size of the tables."""
        explainer = self.explainer
        return 2 * (
            len(self._chip_rows) * len(explainer.models) + len(self._site_rows) * len(explainer.instance.offers)
        )

    def add(self, index: int) -> None:
        """Add a request's alternatives and site."""
        request = self.explainer.instance.requests[index]
        self.sites.append(self._site_row(request.site))
        self.chips.extend(self._chip_row(alternative) for alternative in request.alternatives)

    def _chip_row(self, alternative: Alternative) -> int:
        key = (alternative.chips, alternative.min_memory_milli_gb, alternative.min_fp16_milli_tflops)
        if key not in self._chip_rows:
            models = self.explainer.models
            takes = np.zeros(len(models), dtype=np.bool_)
            takes[self.explainer.model[self.explainer.columns.acceptance.by_chip(alternative)]] = True
            meets = np.ones(len(models), dtype=np.bool_)
            if key[1:] != (None, None):
                meets[:] = [meets_minimum(alternative, chip) for chip in models]
            self._chip_rows[key] = (len(self._chip_rows), takes, meets)
        return self._chip_rows[key][0]

    def _site_row(self, site: Site) -> int:
        if site not in self._site_rows:
            acceptance = self.explainer.columns.acceptance
            inside = acceptance.by_site(site)
            anywhere = acceptance.by_site(replace(site, regions=())) if site.regions else inside
            self._site_rows[site] = (len(self._site_rows), inside, anywhere)
        return self._site_rows[site][0]

    def wider(self) -> Wider:
        """Return the tables as arrays."""
        explainer = self.explainer
        chips, sites = list(self._chip_rows.values()), list(self._site_rows.values())
        return Wider(
            takes=_stack([takes for _, takes, _ in chips], len(explainer.models)),
            meets=_stack([meets for _, _, meets in chips], len(explainer.models)),
            inside=_stack([inside for _, inside, _ in sites], len(explainer.instance.offers)),
            anywhere=_stack([anywhere for _, _, anywhere in sites], len(explainer.instance.offers)),
            model=explainer.model,
            chip_term=explainer.term,
            region=explainer.region,
            by_price=explainer.by_price,
        )


def _stack(rows: list[Mask], width: int) -> Mask:
    return np.array(rows, dtype=np.bool_).reshape(len(rows), width)


def explain(columns: Columns, matches: Sequence[Match]) -> tuple[Unmatched, ...]:
    """Return the reason and the smallest changes for every request that isn't fully matched, by ref."""
    explainer = Explainer(columns, matches)
    indices = [index for index, request in enumerate(columns.instance.requests) if explainer.missing(request) > 0]
    return tuple(explainer.explain(indices))
