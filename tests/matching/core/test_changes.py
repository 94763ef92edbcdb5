"""Reasons and changes on many markets against `leftover`, the slow re-check by definition.

For each unmatched request: the reason is the one found by definition; each change, made to that request alone, lets it
fit what is left at the stated offer and start; no smaller step of the kind does; and where a kind is not proposed, no
step of it does, within the bounds told in `core.explain`.
"""

import json
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from app.matching.core.clear import first_come
from app.matching.core.columns import build_columns
from app.matching.core.config import Forbid, Method, Share, SolverConfig
from app.matching.core.explain import explain
from app.matching.core.instance import Instance, Request
from app.matching.core.outcome import Change, Match, Status, Unmatched
from app.matching.core.pins import PinConflictError, place_pins
from app.matching.core.solve import solve
from app.matching.files import default_as_of, instance_of, read_market
from app.vouchers.programmes import load_programme
from tests.conftest import SHARED
from tests.matching.core.leftover import Leftover, step_of, stepped, widened
from tests.matching.core.markets import random_market

SAMPLE = Path(__file__).resolve().parents[3] / "app" / "demo" / "market"
GENERATOR = SHARED / "reference" / "generate.py"
PHILLY = SHARED / "data" / "markets" / "philly-cn"
KINDS = ("price", "deadline", "cards", "chips", "region")
OPEN_EXAMPLE = "open-example"


class Checker:
    """Checks explanations one by one against what is left."""

    def __init__(self, instance: Instance, config: SolverConfig, matches: tuple[Match, ...]) -> None:
        self.left = Leftover(instance, config, matches)
        self.instance = instance
        self.seen: Counter[str] = Counter()

    def check(self, unmatched: Unmatched) -> None:
        request = self.left.requests[unmatched.request]
        placed = self.left.placed.get(request.ref, 0)
        wanted = 1 if placed else request.min_blocks
        # Several blocks of several alternatives are packed greedily: a packing may be missed.
        exact = wanted == 1 or len(request.alternatives) == 1
        one = wanted > 1 and self.left.fits(request, 1)
        fits = self.left.fits(request, wanted)
        code = self.left.reason(request, one_fits=wanted > 1)
        if unmatched.code != code:
            # No κ: one block fits, whatever the method made of the others. With κ several may be paid and not gain.
            assert (wanted > 1, code, unmatched.code) == (True, "min_blocks", "no_gain"), (unmatched, code)
            assert not one or not fits
        if fits:
            assert unmatched.changes == (), unmatched
            return
        self.seen[unmatched.code] += 1
        told = {change.change: change for change in unmatched.changes}
        assert len(told) == len(unmatched.changes)
        assert [kind for kind in KINDS if kind in told] == [change.change for change in unmatched.changes]
        for kind in KINDS:
            if kind in told:
                self._is_proved(request, wanted, told[kind])
                self.seen[kind] += 1
                if exact:
                    self._is_least(request, wanted, told[kind])
            elif exact:
                assert not any(self.left.fits(made, wanted) for made in self._all(request, kind)), (unmatched, kind)

    def _is_proved(self, request: Request, wanted: int, change: Change) -> None:
        made = [
            item for item in self._made(request, change) if self.left.fits_at(item, change.offer, change.start_hour)
        ]
        assert made, (request, change)
        assert any(self.left.fits(item, wanted) for item in made), (request, change)

    def _made(self, request: Request, change: Change) -> list[Request]:
        if change.change in {"chips", "region"}:
            return list(widened(request, change.change, str(change.after)))
        return list(stepped(request, change.change, step_of(request, change)))

    def _is_least(self, request: Request, wanted: int, change: Change) -> None:
        """No smaller step fits; of chips and regions no other single term brings a cheaper block."""
        if change.change in {"price", "deadline"}:
            # One step less is enough: whatever fits at a lower price or an earlier deadline fits at this one too.
            smaller = range(max(1, step_of(request, change) - 1), step_of(request, change))
            tried = [made for step in smaller for made in stepped(request, change.change, step)]
            assert not any(self.left.fits(made, wanted) for made in tried), (request, change)
        elif change.change == "cards":
            tried = [made for step in range(1, step_of(request, change)) for made in stepped(request, "cards", step)]
            assert not any(self.left.fits(made, wanted) for made in tried), (request, change)
        elif wanted == 1:
            nets = [
                net
                for made in self._made(request, change)
                for place, net in self.left.places(made)
                if place[1:] == (change.offer, change.start_hour)
            ]
            others = (net for made in self._all(request, change.change) for _, net in self.left.places(made))
            assert min(nets) == min(others), (request, change)

    def _all(self, request: Request, kind: str) -> list[Request]:
        """What covers every step of a kind."""
        if kind == "price":
            dearest = max([offer.price_fen for offer in self.instance.offers], default=0)
            return list(stepped(request, kind, dearest + 1))
        if kind == "deadline":
            return list(stepped(request, kind, max(1, self.left.end - request.deadline_hour)))
        if kind == "cards":
            most = max(alternative.cards for alternative in request.alternatives)
            return [made for step in range(1, most) for made in stepped(request, kind, step)]
        if kind == "region":
            terms = {offer.region for offer in self.instance.offers}
        else:
            chips = [self.left.chips[offer.chip] for offer in self.instance.offers]
            terms = {
                chip.name if chip.chip_class in {None, "unclassified"} else f"class:{chip.chip_class}" for chip in chips
            }
        return [made for term in sorted(terms) for made in widened(request, kind, term)]


def check_all(instance: Instance, config: SolverConfig, sample: int | None = None) -> Counter[str]:
    """Explain what first come, first served leaves, and check a sample of it."""
    columns = build_columns(instance, config)
    matches = first_come(columns, place_pins(columns)).matches
    explained = explain(columns, matches)
    placed = Counter(match.request for match in matches)
    assert [(u.request, u.blocks_unmatched) for u in explained] == [
        (r.ref, r.blocks - placed[r.ref]) for r in instance.requests if placed[r.ref] < r.blocks
    ]
    checker = Checker(instance, config, matches)
    chosen = list(explained)
    if sample is not None and len(chosen) > sample:
        chosen = random.Random(7).sample(chosen, sample)
    for unmatched in chosen:
        checker.check(unmatched)
    return checker.seen


def test_small_markets_with_everything() -> None:
    seen: Counter[str] = Counter()
    for seed in range(250):
        instance, config = random_market(seed)
        try:
            seen += check_all(instance, config)
        except PinConflictError:
            continue
    assert set(KINDS) <= set(seen), seen
    assert {"no_chip", "no_site", "over_budget", "min_blocks", "fragmented", "forbidden", "outbid"} <= set(seen), seen


def test_small_markets_cleared() -> None:
    """Where κ counts, the engine leaves out what doesn't gain: only then is there such a reason."""
    seen: Counter[str] = Counter()
    for seed in range(0, 120, 3):
        instance, config = random_market(seed)
        config = replace(config, method=Method.CLEAR, kappa_ppm=700_000 if seed % 2 else config.kappa_ppm)
        outcome = solve(instance, config)
        if outcome.status not in {Status.OPTIMAL, Status.FEASIBLE}:
            continue
        checker = Checker(instance, config, outcome.matches)
        for unmatched in outcome.unmatched:
            checker.check(unmatched)
        seen += checker.seen
    assert seen["no_gain"] > 0, seen


def generated(folder: Path, *arguments: str) -> tuple[Path, dict[str, str]]:
    """Make a market with the reference generator; return it and the programme's numbers."""
    if not GENERATOR.is_file():
        pytest.skip("the reference generator (../shared/reference) is not here")
    made = subprocess.run(
        [sys.executable, str(GENERATOR), str(folder), *arguments], check=True, capture_output=True, text=True
    )
    return folder, dict(item.removeprefix("open-example.").split("=") for item in json.loads(made.stdout)["set"])


def subsidised(folder: Path, numbers: dict[str, str] | None = None, limit: int | None = None) -> Instance:
    read = read_market(folder)
    return instance_of(read, (load_programme(OPEN_EXAMPLE, numbers or {}),), default_as_of(read), limit)


@pytest.mark.parametrize("blocks", [False, True], ids=["single blocks", "blocks"])
def test_generated_markets(tmp_path: Path, blocks: bool) -> None:
    size = ("--requests", "200", "--offers", "20", "--hours", "168")
    folder, numbers = generated(tmp_path, *size, *(["--blocks"] if blocks else []))
    instance = subsidised(folder, numbers)
    seen = check_all(instance, SolverConfig(), 60)
    seen += check_all(instance, with_rules(instance), 60)
    assert {"price", "deadline", "cards", "chips", "share_limit"} <= set(seen), seen


def with_rules(instance: Instance) -> SolverConfig:
    """Return a configuration with shares, forbids and κ that bind."""
    suppliers = Counter(offer.supplier for offer in instance.offers)
    pairs = random.Random(3)
    forbids = {
        Forbid(request.ref, offer.ref) for request in instance.requests for offer in pairs.sample(instance.offers, 3)
    }
    return SolverConfig(
        kappa_ppm=300_000,
        forbids=tuple(sorted(forbids)),
        shares=tuple(Share(f"supplier/{name}", 60_000) for name in sorted(suppliers)),
    )


def test_a_generated_market_of_2_000(tmp_path: Path) -> None:
    folder, numbers = generated(tmp_path, "--requests", "2000", "--offers", "60", "--hours", "720")
    seen = check_all(subsidised(folder, numbers), SolverConfig(), 60)
    assert {"price", "deadline", "cards", "chips"} <= set(seen), seen


def test_philly() -> None:
    if not PHILLY.is_dir():
        pytest.skip("the real input data (../shared/data) is not here")
    seen = check_all(subsidised(PHILLY, limit=4_000), SolverConfig(), 60)
    assert {"price", "deadline"} <= set(seen), seen


def test_the_sample_market() -> None:
    instance = subsidised(SAMPLE)
    seen = check_all(instance, SolverConfig())
    assert {"price", "chips"} <= set(seen), seen
