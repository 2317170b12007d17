"""From the Authorization header to the API key, and with it the tenant (product decision 3) and what it may do."""

from collections.abc import Mapping

from app_core import credentials
from app_core.api_keys import KeyCaller, KeyScope
from app_core.errors import Forbidden, Unauthenticated

MAX_KEY = 1024


def key_hash_of(headers: Mapping[str, str]) -> str:
    """Read the API key (RFC 6750 §2.1) and give its hash. Raises Unauthenticated."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key or len(key) > MAX_KEY:
        raise Unauthenticated("Send the API key as 'Authorization: Bearer …'.")
    return credentials.token_hash(key)


def require_scope(caller: KeyCaller, needed: KeyScope) -> None:
    """Refuse what an API key may not do. Raises Forbidden."""
    if not caller.scope.covers(needed):
        raise Forbidden(
            f"This needs an API key of scope {needed}; this one has {caller.scope}. Use another key for it."
        )
