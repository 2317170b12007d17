"""Sign-in with Microsoft: only a good id token of the sign-in that began in this browser says who it is."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from app_core import clock
from app_core.errors import SignInRefused
from app_core.ports import Flow, Identity
from graph_fallback.id_tokens import BadIdToken, IdTokens
from graph_fallback.sign_in import MicrosoftSignIn
from graph_fallback.tokens import ClientCertificate, ClientSecret, Login
from runtime.simulator.tokens import Keys, encoded
from tests.graph_fallback.loopback import CLIENT_ID, DIRECTORY, OTHER_DIRECTORY, SECRET, Asked, Entra, Reply, sts_error
from tests.graph_fallback.test_tokens import a_certificate
from tests.simulator import Entra as Simulator
from tests.simulator import simulated

T = TypeVar("T")
Claims = dict[str, Any]

BACK = "http://127.0.0.1:8000/console/sign-in/microsoft"
ADA = "dddddddd-0000-4000-8000-00000000000A"
CODE = "a-code-Zq81LmX0"


def signing_in(entra: Entra | Simulator, use: Callable[[MicrosoftSignIn], Awaitable[T]], credential: Any = None) -> T:
    """Do something with the sign-in of an application that this login knows."""
    client_id, secret = (CLIENT_ID, SECRET) if isinstance(entra, Entra) else (entra.client_id, entra.client_secret)

    async def main() -> T:
        sign_in = MicrosoftSignIn(client_id, credential or ClientSecret(secret), login_url=entra.url)
        try:
            return await use(sign_in)
        finally:
            await sign_in.close()

    return asyncio.run(main())


def asked_of(flow: Flow) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(flow.url).query))


# A login that signs what a test wants -------------------------------------------------------------------------------


MEMBER_ROLE = "b79fbf4d-3ef9-4689-8143-76b194e85509"
"""What `wids` holds for whoever has no other role."""


class Issuer(Entra):
    """A login that gives id tokens for the last sign-in, with whatever claims."""

    def __init__(self) -> None:
        self.keys = Keys()
        self.published: Callable[[Claims], Claims] = lambda key_set: key_set
        self.reads = 0
        self.asked_for: dict[str, str] = {}
        self.changes: Claims = {}
        self.sign: Callable[[Claims], str] = self.keys.sign
        self.given = ""
        super().__init__()
        self.token = self.redeem

    def answer(self, asked: Asked) -> Reply:
        if asked.path.endswith("/discovery/v2.0/keys"):
            self.reads += 1
            return Reply(200, self.published(self.keys.published(f"{self.url}/{{tenantid}}/v2.0")))
        return super().answer(asked)

    def configuration(self, asked: Asked) -> Reply:
        known = super().configuration(asked).body
        keys_at = f"{self.url}/organizations/discovery/v2.0/keys"
        return Reply(200, {**known, "issuer": f"{self.url}/{{tenantid}}/v2.0", "jwks_uri": keys_at})

    def redeem(self, asked: Asked) -> Reply:
        now = clock.milliseconds() // 1000
        claims: Claims = {"aud": CLIENT_ID, "iss": f"{self.url}/{DIRECTORY}/v2.0", "tid": DIRECTORY, "oid": ADA}
        claims |= {"iat": now, "nbf": now, "exp": now + 3600, "nonce": self.asked_for["nonce"], "sub": "x"}
        claims |= {"name": "Ada Lovelace", "preferred_username": "ada@contoso.com", **self.changes}
        self.given = self.sign({name: value for name, value in claims.items() if value is not None})
        return Reply(200, {"token_type": "Bearer", "expires_in": 3599, "access_token": "at", "id_token": self.given})


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    running = Issuer()
    try:
        yield running
    finally:
        running.close()


async def round_trip(sign_in: MicrosoftSignIn, issuer: Issuer, **changes: str) -> Identity:
    """Begin, and come back with a code."""
    flow = await sign_in.begin(BACK)
    issuer.asked_for = asked_of(flow)
    back = {"code": CODE, "state": issuer.asked_for["state"], "session_state": "s", **changes}
    return await sign_in.finish(flow.private, back)


def identified(issuer: Issuer, credential: Any = None) -> Identity:
    return signing_in(issuer, lambda sign_in: round_trip(sign_in, issuer), credential)


def test_whoever_has_a_good_token_is_who_it_says(issuer: Issuer) -> None:
    """Ids in lower case; the code is redeemed with the verifier of the challenge, and with our secret."""
    assert Identity(DIRECTORY, ADA.lower(), "Ada Lovelace", "ada@contoso.com") == identified(issuer)

    [asked] = issuer.token_requests
    challenge = encoded(hashlib.sha256(asked.form["code_verifier"].encode()).digest())
    assert (issuer.asked_for["code_challenge"], "S256") == (challenge, issuer.asked_for["code_challenge_method"])
    assert ("authorization_code", CODE, BACK, SECRET) == (
        asked.form["grant_type"],
        asked.form["code"],
        asked.form["redirect_uri"],
        asked.form["client_secret"],
    )


@pytest.mark.parametrize(
    ("wids", "administrator"),
    [
        (None, None),
        ("62e90394-69f5-4237-9190-012177145e10", None),
        ([], False),
        ([MEMBER_ROLE, 7], False),
        ([MEMBER_ROLE, "62E90394-69F5-4237-9190-012177145E10"], True),
        (["158c047a-c907-4556-b7ef-446551a6b5f7"], True),
    ],
)
def test_directory_roles_say_who_administers(issuer: Issuer, wids: object, administrator: bool | None) -> None:
    """Where the token does not name roles nothing is known of them."""
    issuer.changes = {"wids": wids}

    assert administrator is identified(issuer).administrator


def test_the_address_of_a_sign_in(issuer: Issuer) -> None:
    """Any directory, by code and PKCE; the return is a GET, so that our cookies come with it; nothing private is in it."""

    async def begun(sign_in: MicrosoftSignIn) -> list[Flow]:
        plain = await sign_in.begin(BACK)
        return [plain, await sign_in.begin(BACK, prompt="select_account", domain_hint="contoso.com")]

    plain, other = signing_in(issuer, begun)

    assert plain.url.startswith(f"{issuer.url}/organizations/oauth2/v2.0/authorize?")
    asked, private = asked_of(plain), json.loads(plain.private)
    assert {
        "client_id": CLIENT_ID,
        "response_type": "code",
        "response_mode": "query",
        "redirect_uri": BACK,
    }.items() <= (asked.items())
    assert {"openid", "profile"} == set(asked["scope"].split())
    assert "prompt" not in asked
    assert ("select_account", "contoso.com") == (asked_of(other)["prompt"], asked_of(other)["domain_hint"])
    assert not [hidden for hidden in (private["code_verifier"], private["nonce"]) if hidden in plain.url]
    assert not [each for each in ("state", "nonce", "code_challenge") if asked[each] == asked_of(other)[each]]
    assert private["state"] not in repr(plain)


def test_a_certificate_proves_us_as_well(issuer: Issuer) -> None:
    """The code is redeemed with an assertion in place of the secret."""
    assert identified(issuer, ClientCertificate(a_certificate()[2])).tid == DIRECTORY

    assert "client_assertion" in issuer.token_requests[0].form


def unsigned(issuer: Issuer) -> Callable[[Claims], str]:
    """Say that no signature is needed."""
    head = encoded(json.dumps({"alg": "none", "typ": "JWT", "kid": issuer.keys.keys[0].id}).encode())
    return lambda claims: f"{head}.{encoded(json.dumps(claims).encode())}."


def by_another_key(issuer: Issuer) -> Callable[[Claims], str]:
    """Sign with a key of one's own under the name of theirs."""
    own = Keys()
    own.keys[0].id = issuer.keys.keys[0].id
    return own.sign


def by_their_public_key(issuer: Issuer) -> Callable[[Claims], str]:
    """Take what everybody can read for a shared secret."""
    key = issuer.keys.keys[0]
    secret = base64.urlsafe_b64decode(key.n + "=" * (-len(key.n) % 4))

    def sign(claims: Claims) -> str:
        head = encoded(json.dumps({"alg": "HS256", "typ": "JWT", "kid": key.id}).encode())
        text = f"{head}.{encoded(json.dumps(claims).encode())}"
        return f"{text}.{encoded(hmac.digest(secret, text.encode(), 'sha256'))}"

    return sign


def changed_afterwards(issuer: Issuer) -> Callable[[Claims], str]:
    """Put other claims under a signature."""

    def sign(claims: Claims) -> str:
        head, _, signature = issuer.keys.sign(claims).split(".")
        return f"{head}.{encoded(json.dumps({**claims, 'oid': str(uuid.uuid4())}).encode())}.{signature}"

    return sign


FORGERIES: dict[str, Callable[[Issuer], Callable[[Claims], str]]] = {
    "unsigned": unsigned,
    "another key": by_another_key,
    "unknown key": lambda _: Keys().sign,
    "public key as secret": by_their_public_key,
    "changed": changed_afterwards,
    "no token": lambda _: lambda claims: "x.y",
    "too long": lambda issuer: lambda claims: issuer.keys.sign({**claims, "more": "x" * 20_000}),
}


@pytest.mark.parametrize("how", FORGERIES)
def test_a_forged_token_is_not_taken(issuer: Issuer, how: str) -> None:
    """Whatever it says."""
    issuer.sign = FORGERIES[how](issuer)

    with pytest.raises(SignInRefused, match="does not prove"):
        identified(issuer)
    assert issuer.token_requests


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "another-application"},
        {"aud": None},
        {"tid": OTHER_DIRECTORY},
        {"iss": "https://login.example/{tenantid}/v2.0"},
        {"iss": None},
        {"tid": None},
        {"tid": "contoso.com"},
        {"oid": None},
        {"oid": "ada@contoso.com"},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"nbf": 4_000_000_000},
        {"iat": None},
    ],
    ids=lambda changes: "-".join(f"{name}={value}" for name, value in changes.items()),
)
def test_a_token_for_something_else_is_not_taken(issuer: Issuer, changes: Claims) -> None:
    """Rightly signed, and of another application, directory, sign-in or time, or of no user."""
    issuer.changes = changes

    with pytest.raises(SignInRefused, match="does not prove"):
        identified(issuer)


def test_the_nonce_is_held_against_the_token_itself(issuer: Issuer) -> None:
    """msal looks at it as well, and has stopped looking at everything else."""
    identified(issuer)
    login = Login(issuer.url)
    try:
        checked = IdTokens(login, CLIENT_ID, plain=True)
        assert ADA == checked.claims_of(issuer.given, issuer.asked_for["nonce"])["oid"]
        with pytest.raises(BadIdToken, match="another sign-in"):
            checked.claims_of(issuer.given, "another")
    finally:
        login.close()


def test_a_key_signs_for_its_issuer_alone(issuer: Issuer) -> None:
    """Microsoft publishes keys of several issuers in one list; a key that is not for signatures signs nothing."""
    issuer.published = lambda key_set: {
        "keys": [{**each, "issuer": f"{issuer.url}/{OTHER_DIRECTORY}/v2.0"} for each in key_set["keys"]]
    }
    with pytest.raises(SignInRefused, match="does not prove"):
        identified(issuer)
    issuer.published = lambda key_set: {"keys": [{**each, "use": "enc"} for each in key_set["keys"]]}
    with pytest.raises(SignInRefused, match="does not prove"):
        identified(issuer)


def test_keys_are_read_again_when_they_change(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown key is looked for at most every five minutes, since anybody can invent one; and all go after an hour."""
    now = [1000.0]
    monkeypatch.setattr(clock, "ticks", lambda: now[0])

    async def turns(sign_in: MicrosoftSignIn) -> list[int]:
        reads = []

        async def turn(at: float, *, good: bool = True) -> None:
            now[0] = at
            if good:
                await round_trip(sign_in, issuer)
            else:
                with pytest.raises(SignInRefused):
                    await round_trip(sign_in, issuer)
            reads.append(issuer.reads)

        await turn(1000)
        await turn(1200)
        issuer.keys.rotate()
        await turn(1290, good=False)
        await turn(1301)
        await turn(4000)
        await turn(5000)
        return reads

    assert [1, 1, 1, 2, 2, 3] == signing_in(issuer, turns)


# What comes back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"error": "access_denied", "error_description": "AADSTS65004: User declined"}, "accept"),
        ({"error": "access_denied"}, "accept"),
        ({"error": "consent_required", "error_description": "AADSTS90094: admin"}, "administrator"),
        ({"error": "access_denied", "error_description": "AADSTS50105: Quentin Zwiebelfisch"}, "assigned"),
        ({"error": "server_error"}, "in a minute"),
        ({"error": "something_new", "error_description": "AADSTS999999: Zwiebelfisch"}, "AADSTS999999"),
        ({"error": "<b>Zwiebelfisch</b>"}, "no code"),
        ({}, "in this browser"),
        ({"code": CODE}, "in this browser"),
        ({"code": CODE, "state": "another"}, "in this browser"),
        ({"state": "MINE"}, "nothing back"),
        ({"state": "MINE", "code": ""}, "nothing back"),
        ({"state": "MINE", "code": CODE, "error": "access_denied"}, "accept"),
    ],
)
def test_a_return_without_a_code_for_us(issuer: Issuer, query: dict[str, str], word: str) -> None:
    """Errors first, in our words; then the state; nothing of it is sent to the login."""

    async def returned(sign_in: MicrosoftSignIn) -> None:
        flow = await sign_in.begin(BACK)
        state = asked_of(flow)["state"]
        await sign_in.finish(flow.private, {**query, **({"state": state} if query.get("state") == "MINE" else {})})

    with pytest.raises(SignInRefused, match=word) as refused:
        signing_in(issuer, returned)

    assert "Zwiebelfisch" not in refused.value.sentence
    assert [] == issuer.token_requests


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        (sts_error(54005, "invalid_grant"), "completed already"),
        (sts_error(70008, "invalid_grant"), "took too long"),
        (sts_error(7000222, status=401), "operator of this server"),
        (sts_error(50196), "in a minute"),
        (sts_error(999999), "AADSTS999999"),
        (Reply(503, {}), "in a minute"),
        (Reply(200, {"token_type": "Bearer", "access_token": "at"}), "does not prove"),
        (Reply(200, {"token_type": "Bearer", "access_token": "at", "id_token": 7}), "does not prove"),
        (Reply(200, {}), "does not prove"),
    ],
)
def test_a_login_that_gives_no_token(issuer: Issuer, reply: Reply, word: str) -> None:
    """Said so that whoever sits there knows what to do."""
    issuer.token = lambda _: reply

    with pytest.raises(SignInRefused, match=word) as refused:
        identified(issuer)

    assert "Zwiebelfisch" not in refused.value.sentence


def test_a_login_that_cannot_be_had(issuer: Issuer) -> None:
    """A sign-in does not begin, and the next one does."""
    configuration = issuer.configuration
    issuer.metadata = lambda _: Reply(503, {})

    async def twice(sign_in: MicrosoftSignIn) -> Flow:
        with pytest.raises(SignInRefused, match="in a minute"):
            await sign_in.begin(BACK)
        issuer.metadata = configuration
        return await sign_in.begin(BACK)

    assert signing_in(issuer, twice).url


def test_nothing_of_it_is_logged(issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a code nor a token nor a name, also when it is not taken."""
    caplog.set_level(logging.DEBUG)
    identified(issuer)
    for issuer.changes in ({"nonce": "another"}, {"aud": "another"}, {"tid": OTHER_DIRECTORY}):
        with pytest.raises(SignInRefused):
            identified(issuer)

    verifiers = [asked.form["code_verifier"] for asked in issuer.token_requests]
    hidden = [CODE, SECRET, issuer.given, "Lovelace", "ada@contoso.com", ADA.lower(), *verifiers]
    assert not [each for each in hidden if each in caplog.text]
    assert "an id token was not taken" in caplog.text


# The simulated Entra ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulated(tmp_path_factory.mktemp("simulator")) as running:
        yield running


def chosen(url: str, **form: str) -> dict[str, str]:
    """Sit before the browser: open the sign-in page and choose; give what comes back."""
    page = httpx.get(url)
    assert 200 == page.status_code, page.text
    answer = httpx.post(url, data=form)
    assert 302 == answer.status_code, answer.text
    assert answer.headers["Location"].startswith(f"{BACK}?")
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


def test_a_user_signs_in(simulator: Simulator) -> None:
    """Of whichever directory: the page is the same, and says whose they are."""
    ours, theirs = simulator.new_tenant(), simulator.new_tenant()
    ids = [tenant.user("ada", displayName="Ada") for tenant in (ours, theirs)]

    async def both(sign_in: MicrosoftSignIn) -> list[Identity]:
        found = []
        for tenant in (ours, theirs):
            flow = await sign_in.begin(BACK)
            found.append(await sign_in.finish(flow.private, chosen(flow.url, user=f"ada@{tenant.domain}")))
        return found

    assert [
        Identity(tenant.id, oid, "Ada", f"ada@{tenant.domain}") for tenant, oid in zip((ours, theirs), ids, strict=True)
    ] == signing_in(simulator, both)


def test_a_code_signs_in_once_and_where_it_began(simulator: Simulator) -> None:
    """A replayed return, and one that is brought to the sign-in of another browser, are refused."""
    tenant = simulator.new_tenant()
    tenant.user("ada")

    async def replay(sign_in: MicrosoftSignIn) -> None:
        mine, other = await sign_in.begin(BACK), await sign_in.begin(BACK)
        back = chosen(mine.url, user=f"ada@{tenant.domain}")
        with pytest.raises(SignInRefused, match="in this browser"):
            await sign_in.finish(other.private, back)
        stolen = {**back, "state": asked_of(other)["state"]}
        with pytest.raises(SignInRefused, match="took too long"):
            await sign_in.finish(other.private, stolen)
        mine = await sign_in.begin(BACK)
        back = chosen(mine.url, user=f"ada@{tenant.domain}")
        assert tenant.id == (await sign_in.finish(mine.private, back)).tid
        with pytest.raises(SignInRefused, match="completed already"):
            await sign_in.finish(mine.private, back)

    signing_in(simulator, replay)


def test_who_cancels_is_not_signed_in(simulator: Simulator) -> None:
    """They are told how to go on."""

    async def cancelled(sign_in: MicrosoftSignIn) -> None:
        flow = await sign_in.begin(BACK)
        await sign_in.finish(flow.private, chosen(flow.url, cancel="1"))

    with pytest.raises(SignInRefused, match="cancelled") as refused:
        signing_in(simulator, cancelled)

    assert "AADSTS65004" == refused.value.facts["error"]


def test_a_wrong_secret_of_ours_is_the_operators(simulator: Simulator) -> None:
    """The one who signs in cannot mend it, and is told who can."""
    tenant = simulator.new_tenant()
    tenant.user("ada")

    async def tried(sign_in: MicrosoftSignIn) -> None:
        flow = await sign_in.begin(BACK)
        await sign_in.finish(flow.private, chosen(flow.url, user=f"ada@{tenant.domain}"))

    with pytest.raises(SignInRefused, match="Tell the operator"):
        signing_in(simulator, tried, ClientSecret("wrong"))
