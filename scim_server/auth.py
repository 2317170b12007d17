"""From the Authorization header to the caller, and with it the tenant (product decision 3)."""

from collections.abc import Mapping

from app_core import connections, credentials
from app_core.clock import Stamp
from app_core.connections import Caller
from app_core.db import Connection
from app_core.errors import Unauthenticated

MAX_TOKEN = 16 * 1024


def token_hash_of(headers: Mapping[str, str]) -> str:
    """Read the bearer token (RFC 6750 §2.1) and give its hash. Raises Unauthenticated."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > MAX_TOKEN:
        raise Unauthenticated("Send the secret token as 'Authorization: Bearer …'.")
    return credentials.token_hash(token)


def authenticate(connection: Connection, token_hash: str, now: Stamp) -> Caller:
    """Say whom a token stands for; asked anew for each request, so that a revocation counts at once."""
    return connections.authenticate(connection, token_hash, now)
