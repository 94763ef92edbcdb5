"""The caps of programmes as accounts of the ledger: their names, and what an earmark draws on.

An earmark is pending legs in one transaction: the pool of the year → the voucher; the buyer's quota of the year → the
source of quotas; and, where the tier has a total per buyer, that quota → its source. A quota is filled with the whole
cap by a single transfer on first use. Accounts without a cap have no guard and still show what was used.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from app.kit.ids import encode_id
from app.kit.money import parse_cny
from app.ledger.models import Guard
from app.ledger.repository import NewAccount
from app.vouchers.programmes import Programme, parse_programme

TREASURY, POOL, QUOTA_SOURCE, BUYER_QUOTA, VOUCHER = "treasury", "pool", "quota_source", "buyer_quota", "voucher"
CLAIMABLE, CLAWBACK, PAID, ADVANCE = "claimable", "clawback", "paid", "advance"


@dataclass(frozen=True, slots=True)
class Component:
    """A subsidy in fen under one tier of a programme, as a match or a quote has it."""

    programme: str
    version: int
    tier: str
    year: int
    amount_fen: int


@dataclass(frozen=True, slots=True)
class Earmark:
    """A subsidy to set aside for a reservation; a bonus, for the voucher `bonus_of`, has none yet."""

    reservation_id: UUID | None
    buyer_org_id: UUID
    programme: str
    version: int
    tier: str
    year: int
    amount_fen: int
    bonus_of: UUID | None = None


@dataclass(frozen=True, slots=True)
class Budgets:
    """What is left of a programme's caps in a year, in fen, open earmarks counted; None is no cap.

    `buyer_fen` is by buyer; `tier_fen` by tier and buyer, for the tiers that have a total per buyer.
    """

    pool_fen: int | None
    buyer_fen: Mapping[UUID, int | None]
    tier_fen: Mapping[tuple[str, UUID], int]


@dataclass(frozen=True, slots=True)
class Quota:
    """A buyer's cap as an account: `cap_fen` comes from `source` on first use."""

    account: str
    source: str
    buyer_org_id: UUID
    cap_fen: int | None

    @property
    def new_account(self) -> NewAccount:
        """The account to open for it."""
        return NewAccount(self.account, BUYER_QUOTA, guard_of(self.cap_fen), self.buyer_org_id)


@functools.lru_cache(maxsize=64)
def programme_of(toml: str, sha256: str) -> Programme:
    """Return a stored programme version, read once."""
    return parse_programme(toml, sha256[:12])


def cny_fen(amount: str | None) -> int | None:
    """Return an amount of a programme file in fen; None where it sets no cap."""
    return None if amount is None else parse_cny(amount)


def guard_of(cap_fen: int | None) -> Guard:
    """Return the guard of an account with this cap."""
    return Guard.NONE if cap_fen is None else Guard.DEBITS_LE_CREDITS


def treasury_name(programme: str) -> str:
    """Where a programme's pools come from."""
    return f"{programme}/treasury"


def pool_name(programme: str, year: int) -> str:
    """A programme's pool of a year, named as in clearings."""
    return f"{programme}/pool/{year}"


def quota_source_name(programme: str, year: int) -> str:
    """Where the buyers' quotas of a year come from, and what is used of them goes back to."""
    return f"{programme}/quota/{year}"


def tier_source_name(programme: str, tier: str) -> str:
    """Where the buyers' totals under a tier come from."""
    return f"{programme}/{tier}/quota"


def voucher_account_name(voucher_id: UUID) -> str:
    """A voucher's own account."""
    return f"voucher/{encode_id('vch', voucher_id)}"


def claimable_name(programme: str, claimant_org_id: UUID) -> str:
    """What a claimant may claim of what vouchers redeemed."""
    return f"{programme}/claimable/{encode_id('org', claimant_org_id)}"


def clawback_name(programme: str, claimant_org_id: UUID) -> str:
    """What a claimant owes for vouchers that were revoked after they were redeemed."""
    return f"{programme}/clawback/{encode_id('org', claimant_org_id)}"


def paid_name(programme: str, year: int) -> str:
    """What claims of a year's periods were paid."""
    return f"{programme}/paid/{year}"


def advance_name(programme: str, supplier_org_id: UUID) -> str:
    """What a supplier was advanced of the reserve fund and its claims did not make up for yet."""
    return f"{programme}/advance/{encode_id('org', supplier_org_id)}"


def buyer_quota(programme: str, buyer_org_id: UUID, year: int, cap_fen: int | None) -> Quota:
    """Return a buyer's quota of a year."""
    name = f"{programme}/buyer/{encode_id('org', buyer_org_id)}/{year}"
    return Quota(name, quota_source_name(programme, year), buyer_org_id, cap_fen)


def tier_quota(programme: str, tier: str, buyer_org_id: UUID, cap_fen: int) -> Quota:
    """Return a buyer's total under a tier, of all years."""
    name = f"{programme}/{tier}/buyer/{encode_id('org', buyer_org_id)}"
    return Quota(name, tier_source_name(programme, tier), buyer_org_id, cap_fen)


def tier_totals(programme: Programme) -> dict[str, int]:
    """Return the totals per buyer of the tiers that have one, in fen."""
    totals = {tier.id: cny_fen(tier.total_cny) for tier in programme.tiers}
    return {tier: total for tier, total in totals.items() if total is not None}
