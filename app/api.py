"""Every router of the API, under `/v1`."""

from fastapi import APIRouter, Depends

from app.accounts.endpoints import router as accounts
from app.catalog.endpoints import router as catalog
from app.kit.web import refuse_unknown_query

router = APIRouter(prefix="/v1", dependencies=[Depends(refuse_unknown_query)])
for part in (accounts, catalog):
    router.include_router(part)
