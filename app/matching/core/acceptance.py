"""Which offers a request accepts by chip and by site; no capacity and no price here."""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from app.matching.core.instance import Alternative, Chip, Instance, Request, Site

I32 = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

ANY = "any"
DOMESTIC = "domestic"
CLASS = "class:"


def accepts_chip(selector: str, chip: Chip) -> bool:
    """Whether a selector (`any`, `domestic`, `class:NAME`, a model, or several joined by `|`) takes a chip."""
    return any(_term_accepts(term.strip(), chip) for term in selector.split("|"))


def _term_accepts(term: str, chip: Chip) -> bool:
    if term == ANY:
        return True
    if term == DOMESTIC:
        return chip.domestic is True
    if term.startswith(CLASS):
        return chip.chip_class is not None and chip.chip_class == term.removeprefix(CLASS)
    return chip.name == term


def meets_minimum(alternative: Alternative, chip: Chip) -> bool:
    """Whether a chip has the least memory and speed asked for; an unknown value never does."""
    for least, has in (
        (alternative.min_memory_milli_gb, chip.memory_milli_gb),
        (alternative.min_fp16_milli_tflops, chip.fp16_milli_tflops),
    ):
        if least is not None and (has is None or has < least):
            return False
    return True


class Acceptance:
    """The offers that each selector and each set of site rules accepts, worked out once per distinct rule."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._chips = {chip.name: chip for chip in instance.chips}
        self._chip_cache: dict[tuple[str, int | None, int | None], I32] = {}
        self._site_cache: dict[Site, Mask] = {}
        self._both_cache: dict[tuple[str, int | None, int | None, Site], I32] = {}

    @cached_property
    def _offers_by_chip(self) -> dict[str, list[int]]:
        by_chip: dict[str, list[int]] = {}
        for index, offer in enumerate(self._instance.offers):
            by_chip.setdefault(offer.chip, []).append(index)
        return by_chip

    @cached_property
    def _models_by_term(self) -> dict[str, list[str]]:
        """Models on offer by the term that selects them, so that a selector needn't look at every chip."""
        terms: dict[str, list[str]] = {}
        for name in self._offers_by_chip:
            chip = self._chips[name]
            terms.setdefault(ANY, []).append(name)
            terms.setdefault(name, []).append(name)
            if chip.domestic:
                terms.setdefault(DOMESTIC, []).append(name)
            if chip.chip_class is not None:
                terms.setdefault(CLASS + chip.chip_class, []).append(name)
        return terms

    def by_chip(self, alternative: Alternative) -> I32:
        """Return the offers (positions, ascending) whose chip an alternative accepts."""
        key = (alternative.chips, alternative.min_memory_milli_gb, alternative.min_fp16_milli_tflops)
        if key not in self._chip_cache:
            models = {
                name
                for term in alternative.chips.split("|")
                for name in self._models_by_term.get(term.strip(), [])
                if meets_minimum(alternative, self._chips[name])
            }
            found = sorted(index for name in models for index in self._offers_by_chip[name])
            self._chip_cache[key] = np.array(found, dtype=np.int32)
        return self._chip_cache[key]

    def by_site(self, site: Site) -> Mask:
        """Return which offers the site rules let through."""
        if site not in self._site_cache:
            chips = self._chips
            self._site_cache[site] = np.array(
                [
                    (not site.regions or offer.region in site.regions)
                    and (not site.suppliers_allowed or offer.supplier in site.suppliers_allowed)
                    and offer.supplier not in site.suppliers_refused
                    and (
                        site.min_interconnect_gbps is None
                        or (
                            offer.interconnect_gbps is not None
                            and offer.interconnect_gbps >= site.min_interconnect_gbps
                        )
                    )
                    and (site.min_cards_per_node is None or offer.cards_per_node >= site.min_cards_per_node)
                    and (site.domestic is None or chips[offer.chip].domestic is site.domestic)
                    for offer in self._instance.offers
                ],
                dtype=np.bool_,
            )
        return self._site_cache[site]

    def group_key(self, request: Request, alternative: Alternative) -> tuple[str, int | None, int | None, Site]:
        """Return what decides the acceptable offers."""
        return alternative.chips, alternative.min_memory_milli_gb, alternative.min_fp16_milli_tflops, request.site

    def offers(self, request: Request, alternative: Alternative) -> I32:
        """Return the offers (positions, ascending) that an alternative of a request accepts."""
        key = self.group_key(request, alternative)
        if key not in self._both_cache:
            chips = self.by_chip(alternative)
            self._both_cache[key] = chips[self.by_site(request.site)[chips]] if chips.size else chips
        return self._both_cache[key]
