"""Which sides of a reservation a caller acts for, and the reasons that each side may give."""

from collections.abc import Sequence
from uuid import UUID

from app.accounts.callers import Caller
from app.accounts.models import Role
from app.kit.errors import FORBIDDEN
from app.reservations.errors import SIDE_NEEDED
from app.reservations.schemas import REASONS_OF, CancelReason, Side


def sides_of(caller: Caller, buyer_org_id: UUID, supplier_org_id: UUID) -> list[Side]:
    """Return the sides that a caller may act for; the desk may for both.

    Raises:
        Problem: `forbidden` if it is none.
    """
    sides = ((Side.BUYER, buyer_org_id, Role.BUYER), (Side.SUPPLIER, supplier_org_id, Role.SUPPLIER))
    own = [side for side, org_id, role in sides if caller.is_desk or (caller.org_id == org_id and role in caller.roles)]
    if not own:
        raise FORBIDDEN.problem(roles="the reservation's buyer and supplier, desk")
    return own


def side_of(caller: Caller, buyer_org_id: UUID, supplier_org_id: UUID, asked: Side | None) -> Side:
    """Return the side that a caller acts for: the one asked for, or its only one.

    Raises:
        Problem: `forbidden` if it is not that side, `side_needed` if it is both and does not say.
    """
    sides = sides_of(caller, buyer_org_id, supplier_org_id)
    if asked is None and len(sides) > 1:
        raise SIDE_NEEDED.field("/side")
    side = asked or sides[0]
    if side not in sides:
        raise FORBIDDEN.problem(roles=f"the reservation's {side.value}, desk")
    return side


def reasons_of(caller: Caller, sides: Sequence[Side]) -> tuple[CancelReason, ...]:
    """Return the reasons for which a caller that acts for `sides` may cancel; the desk has one of its own."""
    own = tuple(reason for side in sides for reason in REASONS_OF[side])
    return (*own, CancelReason.DESK_DECISION) if caller.is_desk else own
