"""The login face: tokens, keys, discovery documents, admin consent, and a sign-in page.

Everything is plain http. Two of its readers insist on https, and what to do about it is theirs:

* msal refuses an authority that is not https, and so the endpoints in the discovery document. Give it an
  `http_client` that asks `http://` where msal says `https://`, and that writes `https://` where the document says
  `http://` (`tests/simulator.py` holds one of 30 lines), and `instance_discovery=False`: for hosts it does not know it
  would ask login.microsoftonline.com instead. On httpx that client has to decode bytes in the form: msal gives
  assertions as bytes, and httpx would send their Python spelling.
* The issuer of every token is this simulator's own address (`http://127.0.0.1:8200/{tid}/v2.0`), whatever msal wrote.
"""

import base64
import hashlib
import html
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson

from runtime.simulator.cloud import Application, Cloud, SignIn, Tenant
from runtime.simulator.directory import DirectoryError, Entry, Kind
from runtime.simulator.tokens import BadToken, Claims, encoded, parsed

JsonObject = dict[str, Any]
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EVERY_TENANT = frozenset({"common", "organizations", "consumers"})
CODE_SECONDS = 600
MOST_SHOWN = 200


class LoginError(Exception):
    """A refusal in Entra's form: an AADSTS number and an OAuth error."""

    def __init__(self, number: int, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.number = number
        self.error = error
        self.description = f"AADSTS{number}: {description}"
        self.status = status


class Reply(NamedTuple):
    """An answer of the login face: a document, a page, or an address to go to."""

    status: int
    body: JsonObject | str = ""
    location: str = ""


def error_body(cloud: Cloud, error: LoginError) -> JsonObject:
    """Write a refusal as the token endpoint does."""
    return {
        "error": error.error,
        "error_description": f"{error.description} Timestamp: {cloud.clock.now()}",
        "error_codes": [error.number],
        "timestamp": cloud.clock.now(),
        "trace_id": "00000000-0000-0000-0000-000000000000",
        "correlation_id": "00000000-0000-0000-0000-000000000000",
        "error_uri": f"https://login.microsoftonline.com/error?code={error.number}",
    }


# ── Discovery ────────────────────────────────────────────────────────────────────────────────────────────────────────


def discovery(cloud: Cloud, tenant: str) -> JsonObject:
    """Give the OpenID configuration of a tenant, or the one with a placeholder for all of them."""
    known = "{tenantid}" if tenant in EVERY_TENANT else _tenant(cloud, tenant).id
    base = f"{cloud.base_url}/{tenant if tenant in EVERY_TENANT else known}"
    return {
        "issuer": f"{cloud.base_url}/{known}/v2.0",
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "end_session_endpoint": f"{base}/oauth2/v2.0/logout",
        "jwks_uri": f"{base}/discovery/v2.0/keys",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "response_modes_supported": ["query", "form_post"],
        "response_types_supported": ["code"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "code_challenge_methods_supported": ["S256"],
        "tenant_region_scope": "EU",
        "cloud_instance_name": "microsoftonline.com",
        "msgraph_host": "graph.microsoft.com",
    }


def discovery_v1(cloud: Cloud, tenant: str) -> JsonObject:
    """Give the older configuration: tokens of the provisioning service name this issuer."""
    known = "{tenantid}" if tenant in EVERY_TENANT else _tenant(cloud, tenant).id
    return {
        "issuer": f"https://sts.windows.net/{known}/",
        "authorization_endpoint": f"{cloud.base_url}/{known}/oauth2/authorize",
        "token_endpoint": f"{cloud.base_url}/{known}/oauth2/token",
        "jwks_uri": f"{cloud.base_url}/common/discovery/keys",
        "id_token_signing_alg_values_supported": ["RS256"],
    }


def instances(cloud: Cloud, authorization_endpoint: str) -> JsonObject:
    """Say that this host is an authority, as msal asks for hosts that it does not know."""
    parts = urlsplit(authorization_endpoint or f"{cloud.base_url}/common/oauth2/v2.0/authorize")
    tenant = parts.path.split("/")[1] if parts.path.count("/") > 1 else "common"
    host = urlsplit(cloud.base_url).netloc
    return {
        "tenant_discovery_endpoint": f"{cloud.base_url}/{tenant}/v2.0/.well-known/openid-configuration",
        "api-version": "1.1",
        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
    }


def keys(cloud: Cloud, tenant: str) -> JsonObject:
    """Give the keys by which tokens are checked."""
    known = "{tenantid}" if tenant in EVERY_TENANT else _tenant(cloud, tenant).id
    return cloud.keys.published(f"{cloud.base_url}/{known}/v2.0")


def _tenant(cloud: Cloud, reference: str) -> Tenant:
    try:
        return cloud.tenant(reference)
    except DirectoryError:
        raise LoginError(
            90002, "invalid_request", f"Tenant '{reference}' not found. Check that you have the right tenant ID."
        ) from None


# ── Tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def token(cloud: Cloud, tenant: str, form: Mapping[str, str], authorization: str) -> JsonObject:
    """Answer the token endpoint. Raises LoginError."""
    grant = form.get("grant_type", "")
    grants: dict[str, Callable[[Cloud, str, Application, Mapping[str, str]], JsonObject]] = {
        "client_credentials": _client_credentials,
        "authorization_code": _authorization_code,
    }
    if grant not in grants:
        raise LoginError(70003, "unsupported_grant_type", f"The app requested an unsupported grant type '{grant}'.")
    basic = _basic(authorization)
    application = cloud.applications.get(form.get("client_id") or basic[0])
    if application is None:
        raise _unknown_application(form.get("client_id", ""), tenant)
    _authenticate(cloud, application, form, form.get("client_secret") or basic[1])
    return grants[grant](cloud, tenant, application, form)


def _unknown_application(client_id: str, tenant: str) -> LoginError:
    return LoginError(
        700016,
        "unauthorized_client",
        f"Application with identifier '{client_id}' was not found in the directory '{tenant}'. This can happen if the "
        "application has not been installed by the administrator of the tenant or consented to by any user in it.",
    )


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        client_id, _, secret = base64.b64decode(value).decode().partition(":")
    except ValueError:
        return "", ""
    # RFC 6749 §2.3.1: both are form-encoded before they are joined.
    read = dict(parse_qsl(f"id={client_id}&secret={secret}", keep_blank_values=True))
    return read.get("id", ""), read.get("secret", "")


def _authenticate(cloud: Cloud, application: Application, form: Mapping[str, str], secret: str) -> None:
    """Let a client prove itself by secret or by certificate. Raises LoginError."""
    if form.get("client_assertion_type") == JWT_BEARER:
        _check_assertion(cloud, application, form.get("client_assertion", ""))
    elif not secret:
        raise LoginError(
            7000218,
            "invalid_client",
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
            401,
        )
    elif secret not in application.secrets:
        raise LoginError(
            7000215,
            "invalid_client",
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value.",
            401,
        )


def _check_assertion(cloud: Cloud, application: Application, assertion: str) -> None:
    try:
        head, claims = parsed(assertion)
    except BadToken as error:
        raise _bad_assertion(str(error)) from None
    if not any(certificate.signed(assertion, head) for certificate in application.certificates):
        raise _bad_assertion("the certificate is not registered on the application, or the signature is wrong")
    if not claims.get("iss") == claims.get("sub") == application.client_id:
        raise _bad_assertion("'iss' and 'sub' have to be the client id")
    audience = str(claims.get("aud", "")).replace("https://", "http://")
    if not audience.startswith(f"{cloud.base_url}/".replace("https://", "http://")) or "jti" not in claims:
        raise _bad_assertion(f"the audience '{audience}' is not the token endpoint, or 'jti' is missing")
    now = cloud.clock.machine_seconds()
    if not claims.get("nbf", 0) - 300 <= now < claims.get("exp", 0):
        raise _bad_assertion("it is not valid now")


def _bad_assertion(reason: str) -> LoginError:
    return LoginError(
        700027, "invalid_client", f"The certificate used to sign the client assertion is not taken: {reason}.", 401
    )


def _client_credentials(cloud: Cloud, tenant: str, application: Application, form: Mapping[str, str]) -> JsonObject:
    if tenant in EVERY_TENANT:
        raise LoginError(50194, "invalid_request", "A token for an application needs a tenant in the address.")
    owner = _tenant(cloud, tenant)
    if application.client_id not in owner.consents:
        raise _unknown_application(application.client_id, owner.directory.name)
    resource, separator, default = form.get("scope", "").rpartition("/")
    if not separator or default != ".default":
        raise LoginError(
            1002012, "invalid_scope", f"The provided value for scope {form.get('scope')} is not valid: '…/.default'."
        )
    if not cloud.is_ours(resource):
        raise LoginError(500011, "invalid_resource", f"The resource principal named {resource} was not found.")
    return {
        "token_type": "Bearer",
        "expires_in": cloud.settings.token_seconds,
        "ext_expires_in": cloud.settings.token_seconds,
        "access_token": application_token(cloud, owner, application, resource),
    }


def application_token(cloud: Cloud, tenant: Tenant, application: Application, audience: str) -> str:
    """Sign an access token for an application: `roles` lists what it was granted."""
    return cloud.keys.sign(
        {
            "aud": audience,
            "iss": f"https://sts.windows.net/{tenant.id}/",
            **_times(cloud, cloud.settings.token_seconds),
            "appid": application.client_id,
            "appidacr": "1",
            "app_displayname": application.name,
            "idtyp": "app",
            "oid": _pairwise(application.client_id, tenant.id),
            "sub": _pairwise(application.client_id, tenant.id),
            "tid": tenant.id,
            "roles": list(cloud.granted(tenant, application)),
            "uti": cloud.new_secret(),
            "ver": "1.0",
        }
    )


def provisioning_token(cloud: Cloud, tenant: Tenant, **claims: Any) -> str:
    """Sign the token that the provisioning service sends when the secret is left blank; claims can be other."""
    return cloud.keys.sign(
        {
            "aud": "8adf8e6e-67b2-4cf2-a259-e3dc5476c621",
            "iss": f"https://sts.windows.net/{tenant.id}/",
            **_times(cloud, cloud.settings.token_seconds),
            "appid": "00000014-0000-0000-c000-000000000000",
            "appidacr": "2",
            "oid": _pairwise("provisioning", tenant.id),
            "sub": _pairwise("provisioning", tenant.id),
            "tid": tenant.id,
            "ver": "1.0",
            **claims,
        }
    )


def federated_assertion(cloud: Cloud, tenant: Tenant, appid: str, **claims: Any) -> str:
    """Sign the assertion of workload identity federation (RFC 7523), which the provisioning service sends."""
    issuer = f"{cloud.base_url}/{tenant.id}/v2.0"
    return cloud.keys.sign(
        {
            "aud": f"api://{appid}",
            "iss": issuer,
            **_times(cloud, 3900),
            "appid": appid,
            "appidacr": "2",
            "idp": issuer,
            "oid": _pairwise("federated", tenant.id),
            "sub": _pairwise("federated", tenant.id),
            "tid": tenant.id,
            "ver": "2.0",
            **claims,
        }
    )


def _times(cloud: Cloud, seconds: int) -> Claims:
    now = cloud.clock.machine_seconds()
    return {"iat": now, "nbf": now, "exp": now + seconds}


def _pairwise(one: str, other: str) -> str:
    """Make an id that is the same for a pair and says nothing of either."""
    digest = hashlib.sha256(f"{one} {other}".encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"


# ── Sign-in ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def authorize(cloud: Cloud, tenant: str, asked: Mapping[str, str]) -> Reply:
    """Show the sign-in page. Raises LoginError for what cannot be sent back to the application."""
    application = _checked(cloud, tenant, asked)
    people = [
        entry
        for owner in _tenants_of(cloud, tenant)
        for entry in owner.directory.live[Kind.USER].values()
        if entry.properties.get("accountEnabled") is not False
    ]
    hint = asked.get("login_hint", "").casefold()
    people.sort(key=lambda entry: entry.name.casefold() != hint)
    return Reply(200, _sign_in_page(application, people[:MOST_SHOWN], asked))


def sign_in(cloud: Cloud, tenant: str, asked: Mapping[str, str], form: Mapping[str, str]) -> Reply:
    """Take the choice on the sign-in page and send it back to the application."""
    application = _checked(cloud, tenant, asked)
    if "cancel" in form:
        return _back(asked, {"error": "access_denied", "error_description": "AADSTS65004: User declined to consent."})
    for owner in _tenants_of(cloud, tenant):
        try:
            user = owner.directory.user(form.get("user", ""))
        except DirectoryError:
            continue
        if user.properties.get("accountEnabled") is False:
            raise LoginError(50057, "access_denied", "The user account is disabled.")
        return _back(asked, {"code": _code(cloud, owner, user, application, asked)})
    raise LoginError(50034, "access_denied", "The user account does not exist in the directory.")


def _checked(cloud: Cloud, tenant: str, asked: Mapping[str, str]) -> Application:
    if tenant not in EVERY_TENANT:
        _tenant(cloud, tenant)
    application = cloud.applications.get(asked.get("client_id", ""))
    if application is None:
        raise _unknown_application(asked.get("client_id", ""), tenant)
    require_registered(application, asked.get("redirect_uri", ""))
    if asked.get("response_type", "code") != "code":
        raise LoginError(700054, "unsupported_response_type", "Only response_type 'code' is enabled.")
    if asked.get("code_challenge") and asked.get("code_challenge_method") != "S256":
        raise LoginError(501481, "invalid_request", "The code_challenge_method has to be S256.")
    return application


def require_registered(application: Application, redirect_uri: str) -> None:
    """Refuse an address to which nothing may be sent. Raises LoginError."""
    host = urlsplit(redirect_uri).hostname
    anywhere = not application.redirect_uris and host in ("localhost", "127.0.0.1", "::1")
    if not anywhere and redirect_uri not in application.redirect_uris:
        raise LoginError(
            50011,
            "invalid_request",
            f"The redirect URI '{redirect_uri}' specified in the request does not match the redirect URIs configured "
            f"for the application '{application.client_id}'.",
        )


def _tenants_of(cloud: Cloud, tenant: str) -> list[Tenant]:
    return list(cloud.tenants.values()) if tenant in EVERY_TENANT else [_tenant(cloud, tenant)]


def _code(cloud: Cloud, tenant: Tenant, user: Entry, application: Application, asked: Mapping[str, str]) -> str:
    code = cloud.new_secret()
    cloud.sign_ins[code] = SignIn(
        tenant_id=tenant.id,
        user_id=user.id,
        client_id=application.client_id,
        redirect_uri=asked.get("redirect_uri", ""),
        scope=asked.get("scope", "openid"),
        nonce=asked.get("nonce"),
        challenge=asked.get("code_challenge"),
        expires=cloud.clock.machine_seconds() + CODE_SECONDS,
    )
    return code


def _back(asked: Mapping[str, str], answer: dict[str, str]) -> Reply:
    """Send an answer to the application: in the address, or by a form that sends itself."""
    if "state" in asked:
        answer = {**answer, "state": asked["state"]}
    redirect_uri = asked["redirect_uri"]
    if asked.get("response_mode") == "form_post":
        fields = "".join(f'<input type="hidden" name="{name}" value="{html.escape(answer[name])}">' for name in answer)
        form = f'<form method="post" action="{html.escape(redirect_uri)}">{fields}<button>Continue</button></form>'
        return Reply(200, _page("Continue", form + "<script>document.forms[0].submit()</script>"))
    return Reply(302, location=with_query(redirect_uri, answer))


def _authorization_code(cloud: Cloud, tenant: str, application: Application, form: Mapping[str, str]) -> JsonObject:
    found = cloud.sign_ins.pop(form.get("code", ""), None)
    if found is None or found.client_id != application.client_id or found.redirect_uri != form.get("redirect_uri"):
        raise LoginError(54005, "invalid_grant", "The authorization code was already redeemed, or is not yours.")
    if found.expires < cloud.clock.machine_seconds():
        raise LoginError(70008, "invalid_grant", "The provided authorization code has expired.")
    verifier = form.get("code_verifier", "")
    if found.challenge and encoded(hashlib.sha256(verifier.encode()).digest()) != found.challenge:
        raise LoginError(501481, "invalid_grant", "The Code_Verifier does not match the code_challenge.")
    owner = cloud.tenants[found.tenant_id]
    user = owner.directory.live[Kind.USER].get(found.user_id)
    if user is None:
        raise LoginError(50034, "invalid_grant", "The user account does not exist in the directory.")
    client_info = {"uid": user.id, "utid": owner.id}
    return {
        "token_type": "Bearer",
        "scope": found.scope,
        "expires_in": cloud.settings.token_seconds,
        "ext_expires_in": cloud.settings.token_seconds,
        "access_token": _user_token(cloud, owner, user, application, found.scope),
        "id_token": _id_token(cloud, owner, user, application, found),
        "client_info": encoded(orjson.dumps(client_info)),
    }


def _id_token(cloud: Cloud, tenant: Tenant, user: Entry, application: Application, sign_in: SignIn) -> str:
    claims: Claims = {
        "aud": application.client_id,
        "iss": f"{cloud.base_url}/{tenant.id}/v2.0",
        **_times(cloud, 3600),
        "oid": user.id,
        "sub": _pairwise(user.id, application.client_id),
        "tid": tenant.id,
        "uti": cloud.new_secret(),
        "ver": "2.0",
    }
    scopes = sign_in.scope.split()
    if "profile" in scopes:
        claims |= {"name": user.value("displayName"), "preferred_username": user.value("userPrincipalName")}
    if "email" in scopes and user.value("mail"):
        claims["email"] = user.value("mail")
    if sign_in.nonce is not None:
        claims["nonce"] = sign_in.nonce
    if cloud.settings.wids is not None:
        claims["wids"] = list(cloud.settings.wids)
    return cloud.keys.sign(claims)


def _user_token(cloud: Cloud, tenant: Tenant, user: Entry, application: Application, scope: str) -> str:
    return cloud.keys.sign(
        {
            "aud": "00000003-0000-0000-c000-000000000000",
            "iss": f"https://sts.windows.net/{tenant.id}/",
            **_times(cloud, cloud.settings.token_seconds),
            "appid": application.client_id,
            "oid": user.id,
            "scp": scope,
            "sub": _pairwise(user.id, "graph"),
            "tid": tenant.id,
            "ver": "1.0",
        }
    )


# ── Admin consent ────────────────────────────────────────────────────────────────────────────────────────────────────


def admin_consent(cloud: Cloud, tenant: str, asked: Mapping[str, str], answer: str | None = None) -> Reply:
    """Ask the administrator, or answer for them as the settings say, and send the answer back.

    `admin_consent=True` is in both answers, as Entra does it: only `error` tells them apart.
    """
    if tenant in ("common", "consumers"):
        raise LoginError(90000, "invalid_request", "The address needs a tenant or 'organizations'.")
    owner = cloud.tenant() if tenant == "organizations" else _tenant(cloud, tenant)
    application = cloud.applications.get(asked.get("client_id", ""))
    if application is None:
        raise _unknown_application(asked.get("client_id", ""), tenant)
    require_registered(application, asked.get("redirect_uri", ""))
    if not asked.get("scope", "").endswith("/.default"):
        raise LoginError(70011, "invalid_scope", "The scope has to end in /.default for application permissions.")
    answer = answer or cloud.settings.consent
    if answer == "page":
        return Reply(200, _consent_page(owner, application))
    if answer != "grant":
        declined = {
            "error": "consent_required",
            "error_description": "AADSTS65004: The resource owner or authorization server denied the request.",
        }
        return _consented(asked, declined)
    cloud.consent(owner, application)
    return _consented(asked, {"tenant": owner.id, "scope": asked["scope"]})


def _consented(asked: Mapping[str, str], answer: dict[str, str]) -> Reply:
    state = {"state": asked["state"]} if "state" in asked else {}
    return Reply(302, location=with_query(asked["redirect_uri"], {"admin_consent": "True", **answer, **state}))


def with_query(address: str, answer: Mapping[str, str]) -> str:
    """Put an answer into the query of an address."""
    return f"{address}{'&' if '?' in address else '?'}{urlencode(answer)}"


# ── Pages ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _page(title: str, body: str) -> str:
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
    style = "body{font-family:sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}button{margin:.25rem 0}"
    return f"{head}<style>{style}</style></head><body><h1>{html.escape(title)}</h1>{body}</body></html>"


def _sign_in_page(application: Application, people: list[Entry], asked: Mapping[str, str]) -> str:
    rows = "".join(
        f'<li><button name="user" value="{html.escape(entry.name)}">'
        f"{html.escape(str(entry.value('displayName')))} – {html.escape(entry.name)}</button></li>"
        for entry in people
    )
    cancel = '<button name="cancel" value="1">Cancel</button>'
    form = (
        f"<p>Choose an account to continue to {html.escape(application.name)}.</p>"
        f'<form method="post" action="?{html.escape(urlencode(asked))}"><ul>{rows}</ul>{cancel}</form>'
    )
    return _page("Sign in (simulated)", form)


def _consent_page(tenant: Tenant, application: Application) -> str:
    asked = "".join(f"<li>{html.escape(permission)}</li>" for permission in application.permissions)
    form = (
        f"<p>{html.escape(application.name)} asks {html.escape(tenant.directory.name)} for:</p><ul>{asked}</ul>"
        '<form method="post"><button name="answer" value="grant">Accept</button> '
        '<button name="answer" value="deny">Cancel</button></form>'
    )
    return _page("Permissions requested (simulated)", form)


def error_page(error: LoginError) -> str:
    """Show a refusal to whoever sits before the browser."""
    return _page("Sorry, but we’re having trouble signing you in.", f"<p>{html.escape(error.description)}</p>")
