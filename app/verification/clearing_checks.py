"""The check of clearings on record: each one that succeeded holds from its stored input, without any solver."""

import asyncio
import json
import zlib

from app.kit.db import ReadSession
from app.kit.ids import encode_id
from app.matching import clearing_repository
from app.matching.core.codec import instance_from_json, instance_sha256
from app.matching.core.limits import InstanceError
from app.matching.core.verify import VerificationError, verify
from app.matching.results import ResultError, result_from_json

NAME = "clearings"
PROMISE = "every clearing on record is feasible, its amounts and bound as recomputed without a solver"


async def check_clearings(session: ReadSession) -> tuple[int, list[str]]:
    """Return how many clearings were looked at, and what is wrong with which."""
    ids = await clearing_repository.succeeded_ids(session)
    wrong: list[str] = []
    for clearing_id in ids:
        name = f"clearing {encode_id('clr', clearing_id)}"
        file = await clearing_repository.get_file(session, clearing_id)
        if file is None:
            wrong.append(f"{name} has no input and result")
            continue
        fault = await asyncio.to_thread(_fault, file.instance, file.outcome)
        if fault is not None:
            wrong.append(f"{name}: {fault}")
    return len(ids), wrong


def _fault(packed_instance: bytes, packed_outcome: bytes) -> str | None:
    try:
        instance = instance_from_json(json.loads(zlib.decompress(packed_instance)))
        result = result_from_json(json.loads(zlib.decompress(packed_outcome)))
        if instance_sha256(instance) != result.instance_sha256:
            return "its input is not the one it was cleared from"
        verify(instance, result.run.solver, result.outcome)
    except (zlib.error, ValueError, InstanceError, ResultError, VerificationError) as error:
        return str(error)
    return None
