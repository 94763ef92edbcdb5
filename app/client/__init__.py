"""The client of the Cardhour API: typed, sync and async, with retries, idempotency and pages built in.

Nothing else of the project is imported here.

Example:
    from app.client import Client

    with Client("http://127.0.0.1:8000", "chk_…") as client:
        print(client.keys.me()["organisation"]["name"])
"""

from app.client.clients import AsyncClient, Client
from app.client.errors import ApiError, ClientError, FieldProblem, JobFailed, ServiceUnreachable

__all__ = ["ApiError", "AsyncClient", "Client", "ClientError", "FieldProblem", "JobFailed", "ServiceUnreachable"]
