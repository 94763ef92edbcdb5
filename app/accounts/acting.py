"""On whose behalf a caller writes: its own organisation's, or by the desk any other's."""

from typing import Final
from uuid import UUID

from app.accounts import service
from app.accounts.callers import Caller
from app.accounts.errors import NOT_APPROVED
from app.accounts.models import OrganisationState, Role
from app.kit.db import ReadSession
from app.kit.errors import FORBIDDEN, ErrorCode

ORGANISATION_REQUIRED: Final = ErrorCode(
    "organisation_required",
    422,
    "Say for which {role} this is; you are not one yourself.",
    "请指明是为哪个单位（{role}）操作；您自己不是该角色。",
)
WRONG_ROLE: Final = ErrorCode("wrong_role", 422, "The organisation is not a {role}.", "该单位不是 {role}。")


async def acting_for(session: ReadSession, caller: Caller, org_id: UUID | None, role: Role, *, pointer: str) -> UUID:
    """Return the organisation that a write is for.

    Args:
        session: an open transaction.
        caller: who asks.
        org_id: the organisation named in the body, if any.
        role: what it must be (buyer or supplier).
        pointer: where in the body it is named.

    Raises:
        Problem: `organisation_required`, `forbidden`, `not_found`, `wrong_role`, `organisation_not_approved`.
    """
    if org_id is None or org_id == caller.org_id:
        if role in caller.roles:
            return caller.org_id
        if org_id is None:
            raise ORGANISATION_REQUIRED.field(pointer, role=role.value)
    if not caller.is_desk:
        raise FORBIDDEN.problem(roles=Role.DESK.value)
    organisation = await service.get_organisation(session, caller, org_id)
    if role.value not in {held.role for held in organisation.roles}:
        raise WRONG_ROLE.field(pointer, role=role.value)
    if organisation.state != OrganisationState.APPROVED.value:
        raise NOT_APPROVED.problem(state=organisation.state)
    return org_id
