"""What the command line does on the database itself: migrate, make a key where there is none to sign in with."""

from collections.abc import Sequence
from datetime import datetime

from app import schema
from app.accounts import repository as organisations
from app.accounts import service as accounts
from app.accounts.models import Organisation, OrganisationState, Role
from app.catalog.service import ensure_catalogue
from app.kit.db import SYSTEM, WORKER_ROLE, WriteSession
from app.kit.ids import new_id
from app.kit.time import utc_now
from app.runtime import Runtime
from app.vouchers.service import store_shipped_programmes


async def migrate(runtime: Runtime) -> str:
    """Bring the database to the newest migration and add the shipped chips and programmes; return the revision."""
    await schema.upgrade(runtime.admin_url)
    database = runtime.database(WORKER_ROLE, pool_size=1)
    try:
        async with database.write(SYSTEM) as session:
            await ensure_catalogue(session)
            await store_shipped_programmes(session, utc_now())
    finally:
        await database.dispose()
    return schema.head_revision()


async def create_local_key(
    runtime: Runtime, *, name: str, roles: Sequence[Role], label: str, expires_at: datetime | None = None
) -> str:
    """Make a key for the organisation of this name and these roles, which is added, approved, if need be.

    Returns:
        The key's text; it is stored nowhere.
    """
    database = runtime.database(WORKER_ROLE, pool_size=1)
    try:
        async with database.write(SYSTEM) as session:
            organisation = await _organisation(session, name, roles)
            _, text = await accounts.add_key(
                session,
                org_id=organisation.id,
                label=label,
                roles=roles,
                expires_at=expires_at,
                secret=runtime.secret(),
            )
    finally:
        await database.dispose()
    return text


async def _organisation(session: WriteSession, name: str, roles: Sequence[Role]) -> Organisation:
    for found in await organisations.find_by_name(session, name):
        held = {Role(role.role) for role in found.roles}
        if found.state == OrganisationState.APPROVED and set(roles) <= held:
            return found
    return await accounts.create_organisation(session, org_id=new_id(), name=name, roles=roles, approved_at=utc_now())
