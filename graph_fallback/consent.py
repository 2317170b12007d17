"""Admin consent: the link that an administrator opens, what comes back, and the proof that it worked.

What comes back is a request of anybody's browser: which directory it names proves nothing, before a token of that
directory does (entra.md §8.15). Who may return with which `state` is the core's to say (`app_core.consents`).
"""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from app_core.ports import DirectoryProof
from graph_fallback.tokens import (
    NO_ADMINISTRATOR,
    AccessToken,
    Clock,
    GraphRefused,
    Interrupted,
    MissingPermission,
    NotConsented,
    SystemClock,
    Tokens,
    UnknownDirectory,
    login_codes,
    missing_permissions,
    plain_code,
    refused_by_login,
    require_directory_id,
    scope_of,
    unavailable,
)

SETTLING_SECONDS = 60.0
"""How long Entra may take until tokens carry what was consented to."""
ANY_DIRECTORY = "organizations"


class ConsentRefused(GraphRefused):
    """What came back is no consent; the sentence says why, in our words only."""

    code = "graph-consent-refused"


def consent_url(
    state: str,
    *,
    client_id: str,
    redirect_uri: str,
    directory_id: str | None = None,
    login_url: str = "https://login.microsoftonline.com",
    graph_url: str = "https://graph.microsoft.com",
) -> str:
    """Give the link at which an administrator grants consent, for one directory or for that of whoever signs in."""
    directory = ANY_DIRECTORY if directory_id is None else require_directory_id(directory_id)
    query = {
        "client_id": client_id,
        # /.default asks for all that the app registration lists; nothing else grants application permissions.
        "scope": scope_of(graph_url),
        "redirect_uri": redirect_uri,
        "state": state,
    }
    return f"{login_url}/{directory}/v2.0/adminconsent?{urlencode(query, quote_via=quote)}"


def returned_from(query: Mapping[str, str]) -> str:
    """Give the id of the directory that the redirect names; it is to be proven. Raises ConsentRefused, NotConsented."""
    # `admin_consent=True` comes with errors as well.
    if query.get("error") or query.get("error_description"):
        raise _refusal(query)
    if query.get("admin_consent", "").lower() != "true":
        raise ConsentRefused("Entra did not say that consent was granted. Open the consent link again.")
    try:
        return require_directory_id(query.get("tenant", ""))
    except UnknownDirectory:
        raise ConsentRefused("Entra did not say in which directory consent was granted. Open the link again.") from None


def _refusal(query: Mapping[str, str]) -> GraphRefused:
    """Put an error of the redirect into our words: what it says itself, anybody could have written there."""
    codes = login_codes(query)
    if 65004 in codes or (not codes and query.get("error") in ("access_denied", "permission_denied")):
        return NotConsented(
            "Consent was declined. Open the link again and accept as an administrator.", error="AADSTS65004"
        )
    if 90094 in codes or (not codes and query.get("error") in ("consent_required", "interaction_required")):
        return NotConsented(NO_ADMINISTRATOR, error="AADSTS90094")
    if 50011 in codes:
        return ConsentRefused(
            "Entra does not know our address. Add the redirect URI that the setup page shows to the app registration "
            "(kind: Web), exactly as it is.",
            error="AADSTS50011",
        )
    refusal = refused_by_login(query)
    if isinstance(refusal, GraphRefused) and "error" in refusal.facts and codes:
        return refusal
    error = plain_code(query.get("error")) or "no code"
    return ConsentRefused(f"Entra did not grant consent ({error}). Open the link again.", error=error)


async def prove_tenant(
    tokens: Tokens, directory_id: str, *, settling: float = 0.0, clock: Clock | None = None
) -> DirectoryProof:
    """Prove that a directory has granted us consent: it gives us a token, of this directory, that allows what we need.

    Right after consent, give `settling` (SETTLING_SECONDS): so long, a refusal and missing permissions are asked for
    again. Raises NotConsented, MissingPermission and other GraphRefused, UnknownDirectory for a token of another one,
    GraphUnavailable.
    """
    clock = clock or SystemClock()
    key = require_directory_id(directory_id)
    until, pause = clock.now() + settling, 1.0
    token: AccessToken | None = None
    while True:
        try:
            token = await (tokens.token(key) if token is None else tokens.renewed(key, token))
            return _proof(key, token)
        except (NotConsented, MissingPermission):
            if clock.now() + pause > until:
                raise
        except Interrupted as failure:
            pause = pause if failure.wait is None else failure.wait
            if clock.now() + pause > until:
                raise unavailable(failure.what, clock.now(), pause) from None
        await clock.sleep(pause)
        pause = min(pause * 2, 10.0)


def _proof(directory_id: str, token: AccessToken) -> DirectoryProof:
    if not token.readable:
        raise UnknownDirectory(
            "Entra gave a token that does not say of which directory it is; nothing is proven by it."
        )
    if token.directory_id != directory_id:
        raise UnknownDirectory(
            "Entra gave a token of another directory than the one that was named. Open the consent link again as an "
            "administrator of the right directory."
        )
    missing = missing_permissions(token.roles)
    if missing:
        raise MissingPermission(missing)
    return DirectoryProof(directory_id, token.roles)
