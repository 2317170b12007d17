"""Conditional requests (RFC 7644 §3.14, RFC 9110 §13): weak ETags over `meta.version`."""

import re
from collections.abc import Mapping

from scim_server.errors import ScimError

TAG = re.compile(r'(?:W/)?"([^"]*)"')


def require_match(headers: Mapping[str, str], current: str) -> None:
    """Refuse a change of a version that the client has not seen. Raises ScimError 412."""
    given = headers.get("if-match")
    if given is not None and not _matches(given, current):
        raise ScimError(
            412, None, "The resource has changed since it was read (If-Match): read it again, then change it."
        )
    refused = headers.get("if-none-match")
    if refused is not None and _matches(refused, current):
        raise ScimError(412, None, "The resource exists in the version named by If-None-Match.")


def unchanged(headers: Mapping[str, str], current: str) -> bool:
    """Say whether a read may be answered by 304: the client has this version."""
    given = headers.get("if-none-match")
    return given is not None and _matches(given, current)


def _matches(given: str, current: str) -> bool:
    wanted = TAG.fullmatch(current)
    assert wanted is not None
    return given.strip() == "*" or wanted[1] in TAG.findall(given)
