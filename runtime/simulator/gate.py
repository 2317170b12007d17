"""What stands before Graph's handlers: the access token, throttling, and the faults that refuse a request."""

import asyncio
import math
from collections.abc import Callable, Mapping

from runtime.simulator.cloud import Cloud, Tenant
from runtime.simulator.faults import Fault, FaultKind, Struck
from runtime.simulator.graph_call import Answer, Call, GraphError, Incoming
from runtime.simulator.tokens import BadToken

WINDOW = 10.0


def caller_of(cloud: Cloud, headers: Mapping[str, str]) -> tuple[Tenant, frozenset[str]]:
    """Read the access token: its tenant and its permissions. Raises GraphError 401."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise unauthorized("Access token is empty.")
    try:
        claims = cloud.keys.read(token)
    except BadToken as error:
        raise unauthorized(f"Access token validation failure: {error}.") from None
    if not cloud.is_ours(str(claims.get("aud"))):
        raise unauthorized("Access token validation failure. Invalid audience.")
    if claims.get("exp", 0) <= cloud.clock.machine_seconds():
        raise unauthorized("Lifetime validation failed, the token is expired.")
    tenant = cloud.tenants.get(str(claims.get("tid")))
    if tenant is None:
        raise unauthorized("Access token validation failure. Invalid tenant.")
    return tenant, frozenset(claims.get("roles", []))


def unauthorized(message: str) -> GraphError:
    """Say that the token is not taken."""
    challenge = 'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize"'
    return GraphError(401, "InvalidAuthenticationToken", message, {"WWW-Authenticate": challenge})


def forbidden() -> GraphError:
    """Say that a permission is missing."""
    return GraphError(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")


# ── Throttling ───────────────────────────────────────────────────────────────────────────────────────────────────────


def refuse_while_closed(cloud: Cloud, tenant: Tenant) -> None:
    """Refuse who asks before Retry-After is over, and count the impatience. Raises GraphError 429."""
    left = tenant.closed_until - asyncio.get_running_loop().time()
    if left > 0:
        cloud.counters["impatient"] += 1
        raise too_many(tenant, str(math.ceil(left)))


def spend(cloud: Cloud, tenant: Tenant, units: int) -> dict[str, str]:
    """Take resource units from the quota; give the headers that tell of it. Raises GraphError 429 when none is left."""
    headers = {"x-ms-resource-unit": str(units)}
    quota = cloud.settings.units_per_10s
    if quota is None:
        return headers
    now = asyncio.get_running_loop().time()
    used = tenant.used_units
    while used and used[0][0] <= now - WINDOW:
        used.popleft()
    total = sum(spent for _, spent in used) + units
    if total > quota:
        left = used[0][0] + WINDOW - now if used else WINDOW
        tenant.closed_until = now + left
        raise too_many(tenant, str(math.ceil(left)))
    used.append((now, units))
    if total > 0.8 * quota:
        headers["x-ms-throttle-limit-percentage"] = f"{total / quota:.2f}"
    return headers


def too_many(tenant: Tenant, retry_after: str | None) -> GraphError:
    """Say that it is too much."""
    headers = {
        "x-ms-throttle-scope": f"Tenant_Application/ReadWrite/{tenant.id}",
        "x-ms-throttle-information": "ResourceUnitLimitExceeded",
    }
    if retry_after is not None:
        headers["Retry-After"] = retry_after
    return GraphError(429, "TooManyRequests", "Too many requests.", headers)


# ── Faults ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def refuse_by_fault(call: Call) -> None:
    """Refuse what a fault has struck. Raises GraphError."""
    for fault in call.struck.faults:
        refusal = REFUSALS.get(fault.kind)
        if refusal is not None:
            raise refusal(call, fault)


def _throttled(call: Call, fault: Fault) -> GraphError:
    if fault.retry_after is None:
        return too_many(call.tenant, None)
    call.tenant.closed_until = asyncio.get_running_loop().time() + fault.retry_after
    return too_many(call.tenant, str(fault.retry_after))


def _failed(call: Call, fault: Fault) -> GraphError:
    codes = {500: "InternalServerError", 502: "BadGateway", 503: "ServiceUnavailable", 504: "GatewayTimeout"}
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return GraphError(fault.status, codes.get(fault.status, "UnknownError"), "The service failed on purpose.", headers)


REFUSALS: dict[FaultKind, Callable[[Call, Fault], GraphError]] = {
    FaultKind.THROTTLE: _throttled,
    FaultKind.ERROR: _failed,
    FaultKind.PART: _failed,
    FaultKind.UNAUTHORIZED: lambda call, fault: unauthorized("Access token has expired or is not yet valid."),
    FaultKind.FORBIDDEN: lambda call, fault: forbidden(),
    FaultKind.EXPIRED: lambda call, fault: sync_state_not_found(),
    FaultKind.EXPIRED_PAGE: lambda call, fault: expired_page(),
}


def sync_state_not_found() -> GraphError:
    """Say that a delta token is too old."""
    return GraphError(
        400,
        "syncStateNotFound",
        "The sync state generation is not found. The delta token is expired and data must be synchronized again.",
    )


def expired_page() -> GraphError:
    """Say that a skip token is too old."""
    return GraphError(400, "Directory_ExpiredPageToken", "The specified page token value has expired.")


async def wait_by_fault(struck: Struck) -> None:
    """Keep a request waiting when a fault says so."""
    for kind in (FaultKind.SLOW, FaultKind.TIMEOUT):
        fault = struck.get(kind)
        if fault is not None:
            await asyncio.sleep(fault.seconds)


def spoiled(answer: Answer, incoming: Incoming, struck: Struck) -> Answer:
    """Break an answer off, or put a gateway's page in its place, when a fault says so."""
    error = struck.get(FaultKind.ERROR)
    if error is not None and error.html:
        page = f"<html><body><h1>{error.status} from a gateway</h1></body></html>".encode()
        answer = Answer(error.status, page, answer.headers, "text/html")
    if struck.get(FaultKind.GARBAGE) is not None:
        answer = Answer(200, b"<html><body>Please sign in</body></html>", {}, "text/html")
    if incoming.in_batch:
        return answer
    if struck.get(FaultKind.TIMEOUT) is not None:
        return Answer(200, b"", broken=True)
    if struck.get(FaultKind.TRUNCATE) is not None:
        answer.broken = True
    return answer
