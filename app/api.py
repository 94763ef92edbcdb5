"""Every router of the API, under `/v1`."""

from fastapi import APIRouter, Depends

from app.accounts.endpoints import router as accounts
from app.bulk.endpoints import router as bulk
from app.catalog.endpoints import router as catalog
from app.claims.endpoints import router as claims
from app.contracts.endpoints import router as contracts
from app.demand.endpoints import router as demand
from app.kit.web import refuse_unknown_query
from app.ledger.endpoints import router as ledger
from app.matching.clearing_endpoints import router as clearings
from app.matching.endpoints import router as matching
from app.matching.price_endpoints import router as prices
from app.matching.simulation_endpoints import router as simulations
from app.reports.endpoints import router as reports
from app.reservations.endpoints import router as reservations
from app.settlements.endpoints import router as settlements
from app.vouchers.draft_endpoints import router as drafts
from app.vouchers.endpoints import router as vouchers

router = APIRouter(prefix="/v1", dependencies=[Depends(refuse_unknown_query)])
trade = (accounts, catalog, demand, matching, clearings, prices, reports, reservations, contracts, settlements, bulk)
for part in (*trade, claims, vouchers, drafts, simulations, ledger):
    router.include_router(part)
