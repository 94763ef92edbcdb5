"""How to clear: method, objective, the desk's pins, forbids and shares, and the limits of the run."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.kit.money import PPM
from app.matching.core.instance import Instance
from app.matching.core.limits import InstanceError, within

MAX_KAPPA_PPM: Final = 10 * PPM


class Method(StrEnum):
    """`clear` is the engine, `fcfs` first come first served, `cpsat` one direct CP-SAT model."""

    CLEAR = "clear"
    FCFS = "fcfs"
    CPSAT = "cpsat"


class Objective(StrEnum):
    """What is sought first and next; see `core.objective`."""

    SURPLUS = "surplus"
    COVERAGE = "coverage"
    THRIFT = "thrift"


@dataclass(frozen=True, slots=True, order=True)
class Pin:
    """At least one block of the request goes on the offer, at `start_hour` where one is given."""

    request: str
    offer: str
    start_hour: int | None = None


@dataclass(frozen=True, slots=True, order=True)
class Forbid:
    """No block of the request goes on the offer."""

    request: str
    offer: str


@dataclass(frozen=True, slots=True, order=True)
class Share:
    """`buyer/REF` or `supplier/REF` gets at most ⌊share × card-hours requested in the run⌋ card-hours."""

    name: str
    share_ppm: int


@dataclass(frozen=True, slots=True)
class SolverConfig:
    """All that decides the result besides the instance.

    `time_limit_s` is wall seconds for the search; `work_limit` counts work (a million candidate hours looked at is
    one unit) and makes the result reproducible. With neither, 60 seconds are given.
    """

    method: Method = Method.CLEAR
    objective: Objective = Objective.SURPLUS
    kappa_ppm: int = 0
    pins: tuple[Pin, ...] = ()
    forbids: tuple[Forbid, ...] = ()
    shares: tuple[Share, ...] = ()
    seed: int = 0
    time_limit_s: float | None = None
    work_limit: int | None = None
    workers: int = 1

    def check(self, instance: Instance) -> None:
        """Require that the configuration is in range and speaks of this instance.

        Raises:
            InstanceError: naming the pin, forbid, share or number that is wrong.
        """
        within("config", "kappa_ppm", self.kappa_ppm, 0, MAX_KAPPA_PPM)
        within("config", "seed", self.seed, 0, 2**31 - 1)
        within("config", "workers", self.workers, 1, 64)
        if self.work_limit is not None:
            within("config", "work_limit", self.work_limit, 1, 10**9)
        if self.time_limit_s is not None and not 0 < self.time_limit_s <= 7 * 86_400:
            raise InstanceError("config", "limit_time_limit_s", f"{self.time_limit_s} is not between 0 and 7 days")
        for kind, pairs in (("pins", self.pins), ("forbids", self.forbids)):
            for pair in pairs:
                if pair.request not in instance.request_index:
                    raise InstanceError(f"config/{kind}", "unknown_request", f"no request {pair.request!r}")
                if pair.offer not in instance.offer_index:
                    raise InstanceError(f"config/{kind}", "unknown_offer", f"no offer {pair.offer!r}")
        self._check_shares(instance)

    def _check_shares(self, instance: Instance) -> None:
        known = {f"buyer/{request.buyer}" for request in instance.requests}
        known |= {f"supplier/{offer.supplier}" for offer in instance.offers}
        seen: set[str] = set()
        for share in self.shares:
            if share.name not in known:
                raise InstanceError("config/shares", "unknown_share", f"{share.name!r} is no buyer/REF or supplier/REF")
            if share.name in seen:
                raise InstanceError("config/shares", "duplicate_share", f"{share.name!r} stands twice")
            seen.add(share.name)
            within(f"config/shares/{share.name}", "share_ppm", share.share_ppm, 0, PPM)
