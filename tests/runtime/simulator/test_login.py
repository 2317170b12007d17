"""Tokens, keys, consent and sign-in as the fact sheet has them in 4.3, 4.4, 8.15 and 8.16."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import re
import time
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msal
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jose import jwt

from tests.runtime.simulator.rounds import ok
from tests.simulator import EntraTenant, PlainHttp

BACK = "http://localhost:9/back"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture
def browser(contoso: EntraTenant) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=contoso.entra.url, timeout=30) as client:
        yield client


def claims_of(contoso: EntraTenant, token: str, audience: str) -> dict[str, Any]:
    """Read a token as the product will: by the published key that it names, one algorithm, all claims required."""
    published = httpx.get(f"{contoso.entra.url}/{contoso.id}/discovery/v2.0/keys").json()["keys"]
    [key] = [key for key in published if key["kid"] == jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=["RS256"], audience=audience)
    return claims


def sent_back(answer: httpx.Response) -> dict[str, str]:
    """Read what a redirect tells the application."""
    assert 302 == answer.status_code, answer.text
    assert answer.headers["Location"].startswith(BACK)
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    return {name: values[0] for name, values in query.items()}


# ── Application tokens (8.16) ───────────────────────────────────────────────────────────────────────────────────────


def test_token_by_secret(contoso: EntraTenant) -> None:
    """The answer has the literal form, and the token lists what was granted."""
    answer = contoso.entra.token(contoso.id)

    body = ok(answer)
    token = body.pop("access_token")
    assert {"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599} == body
    claims = claims_of(contoso, token, contoso.entra.url)
    assert (contoso.id, contoso.entra.client_id) == (claims["tid"], claims["appid"])
    assert ["User.Read.All", "Group.Read.All"] == claims["roles"]


@pytest.mark.parametrize(
    ("change", "status", "number"),
    [
        ({"client_secret": "wrong"}, 401, 7000215),
        ({"client_secret": ""}, 401, 7000218),
        ({"client_id": "unknown"}, 400, 700016),
        ({"scope": "User.Read"}, 400, 1002012),
        ({"scope": "https://elsewhere.example/.default"}, 400, 500011),
        ({"grant_type": "password"}, 400, 70003),
    ],
)
def test_refused_tokens(contoso: EntraTenant, change: dict[str, str], status: int, number: int) -> None:
    """A refusal has OAuth's error and Entra's number."""
    answer = contoso.entra.token(contoso.id, **change)

    body = answer.json()
    assert (status, [number]) == (answer.status_code, body["error_codes"])
    assert body["error_description"].startswith(f"AADSTS{number}: ")


def test_tenants_without_consent_and_unknown_ones(contoso: EntraTenant) -> None:
    """Without consent the application is not there; without a tenant nothing is."""
    contoso.do("revoke_consent", client_id=contoso.entra.client_id)

    assert [700016] == contoso.entra.token(contoso.id).json()["error_codes"]
    assert [90002] == contoso.entra.token(str(uuid.uuid4())).json()["error_codes"]
    assert [50194] == contoso.entra.token("common").json()["error_codes"]


def test_tenant_by_domain(contoso: EntraTenant) -> None:
    """A domain is as good as an id, and the token says the id."""
    token = contoso.entra.access_token(contoso.domain)

    assert contoso.id == claims_of(contoso, token, contoso.entra.url)["tid"]


@pytest.mark.parametrize("scope", ["https://graph.microsoft.com/.default", "https://graph.microsoft.us/.default"])
def test_scopes_of_the_clouds(contoso: EntraTenant, scope: str) -> None:
    """A token for any Graph opens this one."""
    token = contoso.entra.access_token(contoso.id, scope=scope)

    with contoso.entra.graph(token=token) as graph:
        assert 200 == graph.get("/users").status_code


# ── Certificates and msal ───────────────────────────────────────────────────────────────────────────────────────────


class Identity:
    """A key and its self-signed certificate, both as PEM."""

    def __init__(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "scim-server")])
        begin = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .issuer_name(name)
            .subject_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + dt.timedelta(days=36500))
            .sign(key, hashes.SHA256())
        )
        self.private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM).decode()
        self.thumbprint = certificate.fingerprint(hashes.SHA1()).hex()
        self.sha256 = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def identity() -> Identity:
    return Identity()


def msal_application(contoso: EntraTenant, credential: Any, client_id: str) -> msal.ConfidentialClientApplication:
    secure = contoso.entra.url.replace("http://", "https://")
    return msal.ConfidentialClientApplication(
        client_id,
        client_credential=credential,
        authority=f"{secure}/{contoso.id}",
        http_client=PlainHttp(contoso.entra.url),
        instance_discovery=False,
    )


@pytest.fixture
def certified(contoso: EntraTenant, identity: Identity) -> str:
    """The client id of an application with a certificate and no secret."""
    made = contoso.entra.do("register_application", permissions=["User.Read.All"], certificates=[identity.certificate])
    client_id = str(made["client_id"])
    contoso.do("grant_consent", client_id=client_id)
    return client_id


def test_msal_by_secret(contoso: EntraTenant) -> None:
    """msal gets a token over plain http by way of its `http_client`, and keeps it."""
    application = msal_application(contoso, contoso.entra.client_secret, contoso.entra.client_id)
    scopes = [f"{contoso.entra.url}/.default"]

    first, again = application.acquire_token_for_client(scopes), application.acquire_token_for_client(scopes)

    assert ("identity_provider", "cache") == (first["token_source"], again["token_source"])
    with contoso.entra.graph(token=first["access_token"]) as graph:
        assert 200 == graph.get("/groups").status_code


def test_msal_says_what_is_wrong(contoso: EntraTenant) -> None:
    """A refusal reaches the caller of msal as it was sent."""
    application = msal_application(contoso, "wrong", contoso.entra.client_id)

    result = application.acquire_token_for_client([f"{contoso.entra.url}/.default"])

    assert "invalid_client" == result["error"]
    assert result["error_description"].startswith("AADSTS7000215")


@pytest.mark.parametrize("hashed_by", ["sha1", "sha256"])
def test_msal_by_certificate(contoso: EntraTenant, certified: str, identity: Identity, hashed_by: str) -> None:
    """With the old thumbprint (RS256, x5t) and with the new one (PS256, x5t#S256)."""
    proof = {"thumbprint": identity.thumbprint} if hashed_by == "sha1" else {"public_certificate": identity.certificate}
    application = msal_application(contoso, {"private_key": identity.private, **proof}, certified)

    result = application.acquire_token_for_client([f"{contoso.entra.url}/.default"])

    assert "error" not in result, result
    assert ["User.Read.All"] == claims_of(contoso, result["access_token"], contoso.entra.url)["roles"]


@pytest.mark.parametrize(
    ("claims", "by_other_key"),
    [({"aud": "https://elsewhere.example"}, False), ({"sub": "x"}, False), ({"exp": 1}, False), ({}, True)],
)
def test_wrong_assertions_are_refused(
    contoso: EntraTenant, certified: str, identity: Identity, claims: dict[str, Any], by_other_key: bool
) -> None:
    """Audience, subject, time and signature are all looked at."""
    now = int(time.time())
    audience = f"{contoso.entra.url}/{contoso.id}/oauth2/v2.0/token"
    base = {"aud": audience, "iss": certified, "sub": certified, "jti": "1", "nbf": now, "exp": now + 300}
    key = Identity().private if by_other_key else identity.private

    def ask(assertion: str) -> httpx.Response:
        proof = {"client_assertion_type": JWT_BEARER, "client_assertion": assertion}
        return contoso.entra.token(contoso.id, client_id=certified, client_secret="", **proof)

    headers = {"x5t#S256": identity.sha256}
    right = jwt.encode(base, identity.private, algorithm="RS256", headers=headers)
    wrong = jwt.encode({**base, **claims}, key, algorithm="RS256", headers=headers)

    assert 200 == ask(right).status_code
    answer = ask(wrong)
    assert (401, [700027]) == (answer.status_code, answer.json()["error_codes"])
    assert 401 == ask("nonsense").status_code


# ── Discovery and keys ──────────────────────────────────────────────────────────────────────────────────────────────


def test_discovery_documents(contoso: EntraTenant, browser: httpx.Client) -> None:
    """Of a tenant, of all tenants, the older one, and the question whether this host is an authority."""
    url = contoso.entra.url
    of_tenant = ok(browser.get(f"/{contoso.id}/v2.0/.well-known/openid-configuration"))
    of_all = ok(browser.get("/organizations/v2.0/.well-known/openid-configuration"))
    older = ok(browser.get(f"/{contoso.id}/.well-known/openid-configuration"))
    instance = ok(browser.get("/common/discovery/instance?api-version=1.1"))

    assert f"{url}/{contoso.id}/v2.0" == of_tenant["issuer"]
    assert f"{url}/{contoso.id}/oauth2/v2.0/token" == of_tenant["token_endpoint"]
    assert f"{url}/{{tenantid}}/v2.0" == of_all["issuer"]
    assert f"https://sts.windows.net/{contoso.id}/" == older["issuer"]
    assert f"{url}/common/v2.0/.well-known/openid-configuration" == instance["tenant_discovery_endpoint"]
    [of_tenant_keys, older_keys] = [ok(browser.get(each["jwks_uri"])) for each in (of_tenant, older)]
    assert of_tenant_keys["keys"][0]["kid"] == older_keys["keys"][0]["kid"]
    assert 400 == browser.get("/nowhere/v2.0/.well-known/openid-configuration").status_code


def test_keys_are_rotated(contoso: EntraTenant, browser: httpx.Client) -> None:
    """The new key signs, the old one stays published; then the old one is gone."""
    before = contoso.entra.access_token(contoso.id)

    contoso.entra.do("rotate_keys")
    after = contoso.entra.access_token(contoso.id)

    kids = [key["kid"] for key in browser.get("/common/discovery/v2.0/keys").json()["keys"]]
    assert jwt.get_unverified_header(after)["kid"] == kids[-1]
    assert jwt.get_unverified_header(before)["kid"] in kids
    contoso.entra.do("rotate_keys", keep_old=False)
    with contoso.entra.graph(token=after) as graph:
        assert 401 == graph.get("/users").status_code


def test_tokens_of_the_provisioning_service(contoso: EntraTenant) -> None:
    """What comes when the secret is left blank (4.4), and the assertion of workload identity federation (4.3)."""
    blank = contoso.do("mint_token")["token"]
    federated = contoso.do("mint_token", kind="federated", appid="b5ba7a93", claims={"sub": "chosen"})["token"]

    claims = claims_of(contoso, blank, "8adf8e6e-67b2-4cf2-a259-e3dc5476c621")
    assert f"https://sts.windows.net/{contoso.id}/" == claims["iss"]
    assert ("00000014-0000-0000-c000-000000000000", "2") == (claims["appid"], claims["appidacr"])
    claims = claims_of(contoso, federated, "api://b5ba7a93")
    assert (f"{contoso.entra.url}/{contoso.id}/v2.0", "chosen") == (claims["iss"], claims["sub"])
    assert 3900 == claims["exp"] - claims["iat"]


# ── Admin consent (8.15) ────────────────────────────────────────────────────────────────────────────────────────────


def consent_query(contoso: EntraTenant, **changes: str) -> dict[str, str]:
    asked = {
        "client_id": contoso.entra.client_id,
        "scope": "https://graph.microsoft.com/.default",
        "redirect_uri": BACK,
        "state": "csrf and tenant",
    }
    return {**asked, **changes}


def test_consent_is_given(contoso: EntraTenant, browser: httpx.Client) -> None:
    """The redirect says so, and from then on there are tokens."""
    contoso.do("revoke_consent", client_id=contoso.entra.client_id)

    told = sent_back(browser.get(f"/{contoso.id}/v2.0/adminconsent", params=consent_query(contoso)))

    assert {
        "admin_consent": "True",
        "tenant": contoso.id,
        "scope": "https://graph.microsoft.com/.default",
        "state": "csrf and tenant",
    } == told
    assert 200 == contoso.entra.token(contoso.id).status_code


def test_permissions_arrive_late(contoso: EntraTenant, browser: httpx.Client) -> None:
    """For a while after the consent a token is given, and opens nothing."""
    contoso.do("revoke_consent", client_id=contoso.entra.client_id)
    contoso.entra.do("settings", roles_after_seconds=60)
    browser.get(f"/{contoso.id}/v2.0/adminconsent", params=consent_query(contoso))

    with contoso.graph() as graph:
        assert 403 == graph.get("/users").status_code
    contoso.entra.do("advance_clock", seconds=61)
    with contoso.graph() as graph:
        assert 200 == graph.get("/users").status_code


def test_consent_is_refused(contoso: EntraTenant, browser: httpx.Client) -> None:
    """`admin_consent=True` is in the answer all the same: only `error` tells."""
    contoso.do("revoke_consent", client_id=contoso.entra.client_id)
    contoso.entra.do("settings", consent="deny")

    told = sent_back(browser.get(f"/{contoso.id}/v2.0/adminconsent", params=consent_query(contoso)))

    assert ("True", "consent_required") == (told["admin_consent"], told["error"])
    assert told["error_description"].startswith("AADSTS65004")
    assert ("csrf and tenant", False) == (told["state"], "tenant" in told)
    assert 400 == contoso.entra.token(contoso.id).status_code


def test_consent_page_asks(contoso: EntraTenant, browser: httpx.Client) -> None:
    """A person may be asked: the page names what is wanted, and takes yes and no."""
    contoso.entra.do("settings", consent="page")
    address = f"/{contoso.id}/v2.0/adminconsent"

    page = browser.get(address, params=consent_query(contoso))
    yes = sent_back(browser.post(address, params=consent_query(contoso), data={"answer": "grant"}))
    no = sent_back(browser.post(address, params=consent_query(contoso), data={"answer": "deny"}))

    assert "User.Read.All" in page.text
    assert (contoso.id, "consent_required") == (yes["tenant"], no["error"])


@pytest.mark.parametrize(
    ("change", "tenant"),
    [
        ({"redirect_uri": "https://attacker.example/"}, ""),
        ({"client_id": "unknown"}, ""),
        ({"scope": "User.Read"}, ""),
        ({}, "common"),
        ({}, "unknown.example"),
    ],
)
def test_consent_that_cannot_be_asked_for(
    contoso: EntraTenant, browser: httpx.Client, change: dict[str, str], tenant: str
) -> None:
    """Nothing is sent to an address that nobody has registered: the refusal is a page."""
    answer = browser.get(f"/{tenant or contoso.id}/v2.0/adminconsent", params=consent_query(contoso, **change))

    assert 400 == answer.status_code
    assert "AADSTS" in answer.text


# ── Sign-in ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def verifier_and_challenge() -> tuple[str, str]:
    verifier = "a" * 50
    digest = hashlib.sha256(verifier.encode()).digest()
    return verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def sign_in_query(contoso: EntraTenant, **changes: str) -> dict[str, str]:
    asked = {
        "client_id": contoso.entra.client_id,
        "response_type": "code",
        "redirect_uri": BACK,
        "scope": "openid profile email",
        "state": "my state",
        "nonce": "my nonce",
        "code_challenge": verifier_and_challenge()[1],
        "code_challenge_method": "S256",
    }
    return {**asked, **changes}


def redeem(contoso: EntraTenant, code: str, **changes: str) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": BACK,
        "code_verifier": verifier_and_challenge()[0],
    }
    return contoso.entra.token(contoso.id, **{**form, **changes})


def test_person_signs_in(contoso: EntraTenant, browser: httpx.Client) -> None:
    """The page offers the accounts; the code is redeemed once; the id token says who it is."""
    ada = contoso.user("ada", displayName="Ada <Lovelace>", mail="ada@mail.example")
    address = f"/{contoso.id}/oauth2/v2.0/authorize"

    page = browser.get(address, params=sign_in_query(contoso))
    told = sent_back(browser.post(address, params=sign_in_query(contoso), data={"user": f"ada@{contoso.domain}"}))
    tokens = ok(redeem(contoso, told["code"]))

    assert "Ada &lt;Lovelace&gt;" in page.text
    assert "my state" == told["state"]
    claims = claims_of(contoso, tokens["id_token"], contoso.entra.client_id)
    assert f"{contoso.entra.url}/{contoso.id}/v2.0" == claims["iss"]
    assert (ada, contoso.id, "my nonce") == (claims["oid"], claims["tid"], claims["nonce"])
    assert ("Ada <Lovelace>", f"ada@{contoso.domain}") == (claims["name"], claims["preferred_username"])
    assert "ada@mail.example" == claims["email"]
    assert [54005] == redeem(contoso, told["code"]).json()["error_codes"]


def test_form_of_the_page_can_be_sent(contoso: EntraTenant, browser: httpx.Client) -> None:
    """What a browser would do with the page leads back to the application."""
    contoso.user("ada")
    page = browser.get(f"/{contoso.id}/oauth2/v2.0/authorize", params=sign_in_query(contoso))
    [action] = re.findall(r'action="(\?[^"]+)"', page.text)
    [user] = re.findall(r'name="user" value="([^"]+)"', page.text)

    answer = browser.post(page.url.join(action.replace("&amp;", "&")), data={"user": user})

    assert {"code", "state"} == set(sent_back(answer))


@pytest.mark.parametrize("change", [{"code_verifier": "b" * 50}, {"redirect_uri": "http://localhost:9/x"}])
def test_code_is_bound(contoso: EntraTenant, browser: httpx.Client, change: dict[str, str]) -> None:
    """To the verifier and to the address."""
    contoso.user("ada")
    answer = browser.post(
        f"/{contoso.id}/oauth2/v2.0/authorize",
        params=sign_in_query(contoso),
        data={"user": f"ada@{contoso.domain}"},
    )

    refused = redeem(contoso, sent_back(answer)["code"], **change)

    assert (400, "invalid_grant") == (refused.status_code, refused.json()["error"])


def test_sign_in_is_refused(contoso: EntraTenant, browser: httpx.Client) -> None:
    """Who cancels comes back with an error; who is disabled or unknown does not get back at all."""
    contoso.user("eve", accountEnabled=False)
    address = f"/{contoso.id}/oauth2/v2.0/authorize"

    def choose(**form: str) -> httpx.Response:
        return browser.post(address, params=sign_in_query(contoso), data=form)

    assert "access_denied" == sent_back(choose(cancel="1"))["error"]
    assert "AADSTS50057" in choose(user=f"eve@{contoso.domain}").text
    assert "AADSTS50034" in choose(user="nobody").text
    assert f"eve@{contoso.domain}" not in browser.get(address, params=sign_in_query(contoso)).text
    attacked = sign_in_query(contoso, redirect_uri="https://attacker.example")
    assert "AADSTS50011" in browser.get(address, params=attacked).text


def test_registered_addresses_are_exact(contoso: EntraTenant, browser: httpx.Client) -> None:
    """Once an application has registered addresses, no other is taken."""
    made = contoso.entra.do("register_application", secrets=["s"], redirect_uris=[BACK])
    asked = sign_in_query(contoso, client_id=str(made["client_id"]))
    address = "/organizations/oauth2/v2.0/authorize"

    assert 200 == browser.get(address, params=asked).status_code
    assert 400 == browser.get(address, params={**asked, "redirect_uri": f"{BACK}/more"}).status_code


def test_msal_signs_in(contoso: EntraTenant, browser: httpx.Client) -> None:
    """The flow of msal, from its address to its result, with PKCE and nonce."""
    ada = contoso.user("ada")
    application = msal_application(contoso, contoso.entra.client_secret, contoso.entra.client_id)
    flow = application.initiate_auth_code_flow(scopes=[], redirect_uri=BACK, response_mode="form_post")
    plain = flow["auth_uri"].replace("https://", "http://")

    page = browser.post(plain, data={"user": f"ada@{contoso.domain}"})
    told = dict(re.findall(r'name="(\w+)" value="([^"]+)"', page.text))
    result = application.acquire_token_by_auth_code_flow(flow, told)

    assert (ada, contoso.id) == (result["id_token_claims"]["oid"], result["id_token_claims"]["tid"])
    assert f"{ada}.{contoso.id}" == application.get_accounts()[0]["home_account_id"]


def test_answer_by_form(contoso: EntraTenant, browser: httpx.Client) -> None:
    """`response_mode=form_post` gives a page that sends itself."""
    contoso.user("ada")
    query = sign_in_query(contoso, response_mode="form_post")

    page = browser.post(f"/{contoso.id}/oauth2/v2.0/authorize", params=query, data={"user": f"ada@{contoso.domain}"})

    assert f'action="{BACK}"' in page.text
    assert 'name="state" value="my state"' in page.text
    [code] = re.findall(r'name="code" value="([^"]+)"', page.text)
    assert 200 == redeem(contoso, code).status_code


def test_sign_out(contoso: EntraTenant, browser: httpx.Client) -> None:
    """The browser is sent back where the application says."""
    answer = browser.get(f"/{contoso.id}/oauth2/v2.0/logout", params={"post_logout_redirect_uri": BACK})

    assert (302, BACK) == (answer.status_code, answer.headers["Location"])


def test_errors_are_documents_for_programs(contoso: EntraTenant) -> None:
    """All members that Entra's errors have."""
    body = json.loads(contoso.entra.token(contoso.id, client_secret="wrong").text)

    assert {
        *("error", "error_description", "error_codes", "timestamp", "trace_id", "correlation_id", "error_uri"),
    } == set(body)
