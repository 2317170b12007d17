"""Sign-in with Microsoft: the core's port (`ports.SignIn`) by msal, off the event loop (C10, ADR 0022).

Authorization code with PKCE, state and nonce, for the users of any directory (`organizations`). Only an id token that
`id_tokens` finds good says who came back; the code's access token is thrown away.
"""

import asyncio
import hashlib
import hmac
import logging
import threading
from collections.abc import Mapping
from typing import Any

import httpx
import orjson

from app_core.errors import SignInRefused
from app_core.ports import Flow, Identity
from graph_fallback.id_tokens import BadIdToken, IdTokens
from graph_fallback.tokens import (
    ClientCertificate,
    ClientSecret,
    GraphRefused,
    Interrupted,
    Login,
    WrongCredential,
    login_codes,
    plain_code,
)

logger = logging.getLogger(__name__)
KEPT = ("state", "nonce", "code_verifier", "redirect_uri", "scope")
LONGEST_NAME = 200
CONSENTING_ROLES = {
    "62e90394-69f5-4237-9190-012177145e10",  # Global Administrator
    "e8611ab8-c189-46e8-94e1-60213ab1f814",  # Privileged Role Administrator
    "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3",  # Application Administrator
    "158c047a-c907-4556-b7ef-446551a6b5f7",  # Cloud Application Administrator
}
"""Template ids of the directory roles whose holders manage which applications a directory lets in (claim `wids`)."""

AGAIN = "Sign in again; if it happens again, tell the operator of this server."
DECLINED = "The sign-in was cancelled, or what it asks for was declined. Sign in again and accept."
NEEDS_ADMINISTRATOR = (
    "Your directory lets nobody sign in here before its administrator has agreed. Ask an administrator of your "
    "Microsoft directory to sign in here once and to accept for everybody."
)
NOT_ASSIGNED = (
    "Your directory admits only those who are assigned to this application. Ask an administrator of your Microsoft "
    "directory to assign you."
)
BLOCKED = "A policy of your directory blocks this sign-in. Ask an administrator of your Microsoft directory."
TOO_LATE = "This sign-in took too long, or was completed already. Sign in again."
UNAVAILABLE = "Microsoft cannot sign anybody in right now. Try again in a minute."
REFUSALS: Mapping[int, str] = {
    65004: DECLINED,
    65001: NEEDS_ADMINISTRATOR,
    90094: NEEDS_ADMINISTRATOR,
    90095: NEEDS_ADMINISTRATOR,
    700016: NEEDS_ADMINISTRATOR,
    50105: NOT_ASSIGNED,
    53003: BLOCKED,
    54005: TOO_LATE,
    70008: TOO_LATE,
    70000: TOO_LATE,
    501481: TOO_LATE,
}
"""By the number behind AADSTS."""
ERRORS: Mapping[str, str] = {
    "access_denied": DECLINED,
    "consent_required": NEEDS_ADMINISTRATOR,
    "interaction_required": "Microsoft wants to ask you something first. Sign in again.",
    "login_required": "You are not signed in to Microsoft. Sign in again.",
    "invalid_grant": TOO_LATE,
    "server_error": UNAVAILABLE,
    "temporarily_unavailable": UNAVAILABLE,
}
"""By OAuth's own error (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6)."""


class MicrosoftSignIn:
    """Signs people in by one application of ours."""

    def __init__(
        self,
        client_id: str,
        credential: ClientSecret | ClientCertificate,
        *,
        login_url: str = "https://login.microsoftonline.com",
    ) -> None:
        self._client_id = client_id
        self._credential = credential
        self._scheme = httpx.URL(login_url).scheme
        self._login = Login(login_url)
        self._id_tokens = IdTokens(self._login, client_id, plain=self._scheme == "http")
        self._lock = threading.Lock()
        self._made: Any = None

    async def begin(self, redirect_uri: str, *, prompt: str | None = None, domain_hint: str | None = None) -> Flow:
        """Begin a sign-in that comes back to an address. Raises SignInRefused."""
        return await asyncio.to_thread(self._begin, redirect_uri, prompt, domain_hint)

    async def finish(self, private: str, query: Mapping[str, str]) -> Identity:
        """Say who came back. Errors are looked at first, then the state, then the code. Raises SignInRefused."""
        if "error" in query:
            raise _refused(query)
        flow: dict[str, Any] = orjson.loads(private)
        if not hmac.compare_digest(query.get("state", "").encode(), flow["state"].encode()):
            raise SignInRefused(f"This is not the return of the sign-in that began in this browser. {AGAIN}")
        if not query.get("code"):
            raise SignInRefused(f"Microsoft sent nothing back that could be used. {AGAIN}")
        return await asyncio.to_thread(self._finish, flow, {"code": query["code"], "state": flow["state"]})

    async def close(self) -> None:
        """Close the connections to the login."""
        self._login.close()

    def _begin(self, redirect_uri: str, prompt: str | None, domain_hint: str | None) -> Flow:
        try:
            flow = self._application().initiate_auth_code_flow(
                scopes=[],
                redirect_uri=redirect_uri,
                prompt=prompt,
                domain_hint=domain_hint,
                # msal warns of every other mode. What a page of Microsoft's posts would come without our cookies
                # (SameSite=Lax); a code in the address is good once, and only with our secret and the verifier.
                response_mode="form_post",
            )
        except (Interrupted, GraphRefused) as error:
            raise _unreachable(error) from None
        address = httpx.URL(flow["auth_uri"].replace("response_mode=form_post", "response_mode=query"))
        kept = {name: flow[name] for name in KEPT}
        return Flow(str(address.copy_with(scheme=self._scheme)), orjson.dumps(kept).decode())

    def _finish(self, flow: dict[str, Any], answer: dict[str, str]) -> Identity:
        try:
            result = self._application().acquire_token_by_auth_code_flow(flow, answer)
            claims = self._id_tokens.claims_of(result.get("id_token"), _as_sent(flow["nonce"]))
        except (Interrupted, GraphRefused) as error:
            raise _unreachable(error) from None
        except BadIdToken as error:
            logger.warning("an id token was not taken: %s", error)
            raise _unproven() from None
        except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
            # What msal makes of an answer that it cannot read, or whose nonce is another.
            logger.warning("msal did not take an answer of the login: %s", type(error).__name__)
            raise _unproven() from None
        return _identity(claims)

    def _application(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = self._new_application()
            return self._made

    def _new_application(self) -> Any:
        import msal  # 400 ms, which only those pay who sign in with Microsoft

        class Nothing(msal.TokenCache):  # type: ignore[misc]
            """Keeps no tokens of those who sign in: none is used again."""

            def add(self, event: Any, now: Any = None) -> None:
                pass

        secret = self._credential
        return msal.ConfidentialClientApplication(
            self._client_id,
            authority=f"{self._login.https_url}/organizations",
            client_credential=secret.value if isinstance(secret, ClientSecret) else secret.for_msal(),
            instance_discovery=False,
            http_client=self._login,
            token_cache=Nothing(),
            exclude_scopes=["offline_access"],
        )


def _as_sent(nonce: str) -> str:
    """Give the nonce as the address and the id token have it: msal sends its hash."""
    return hashlib.sha256(nonce.encode()).hexdigest()


def _identity(claims: Mapping[str, Any]) -> Identity:
    name, address = (claims.get(each) for each in ("name", "preferred_username"))
    return Identity(
        claims["tid"].lower(),
        claims["oid"].lower(),
        name[:LONGEST_NAME] if isinstance(name, str) else "",
        address[:LONGEST_NAME] if isinstance(address, str) else "",
        _is_administrator(claims.get("wids")),
    )


def _is_administrator(roles: object) -> bool | None:
    """Read `wids`, which is in the token only where the app registration asks for directory roles."""
    if not isinstance(roles, list):
        return None
    return any(isinstance(role, str) and role.lower() in CONSENTING_ROLES for role in roles)


def _refused(answer: Mapping[str, str]) -> SignInRefused:
    """Put an error of Microsoft's into our words; its description quotes names and is not repeated."""
    codes = login_codes(answer)
    known = next((REFUSALS[code] for code in codes if code in REFUSALS), ERRORS.get(answer["error"]))
    error = f"AADSTS{codes[0]}" if codes else plain_code(answer["error"]) or "no code"
    return SignInRefused(known or f"Microsoft has signed nobody in ({error}). {AGAIN}", error=error)


def _unreachable(error: Interrupted | GraphRefused) -> SignInRefused:
    if isinstance(error, Interrupted):
        return SignInRefused(UNAVAILABLE, error=error.what)
    code = str(error.facts.get("error", error.code))
    if isinstance(error, WrongCredential):
        return SignInRefused(f"Tell the operator of this server: {error.sentence}", error=code)
    number = code.removeprefix("AADSTS")
    known = REFUSALS.get(int(number)) if number.isdecimal() else None
    return SignInRefused(known or f"Microsoft has signed nobody in ({code}). {AGAIN}", error=code)


def _unproven() -> SignInRefused:
    return SignInRefused(f"What came back does not prove who you are. {AGAIN}")
