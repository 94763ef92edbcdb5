"""Every table of the service in one metadata, for migrations and verification."""

from app.accounts import models as accounts
from app.bulk import models as bulk
from app.catalog import models as catalog
from app.claims import models as claims
from app.contracts import models as contracts
from app.demand import models as demand
from app.kit import idempotency
from app.kit.db import Base
from app.ledger import models as ledger
from app.matching import clearing_models as clearings
from app.matching import models as matching
from app.reservations import models as reservations
from app.settlements import models as settlements
from app.vouchers import models as vouchers

METADATA = Base.metadata
DEFINED_IN = (
    accounts,
    bulk,
    catalog,
    claims,
    clearings,
    contracts,
    demand,
    idempotency,
    ledger,
    matching,
    reservations,
    settlements,
    vouchers,
)
