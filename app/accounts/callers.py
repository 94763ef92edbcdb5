"""Who asks: the caller that every repository and service takes."""

from dataclasses import dataclass
from uuid import UUID

from app.accounts.errors import NOT_APPROVED
from app.accounts.models import OrganisationState, Role
from app.kit.db import Scope
from app.kit.errors import FORBIDDEN


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated key: whose it is and what it may act as."""

    org_id: UUID
    state: OrganisationState
    roles: frozenset[Role]
    key_id: UUID | None = None

    @property
    def is_desk(self) -> bool:
        """Whether it writes for everyone."""
        return Role.DESK in self.roles

    @property
    def reads_all(self) -> bool:
        """Whether it sees everyone's rows."""
        return bool(self.roles & {Role.DESK, Role.AUDITOR})

    @property
    def scope(self) -> Scope:
        """The eyes that its transactions see with."""
        if self.is_desk:
            return Scope("desk", self.org_id)
        if Role.AUDITOR in self.roles:
            return Scope("auditor", self.org_id)
        return Scope("member", self.org_id)

    def require(self, *roles: Role) -> None:
        """Refuse unless it is approved and has one of the roles.

        Raises:
            Problem: `forbidden` or `organisation_not_approved`.
        """
        if not self.roles & set(roles):
            raise FORBIDDEN.problem(roles=", ".join(roles))
        self.require_approved()

    def require_approved(self) -> None:
        """Refuse unless the desk has approved its organisation.

        Raises:
            Problem: `organisation_not_approved`.
        """
        if self.state is not OrganisationState.APPROVED:
            raise NOT_APPROVED.problem(state=self.state.value)
