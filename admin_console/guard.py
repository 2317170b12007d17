"""Cookies, forgery tokens, and the headers that forbid what the pages do not need."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, urlsplit

from admin_console.request import Request
from app_core.sessions import Visitor

CONSOLE, MEMBER, DONE, THEME = "scim_console", "scim_member", "scim_done", "scim_theme"
CONSOLE_FLOW, MEMBER_FLOW = "scim_console_flow", "scim_member_flow"
"""Name a Microsoft sign-in under way: sent only to where it returns."""
PATHS = {CONSOLE: "/console", CONSOLE_FLOW: "/console", MEMBER_FLOW: "/me"}
FIELD = "_token"
"""The field of a form that holds its forgery token."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
ANY_PICTURE = "https:"
"""For a page on which an administrator tries where a picture is."""
HEADERS: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "x-robots-tag": "noindex, nofollow",
}


def policy(pictures: Iterable[str]) -> str:
    """Give the policy of a page that shows these pictures of other hosts, and no others: the logos of templates."""
    sources = [source for source in map(_source, pictures) if source]
    return POLICY.replace("img-src 'self'", " ".join(["img-src 'self'", *sources]))


def _source(picture: str) -> str:
    """Spell an address for the policy, whose own signs cannot be in it; empty where that cannot be."""
    if picture == ANY_PICTURE:
        return picture
    parts = urlsplit(picture)
    try:
        host = (parts.hostname or "").encode("idna").decode()
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    return f"https://{host}{port}{quote(parts.path, safe='/%')}" if host else ""


def token_of(secret: str | None, tenant_id: str | None) -> str:
    """Give the forgery token of a session in a tenant: a form of one tenant does nothing in another."""
    return hmac.new((secret or "").encode(), f"form\0{tenant_id or ''}".encode(), sha256).hexdigest()[:40]


def is_own(request: Request, origin: str | None, site: str | None) -> bool:
    """Say whether a form was sent by one of our pages, for the session that sends it."""
    if origin not in (None, "null") and urlsplit(origin or "").netloc != urlsplit(request.public_url).netloc:
        return False
    if site is not None and site not in ("same-origin", "none"):
        return False
    tenant_id = tenant_of(request.visitor)
    if request.secret is None:
        # Nobody is signed in, so there is nobody whose rights could be used; the browser's own word must do.
        return True
    return hmac.compare_digest(request.form.get(FIELD, ""), token_of(request.secret, tenant_id))


def tenant_of(visitor: Visitor | None) -> str | None:
    """Give the tenant that a visitor acts in."""
    return None if visitor is None else visitor.tenant_id


def read_cookies(header: str) -> dict[str, str]:
    """Read a Cookie header; one that cannot be read holds nothing."""
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(header)
    except CookieError:
        return {}
    return {name: morsel.value for name, morsel in jar.items()}


def cookie(name: str, value: str | None, *, secure: bool) -> str:
    """Write a Set-Cookie header; None takes the cookie away."""
    path = PATHS.get(name, "/")
    age = "; Max-Age=0" if value is None else "; Max-Age=31536000" if name == THEME else ""
    return f"{name}={value or ''}; Path={path}; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}{age}"


def packed(sentence: str) -> str:
    """Put a sentence into the form of a cookie's value."""
    return urlsafe_b64encode(sentence.encode()[:1500]).decode().rstrip("=")


def unpacked(value: str) -> str | None:
    """Read a sentence from a cookie; None where there is none."""
    try:
        return urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode() or None
    except ValueError:
        return None


def is_local(path: str) -> bool:
    """Say whether a path to go on to is one of our pages: never another host's (open redirect)."""
    return path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
