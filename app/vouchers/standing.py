"""Database → what rules read of organisations on a day. Everything runs with the system's eyes, or one's who reads all.

Only verified facts count.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

from app.accounts.models import FactKey
from app.accounts.repository import listed_partners, live_affiliations, organisation_names, verified_facts
from app.kit.db import ReadSession
from app.vouchers.facts import DatedFact, Facts, SupplierFacts, facts_on


async def load_buyers(session: ReadSession, buyers: Collection[UUID], day: date) -> dict[UUID, Facts]:
    """Return what rules read of buyers on a day."""
    history: dict[UUID, list[DatedFact]] = {org_id: [] for org_id in buyers}
    for org_id, key, value, valid_from in await verified_facts(session, history):
        history[org_id].append(DatedFact(key, value, valid_from))
    return {org_id: facts_on(found, day) for org_id, found in history.items()}


async def load_suppliers(
    session: ReadSession, suppliers: Collection[UUID], programmes: Collection[str], day: date
) -> dict[UUID, SupplierFacts]:
    """Return what rules read of suppliers on a day, `affiliated` left open: that is about a buyer too.

    A supplier is a partner of the programmes whose list it is on; of all of them by a verified fact.
    """
    lists: dict[UUID, set[tuple[str, str]]] = defaultdict(set)
    for org_id, name, batch in await listed_partners(session, programmes, day):
        lists[org_id].add((name, batch))
    stated: dict[UUID, dict[str, Any]] = defaultdict(dict)
    for org_id, key, value, valid_from in await verified_facts(session, suppliers):
        if valid_from <= day:
            stated[org_id][key] = value
    names = await organisation_names(session, suppliers)
    return {
        org_id: SupplierFacts(
            name=names.get(org_id),
            partner_of=frozenset(
                programmes if stated[org_id].get(FactKey.PARTNER.value) is True else (name for name, _ in lists[org_id])
            ),
            batches=frozenset(lists[org_id]),
            centre_pflops=stated[org_id].get(FactKey.CENTRE_PFLOPS.value),
            centre_racks=stated[org_id].get(FactKey.CENTRE_RACKS.value),
            supercomputing=stated[org_id].get(FactKey.SUPERCOMPUTING.value),
        )
        for org_id in suppliers
    }


async def load_groups(session: ReadSession, day: date) -> dict[UUID, int]:
    """Return the group under one control that each affiliated organisation is of on a day; others are alone."""
    return groups_of(await live_affiliations(session, day))


def groups_of(pairs: Iterable[tuple[UUID, UUID]]) -> dict[UUID, int]:
    """Return the numbers of the groups that pairs of affiliated organisations join: who is joined over others too."""
    neighbours: dict[UUID, set[UUID]] = defaultdict(set)
    for one, two in pairs:
        neighbours[one].add(two)
        neighbours[two].add(one)
    groups: dict[UUID, int] = {}
    for number, first in enumerate(neighbours):
        waiting = [first]
        while waiting:
            org_id = waiting.pop()
            if org_id not in groups:
                groups[org_id] = number
                waiting.extend(neighbours[org_id])
    return groups


def affiliated(groups: Mapping[UUID, int], one: UUID, other: UUID) -> bool:
    """Whether two organisations are under one control, or one and the same."""
    return one == other or (one in groups and groups[one] == groups.get(other))


async def load_supplier(
    session: ReadSession, supplier: UUID, buyer: UUID, programmes: Collection[str], day: date
) -> SupplierFacts:
    """Return what rules read of a supplier on a day, with whether it is affiliated with a buyer."""
    found = (await load_suppliers(session, [supplier], programmes, day))[supplier]
    return replace(found, affiliated=affiliated(await load_groups(session, day), supplier, buyer))
