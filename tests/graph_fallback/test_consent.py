"""Admin consent: the link, a return that is not believed, a directory proven by its token."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app_core.clock import stamp
from app_core.ports import DirectoryProof
from graph_fallback.consent import (
    SETTLING_SECONDS,
    ConsentRefused,
    consent_url,
    prove_tenant,
    returned_from,
)
from graph_fallback.tokens import (
    ClientSecret,
    EntraTokens,
    GraphRefused,
    GraphUnavailable,
    MissingPermission,
    NotConsented,
    UnknownDirectory,
    WrongCredential,
)
from tests.graph_fallback.loopback import (
    CLIENT_ID,
    DIRECTORY,
    NOON,
    OTHER_DIRECTORY,
    SECRET,
    Asked,
    Entra,
    Reply,
    StillClock,
    sts_error,
)

BACK = "https://scim.example.com/console/connection/consented"


def a_link(**changes: Any) -> str:
    given: dict[str, Any] = {"client_id": CLIENT_ID, "redirect_uri": BACK, **changes}
    return consent_url("scimconsent_x", **given)


def back(**query: str) -> dict[str, str]:
    """What Entra sends the browser back with."""
    given = {"admin_consent": "True", "tenant": DIRECTORY, "state": "scimconsent_x", **query}
    return {name: value for name, value in given.items() if value}


# The link -----------------------------------------------------------------------------------------------------------


def test_the_link() -> None:
    """All that entra.md §8.15 names; `/.default` asks for application permissions."""
    link = urlsplit(a_link())
    query = parse_qs(link.query)

    assert ("https", "login.microsoftonline.com", "/organizations/v2.0/adminconsent") == link[:3]
    assert [CLIENT_ID] == query["client_id"]
    assert ["https://graph.microsoft.com/.default"] == query["scope"]
    assert [BACK] == query["redirect_uri"]
    assert ["scimconsent_x"] == query["state"]


def test_the_link_of_a_certain_directory_in_another_cloud() -> None:
    """The login and the scope are those of the cloud."""
    link = a_link(
        directory_id=DIRECTORY.upper(),
        login_url="https://login.microsoftonline.us",
        graph_url="https://graph.microsoft.us",
    )

    assert link.startswith(f"https://login.microsoftonline.us/{DIRECTORY}/v2.0/adminconsent?")
    assert ["https://graph.microsoft.us/.default"] == parse_qs(urlsplit(link).query)["scope"]


def test_a_link_for_what_is_no_directory_is_not_made() -> None:
    """Neither a name nor anything that would lead elsewhere."""
    with pytest.raises(UnknownDirectory):
        a_link(directory_id="common/../x")


# The return ---------------------------------------------------------------------------------------------------------


def test_consent_was_granted() -> None:
    """The directory that is named is given back, to be proven."""
    assert DIRECTORY == returned_from(back(tenant=DIRECTORY.upper()))


@pytest.mark.parametrize(
    ("query", "kind", "word"),
    [
        ({"error": "consent_required", "error_description": "AADSTS65004: declined"}, NotConsented, "declined"),
        ({"error": "access_denied"}, NotConsented, "declined"),
        ({"error": "permission_denied", "error_description": "no"}, NotConsented, "declined"),
        ({"error": "access_denied", "error_description": "AADSTS90094: admin"}, NotConsented, "administrator"),
        ({"error": "consent_required"}, NotConsented, "administrator"),
        ({"error": "invalid_request", "error_description": "AADSTS50011: uri"}, ConsentRefused, "redirect URI"),
        ({"error": "unauthorized_client", "error_description": "AADSTS700016: x"}, NotConsented, "consent"),
        ({"error": "server_error", "error_description": "AADSTS90033: later"}, ConsentRefused, "server_error"),
        ({"error": "something_new"}, ConsentRefused, "something_new"),
        ({"error": "<b>Zwiebelfisch</b>"}, ConsentRefused, "no code"),
        ({"error_description": "only a text"}, ConsentRefused, "no code"),
    ],
)
def test_an_error_comes_first(query: dict[str, str], kind: type[GraphRefused], word: str) -> None:
    """`admin_consent=True` comes with errors as well; what they say is put into our own words."""
    with pytest.raises(kind, match=word) as refused:
        returned_from(back(**{"error_description": "", **query}))

    assert "Zwiebelfisch" not in refused.value.sentence


@pytest.mark.parametrize(
    "query",
    [back(admin_consent=""), back(admin_consent="False"), back(tenant=""), back(tenant="contoso.com"), {}],
)
def test_a_return_that_says_nothing_is_refused(query: dict[str, str]) -> None:
    """No consent, no directory: there is nothing to prove."""
    with pytest.raises(ConsentRefused):
        returned_from(query)


# The proof ----------------------------------------------------------------------------------------------------------


def proven(entra: Entra, clock: StillClock, directory_id: str = DIRECTORY, settling: float = 0.0) -> DirectoryProof:
    async def main() -> DirectoryProof:
        tokens = EntraTokens(CLIENT_ID, ClientSecret(SECRET), login_url=entra.url, graph_url=entra.url, clock=clock)
        try:
            return await prove_tenant(tokens, directory_id, settling=settling, clock=clock)
        finally:
            tokens.close()

    return asyncio.run(main())


def test_a_directory_is_proven_by_its_token(entra: Entra, clock: StillClock) -> None:
    """A token that it gave us, of itself, with what it grants."""
    assert DirectoryProof(DIRECTORY, frozenset({"User.Read.All", "Group.Read.All"})) == proven(entra, clock)


def test_a_token_of_another_directory_proves_nothing(entra: Entra, clock: StillClock) -> None:
    """What the query says is not believed."""
    entra.tid = OTHER_DIRECTORY

    with pytest.raises(UnknownDirectory, match="another directory"):
        proven(entra, clock)


def test_an_unreadable_token_proves_nothing(entra: Entra, clock: StillClock) -> None:
    """Where a token does not say whose it is, nothing is assumed."""
    entra.token = lambda _: Reply(200, {"token_type": "Bearer", "expires_in": 3599, "access_token": "opaque"})

    with pytest.raises(UnknownDirectory, match="nothing is proven"):
        proven(entra, clock)


def test_consent_takes_a_moment_to_settle(entra: Entra, clock: StillClock) -> None:
    """First the application is unknown, then its token carries no roles yet, then all is there."""
    answers = [lambda _: sts_error(700016, "unauthorized_client")] * 2

    def settle(asked: Asked) -> Reply:
        if answers:
            return answers.pop()(asked)
        entra.roles = ("User.Read.All", "Group.Read.All") if clock.now() > NOON + 10 else ()
        return entra.issue(asked)

    entra.token = settle

    proof = proven(entra, clock, settling=SETTLING_SECONDS)

    assert {"User.Read.All", "Group.Read.All"} == proof.permissions
    assert [1.0, 2.0, 4.0, 8.0] == clock.waits


def test_permissions_that_never_come_are_named(entra: Entra, clock: StillClock) -> None:
    """After the window it is said what is missing: nothing is proven by half a consent."""
    entra.roles = ("User.Read.All",)

    with pytest.raises(MissingPermission, match=r"Group\.Read\.All") as refused:
        proven(entra, clock, settling=SETTLING_SECONDS)

    assert ("Group.Read.All",) == refused.value.permissions
    assert 40 <= sum(clock.waits) <= SETTLING_SECONDS


def test_without_a_window_it_is_asked_once(entra: Entra, clock: StillClock) -> None:
    """An operator who connects by hand does not wait."""
    entra.roles = ()

    with pytest.raises(MissingPermission) as refused:
        proven(entra, clock)

    assert ("User.Read.All", "Group.Read.All") == refused.value.permissions
    assert [] == clock.waits


def test_consent_that_never_comes_is_told(entra: Entra, clock: StillClock) -> None:
    """After the window it is as if it had not been granted."""
    entra.token = lambda _: sts_error(700016, "unauthorized_client")

    with pytest.raises(NotConsented):
        proven(entra, clock, settling=SETTLING_SECONDS)

    assert 40 <= sum(clock.waits) <= SETTLING_SECONDS


def test_a_wrong_credential_is_told_at_once(entra: Entra, clock: StillClock) -> None:
    """Waiting does not mend it."""
    entra.token = lambda _: sts_error(7000215, status=401)

    with pytest.raises(WrongCredential):
        proven(entra, clock, settling=SETTLING_SECONDS)

    assert [] == clock.waits


def test_a_login_that_is_down_says_when_to_come_back(entra: Entra, clock: StillClock) -> None:
    """Its own time is honoured within the window, and told beyond it."""
    replies = [Reply(503, {}, {"Retry-After": "9"})]
    entra.token = lambda _: replies.pop() if replies else Reply(503, {}, {"Retry-After": "900"})

    with pytest.raises(GraphUnavailable) as unavailable:
        proven(entra, clock, settling=SETTLING_SECONDS)

    assert [9.0] == clock.waits
    assert stamp(NOON + 9 + 900) == unavailable.value.retry_at
