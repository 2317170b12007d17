"""Checks id tokens of Microsoft: the one module here that knows python-jose.

msal hands id tokens on as they come and looks at the nonce alone. They arrive over TLS from the login itself, which
OpenID Connect lets count (Core §3.1.3.7); but who may do everything in a tenant hangs on two claims, so the signature
is held against the keys that the login publishes, whoever has brought the token.
"""

import hmac
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from app_core import clock
from app_core.resource import GUID
from graph_fallback.tokens import Login

ALGORITHM = "RS256"
LONGEST = 16 * 1024
LEEWAY_SECONDS = 60
KEYS_SECONDS = 3600.0
REFRESH_SECONDS = 300.0
"""How long an unknown key has to wait for the next look: anybody can invent one."""


class BadIdToken(Exception):
    """An id token proves nothing; the text says why, and names nobody."""


class _Key(NamedTuple):
    key: Any
    issuer: str | None
    """Whose tokens it signs; Microsoft says it of each key, with a placeholder where it signs those of all."""


class _Published(NamedTuple):
    issuer: str
    keys: Mapping[str, _Key]
    read_at: float


class IdTokens:
    """Id tokens for one application, signed by a login for the users of any directory. Blocks: call it in a thread."""

    def __init__(self, login: Login, client_id: str, *, plain: bool = False) -> None:
        self._login = login
        self._client_id = client_id
        self._plain = plain
        """Whether it is a simulator's, which writes http where its metadata is shown as https."""
        self._published: _Published | None = None

    def claims_of(self, token: object, nonce: str) -> Mapping[str, Any]:
        """Give the claims of a token that is good: signature, issuer, audience, times, nonce, and whom it is about.

        Raises BadIdToken, and what reading the keys can (GraphRefused, Interrupted).
        """
        from jose import JWTError, jwt

        if not isinstance(token, str) or len(token) > LONGEST:
            raise BadIdToken("there is none, or it is too long")
        try:
            kid = jwt.get_unverified_header(token).get("kid")
        except JWTError:
            raise BadIdToken("it is no JSON Web Token") from None
        key, issuer = self._key(kid if isinstance(kid, str) else "")
        required = {f"require_{name}": True for name in ("aud", "exp", "iat", "iss")}
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[ALGORITHM],
                audience=self._client_id,
                # A hash of the access token says nothing here: no access token is used.
                options={**required, "leeway": LEEWAY_SECONDS, "verify_at_hash": False},
            )
        except JWTError as error:
            raise BadIdToken(f"signature, audience or times do not hold ({type(error).__name__})") from None
        self._require_issuer(claims, issuer, key)
        _require_nonce(claims, nonce)
        return claims

    def _require_issuer(self, claims: Mapping[str, Any], template: str, key: _Key) -> None:
        tid, oid, issuer = (claims.get(name) for name in ("tid", "oid", "iss"))
        if not (isinstance(tid, str) and GUID.fullmatch(tid) and isinstance(oid, str) and GUID.fullmatch(oid)):
            raise BadIdToken("it names no user of a directory")
        if self._plain:
            issuer = str(issuer).replace("http://", "https://", 1)
        for expected in (template, key.issuer or template):
            if issuer != expected.replace("{tenantid}", tid):
                raise BadIdToken("it is of another issuer than its directory")

    def _key(self, kid: str) -> tuple[_Key, str]:
        published, now = self._published, clock.ticks()
        age = None if published is None else now - published.read_at
        if (
            published is None
            or age is None
            or age > KEYS_SECONDS
            or (kid not in published.keys and age > REFRESH_SECONDS)
        ):
            published = self._published = self._read(now)
        if kid not in published.keys:
            raise BadIdToken("its key is unknown")
        return published.keys[kid], published.issuer

    def _read(self, now: float) -> _Published:
        address = f"{self._login.https_url}/organizations/v2.0/.well-known/openid-configuration"
        metadata = orjson.loads(self._login.get(address).text)
        issuer, keys_at = metadata.get("issuer"), metadata.get("jwks_uri")
        if not isinstance(issuer, str) or not isinstance(keys_at, str):
            raise BadIdToken("the login's metadata names no keys")
        listed = orjson.loads(self._login.get(keys_at).text).get("keys")
        return _Published(issuer, _keys(listed if isinstance(listed, list) else []), now)


def _keys(listed: list[Any]) -> dict[str, _Key]:
    """Take the RSA keys that sign, by their names."""
    from jose import jwk
    from jose.exceptions import JWKError

    found = {}
    for each in listed:
        if not isinstance(each, dict) or each.get("kty") != "RSA" or each.get("use", "sig") != "sig":
            continue
        kid, issuer = each.get("kid"), each.get("issuer")
        if not isinstance(kid, str):
            continue
        try:
            found[kid] = _Key(jwk.construct(each, ALGORITHM), issuer if isinstance(issuer, str) else None)
        except (JWKError, KeyError, ValueError):
            continue
    return found


def _require_nonce(claims: Mapping[str, Any], nonce: str) -> None:
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise BadIdToken("it was made for another sign-in")
