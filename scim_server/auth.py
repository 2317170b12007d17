"""From the Authorization header to the hash by which the core knows the caller (product decision 3)."""

from collections.abc import Mapping

from app_core import credentials
from app_core.errors import Unauthenticated

MAX_TOKEN = 16 * 1024


def token_hash_of(headers: Mapping[str, str]) -> str:
    """Read the bearer token (RFC 6750 §2.1) and give its hash. Raises Unauthenticated."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > MAX_TOKEN:
        raise Unauthenticated("Send the secret token as 'Authorization: Bearer …'.")
    return credentials.token_hash(token)
