"""One directory over Graph: waits as told, gives up in time, follows links home only, names what is wrong."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import logging
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from app_core.clock import stamp
from graph_fallback import client as client_module
from graph_fallback.client import (
    MAX_ATTEMPTS,
    DeltaExpired,
    ForeignLink,
    Graph,
    GraphClient,
    NotInDirectory,
    Part,
    Throttled,
    TooLarge,
    error_code,
    new_http,
    permission_for,
)
from graph_fallback.tokens import (
    ClientSecret,
    EntraTokens,
    GraphError,
    GraphRefused,
    GraphUnavailable,
    MissingPermission,
    NotConsented,
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
    asking,
    entra_running,
    error,
    sts_error,
)

OK = Reply(200, {"value": []})
USERS = "/users/delta?$select=id"


def get(entra: Entra, target: str = USERS, clock: StillClock | None = None, **how: Any) -> dict[str, Any]:
    return asking(entra, lambda client: client.get(target), clock, **how)


# What is sent -------------------------------------------------------------------------------------------------------


def test_what_a_request_says(entra: Entra) -> None:
    """Token, version, low priority in the background; the path as it was given."""
    get(entra)

    (asked,) = entra.asked
    assert ("GET", "/v1.0/users/delta", "$select=id") == (asked.method, asked.path, asked.query)
    assert f"Bearer {entra.issued[0]}" == asked.headers["authorization"]
    assert asked.headers["user-agent"].startswith("scim-server/")
    assert "low" == asked.headers["x-ms-throttle-priority"]
    assert "application/json" == asked.headers["accept"]


def test_a_human_is_served_with_the_usual_priority(entra: Entra) -> None:
    """Only the background steps back."""
    get(entra, background=False)

    assert "x-ms-throttle-priority" not in entra.asked[0].headers


def test_post_asks_by_a_body(entra: Entra) -> None:
    """A body leaves as JSON, with the headers of the caller."""
    ids = {"ids": [DIRECTORY]}

    asking(entra, lambda client: client.post("/directoryObjects/getByIds", ids, headers={"Prefer": "x"}))

    (asked,) = entra.asked
    assert ("POST", "application/json", "x") == (asked.method, asked.headers["content-type"], asked.headers["prefer"])
    assert ids == asked.json


@pytest.mark.parametrize("query", ["$skiptoken=a%2Bb%3D%3D_-~x", "$deltatoken=L" + "x" * 6000, "%24deltatoken=AB"])
def test_a_link_goes_back_exactly_as_it_came(entra: Entra, query: str) -> None:
    """Links are opaque: not a character of them is ours to change."""
    get(entra, f"{entra.url}/v1.0/users/delta?{query}")

    assert query == entra.asked[0].query


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/v1.0/users/delta?$skiptoken=x",
        "http://127.0.0.1:1/v1.0/users",
        "http://localhost/v1.0/users",
        "//evil.example/v1.0/users@x",
        "ftp://127.0.0.1/v1.0",
        "javascript:alert(1)",
        "v1.0/users",
        "",
        "http://[::1",
        "http://127.0.0.1\n.evil.example/",
    ],
)
def test_a_link_to_another_host_is_refused(entra: Entra, link: str) -> None:
    """Our token goes to Graph and nowhere else, whatever a page says."""
    if link.startswith("//"):
        get(entra, link)

        assert entra.asked[0].path.startswith("/v1.0//evil.example")
        return
    with pytest.raises(ForeignLink) as refused:
        get(entra, link)

    assert [] == entra.asked
    assert "evil" not in refused.value.sentence


def test_a_link_of_another_scheme_port_or_user_is_refused(entra: Entra) -> None:
    """Not even the same host by another way."""
    host = entra.url.removeprefix("http://")
    for link in (f"https://{host}/v1.0/users", f"http://{host}0/v1.0/users", f"http://me:pw@{host}/v1.0/users"):
        with pytest.raises(ForeignLink):
            get(entra, link)

    assert [] == entra.asked


def test_a_redirect_is_not_followed(entra: Entra) -> None:
    """Graph does not redirect what is asked here; whoever does shall not get our token."""
    entra.script(Reply(302, {}, {"Location": "http://127.0.0.1:1/"}))

    with pytest.raises(GraphRefused):
        get(entra)

    assert 1 == len(entra.asked)


# Waiting ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured_exactly(entra: Entra, clock: StillClock, status: int) -> None:
    """What is asked for is waited, no less and no more."""
    entra.script(Reply(status, {}, {"Retry-After": "7"}), Reply(status, {}, {"Retry-After": "3"}), OK)

    get(entra, clock=clock)

    assert [7.0, 3.0] == clock.waits
    assert 3 == len(entra.asked)


def test_a_date_to_wait_for_is_honoured(entra: Entra, clock: StillClock) -> None:
    """RFC 9110 allows a date as well; it counts by the server's clock."""
    server_time = format_datetime(datetime.fromtimestamp(NOON, UTC), usegmt=True)
    until = format_datetime(datetime.fromtimestamp(NOON + 12, UTC), usegmt=True)
    entra.script(Reply(429, {}, {"Retry-After": until, "Date": server_time}), OK)

    get(entra, clock=clock)

    assert [12.0] == clock.waits


def test_without_a_time_pauses_grow(entra: Entra, clock: StillClock) -> None:
    """No Retry-After: each pause is twice the one before."""
    entra.script(*[Reply(500)] * 3, OK)

    get(entra, clock=clock)

    assert [1.0, 2.0, 4.0] == clock.waits


def test_pauses_have_jitter(entra: Entra, clock: StillClock) -> None:
    """Replicas that failed together do not come back together: a pause is anything from half to whole."""
    entra.script(*[Reply(502)] * 2, OK)

    get(entra, clock=clock, jitter=lambda: 0.0)

    assert [0.5, 1.0] == clock.waits


def test_a_pause_beyond_patience_is_not_waited(entra: Entra, clock: StillClock) -> None:
    """Whoever asks for a long pause is left alone until then; the caller is told when to come back."""
    entra.script(Reply(429, {}, {"Retry-After": "3600"}))

    with pytest.raises(Throttled) as throttled:
        get(entra, clock=clock)

    assert stamp(NOON + 3600) == throttled.value.retry_at == throttled.value.facts["retry_at"]
    assert [] == clock.waits
    assert 1 == len(entra.asked)


def test_patience_ends(entra: Entra, clock: StillClock) -> None:
    """A storm of short pauses ends as well."""
    entra.script(Reply(429, {}, {"Retry-After": "10"}))

    with pytest.raises(Throttled):
        get(entra, clock=clock)

    assert [10.0, 10.0] == clock.waits
    assert 3 == len(entra.asked)


def test_attempts_end(entra: Entra, clock: StillClock) -> None:
    """Pauses of no time at all do not go on for ever."""
    entra.script(Reply(429, {}, {"Retry-After": "0"}))

    with pytest.raises(Throttled):
        get(entra, clock=clock)

    assert MAX_ATTEMPTS == len(entra.asked)


def test_an_outage_says_when_to_come_back(entra: Entra, clock: StillClock) -> None:
    """Five attempts in 25 seconds, then a minute of rest; it is no throttling."""
    entra.script(error(504, "UnknownError"))

    with pytest.raises(GraphUnavailable) as unavailable:
        get(entra, clock=clock)

    assert not isinstance(unavailable.value, Throttled)
    assert [1.0, 2.0, 4.0, 8.0] == clock.waits
    assert stamp(clock.now() + 60) == unavailable.value.retry_at
    assert "504 UnknownError" in unavailable.value.sentence


def test_a_pause_counts_for_all_of_the_directory(entra: Entra, clock: StillClock) -> None:
    """Requests during a pause would prolong it: whoever else asks the directory waits as well."""
    entra.script(Reply(429, {}, {"Retry-After": "9"}), OK)

    async def main() -> None:
        async with a_graph(entra, clock) as graph:
            with pytest.raises(Throttled):
                await graph.directory(DIRECTORY, background=False).get(USERS)
            await graph.directory(DIRECTORY).get(USERS)

    asyncio.run(main())

    assert [9.0] == clock.waits
    assert 2 == len(entra.asked)


def test_during_a_long_pause_nothing_is_asked(entra: Entra, clock: StillClock) -> None:
    """Once Graph has asked for an hour, further requests of this process are refused without asking it."""
    entra.script(Reply(429, {}, {"Retry-After": "3600"}), OK)

    async def main() -> None:
        async with a_graph(entra, clock) as graph:
            for background in (True, False):
                with pytest.raises(Throttled) as throttled:
                    await graph.directory(DIRECTORY, background=background).get(USERS)
                assert stamp(NOON + 3600) == throttled.value.retry_at
            await graph.directory(OTHER_DIRECTORY).get(USERS)
            clock.time += 3600
            await graph.directory(DIRECTORY).get(USERS)

    asyncio.run(main())

    assert 3 == len(entra.asked)


@contextlib.asynccontextmanager
async def a_graph(entra: Entra, clock: StillClock, **how: Any) -> Any:
    tokens = EntraTokens(CLIENT_ID, ClientSecret(SECRET), login_url=entra.url, graph_url=entra.url, clock=clock)
    with contextlib.closing(tokens):
        async with httpx.AsyncClient(verify=False) as http:
            yield Graph(http, tokens, entra.url, clock=clock, **how)


def test_only_so_many_at_once(entra: Entra, clock: StillClock) -> None:
    """However many ask, a directory sees a few at a time."""
    together = Together()
    entra.graph = together.answer

    async def main() -> None:
        async with a_graph(entra, clock, concurrency=3) as graph:
            await asyncio.gather(*(graph.directory(DIRECTORY).get(USERS) for _ in range(20)))

    asyncio.run(main())

    assert 3 == together.most
    assert 20 == len(entra.asked)


class Together:
    """Counts how many requests are there at once; each stays for a moment."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def answer(self, _: Asked) -> Reply:
        import threading
        import time

        lock = self.__dict__.setdefault("lock", threading.Lock())
        with lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.02)
        with lock:
            self.now -= 1
        return OK


# What breaks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    [
        Reply(200, {"value": ["x" * 1000]}, cut=True),
        Reply(200, b"<html>proxy</html>", {"Content-Type": "text/html"}),
        Reply(200, [1, 2]),
        Reply(200, b""),
        Reply(200, b"not gzip", {"Content-Encoding": "gzip"}),
        Reply(408),
        Reply(509),
    ],
)
def test_what_breaks_is_asked_again(entra: Entra, clock: StillClock, broken: Reply) -> None:
    """A torn or senseless answer is no answer; reading twice does no harm."""
    entra.script(broken, Reply(200, {"value": [{"id": "1"}]}))

    assert {"value": [{"id": "1"}]} == get(entra, clock=clock)
    assert [1.0] == clock.waits


def test_nobody_there(entra: Entra, clock: StillClock) -> None:
    """A Graph that cannot be reached is unavailable, not a stack trace."""
    with entra_running() as gone:
        pass

    async def main() -> None:
        tokens = EntraTokens(CLIENT_ID, ClientSecret(SECRET), login_url=entra.url, clock=clock)
        with contextlib.closing(tokens):
            async with new_http() as http:
                await GraphClient(http, tokens, gone.url, DIRECTORY, clock=clock).get(USERS)

    with pytest.raises(GraphUnavailable, match="ConnectError"):
        asyncio.run(main())


def test_a_hanging_request_is_given_up(entra: Entra, clock: StillClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that trickles does not hold a worker: the whole answer has its time."""
    import threading

    monkeypatch.setattr(client_module, "REQUEST_SECONDS", 0.1)
    stop = threading.Event()

    def hang(_: Asked) -> Reply:
        stop.wait(10)
        return OK

    entra.graph = hang
    try:
        with pytest.raises(GraphUnavailable, match="takes longer"):
            get(entra, clock=clock, patience=0.5)
    finally:
        stop.set()


def test_an_answer_too_large_is_refused(entra: Entra) -> None:
    """Neither a photo of a gigabyte nor a small one that unpacks to it fills our memory."""
    bomb = gzip.compress(b"\0" * 5_000_000)
    entra.script(Reply(200, bomb, {"Content-Encoding": "gzip", "Content-Type": "image/jpeg"}))

    with pytest.raises(GraphRefused, match="larger than 1000000 bytes"):
        asking(entra, lambda client: client.get_bytes("/users/1/photo/$value", most=1_000_000))


def test_login_trouble_is_waited_out(entra: Entra, clock: StillClock) -> None:
    """The way to a token is a part of the request: the same patience, the same words."""
    replies = [Reply(503, {}, {"Retry-After": "4"}), Reply(429, {}, {"Retry-After": "5"})]
    entra.token = lambda asked: replies.pop(0) if replies else entra.issue(asked)

    get(entra, clock=clock)

    assert [4.0, 5.0] == clock.waits


def test_a_refused_credential_is_not_tried_again(entra: Entra, clock: StillClock) -> None:
    """What only a human can mend is told at once."""
    entra.token = lambda _: sts_error(7000222, status=401)

    with pytest.raises(GraphRefused, match="expired"):
        get(entra, clock=clock)

    assert [] == clock.waits
    assert [] == entra.asked


# Refusals -----------------------------------------------------------------------------------------------------------


def test_401_renews_the_token_once(entra: Entra) -> None:
    """A token that Graph no longer takes (revoked, keys rolled) is replaced, and the request is sent again."""
    entra.script(error(401, "InvalidAuthenticationToken"), OK)

    get(entra)

    assert [f"Bearer {token}" for token in entra.issued] == [asked.headers["authorization"] for asked in entra.asked]
    assert 2 == len(entra.issued)


def test_401_twice_is_told(entra: Entra, clock: StillClock) -> None:
    """A new token that is not taken either is a matter of settings."""
    entra.script(error(401, "InvalidAuthenticationToken", "Signature of Zwiebelfisch"))

    with pytest.raises(GraphRefused, match="InvalidAuthenticationToken") as refused:
        get(entra, clock=clock)

    assert "LOGIN_URL" in refused.value.sentence
    assert "Zwiebelfisch" not in refused.value.sentence
    assert (2, []) == (len(entra.asked), clock.waits)


@pytest.mark.parametrize(
    ("roles", "path", "missing"),
    [
        (("Group.Read.All",), "/users/delta", ("User.Read.All",)),
        (("User.Read.All",), "/groups/delta", ("Group.Read.All",)),
        ((), "/users", ("User.Read.All", "Group.Read.All")),
        ((), "/$batch", ("User.Read.All", "Group.Read.All")),
        (("User.Read.All", "Group.Read.All"), "/auditLogs/provisioning", ("AuditLog.Read.All",)),
    ],
)
def test_403_names_the_missing_permission(
    entra: Entra, roles: tuple[str, ...], path: str, missing: tuple[str, ...]
) -> None:
    """Read from the token itself, not guessed."""
    entra.roles = roles
    entra.script(error(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."))

    with pytest.raises(MissingPermission) as refused:
        get(entra, path)

    assert missing == refused.value.permissions
    assert all(name in refused.value.sentence for name in missing)


def test_403_of_an_unreadable_token_names_what_the_path_needs(entra: Entra) -> None:
    """A token that is no JWT says nothing of its roles."""
    entra.token = lambda _: Reply(200, {"token_type": "Bearer", "expires_in": 3599, "access_token": "opaque"})
    entra.script(error(403, "Authorization_RequestDenied"))

    with pytest.raises(MissingPermission) as refused:
        get(entra, "/groups/delta")

    assert ("Group.Read.All",) == refused.value.permissions


def test_403_with_all_permissions_is_something_else(entra: Entra) -> None:
    """What is granted is not called missing: hidden members, or a policy."""
    entra.script(error(403, "Authorization_RequestDenied"))

    with pytest.raises(GraphRefused, match=r"Member\.Read\.Hidden") as refused:
        get(entra, "/groups/1/members")

    assert not isinstance(refused.value, MissingPermission)


def test_an_unknown_application_is_a_matter_of_consent(entra: Entra) -> None:
    """Graph has not heard of the service principal yet, or no longer."""
    entra.script(error(403, "Authorization_IdentityNotFound"))

    with pytest.raises(NotConsented):
        get(entra)


def test_404_is_no_refusal(entra: Entra) -> None:
    """Somebody is not there, or has no photo: for the caller to judge."""
    entra.script(error(404, "Request_ResourceNotFound", f"Resource '{DIRECTORY}' does not exist"))

    with pytest.raises(NotInDirectory) as missing:
        get(entra, f"/users/{DIRECTORY}")

    assert "Request_ResourceNotFound" == missing.value.facts["error"]
    assert not isinstance(missing.value, GraphRefused)


def test_another_refusal_has_its_code(entra: Entra) -> None:
    """What nobody foresaw is told with code, status and Microsoft's request id."""
    entra.script(error(400, "Request_UnsupportedQuery", request_id="3f0c2d5e-0000-4000-8000-1234567890ab"))

    with pytest.raises(GraphRefused, match="Request_UnsupportedQuery") as refused:
        get(entra)

    assert 400 == refused.value.facts["status"]
    assert "3f0c2d5e-0000-4000-8000-1234567890ab" in refused.value.sentence


# Delta links that are no longer good --------------------------------------------------------------------------------

LINK = "/users/delta?$deltatoken=old"
TOLD = "The sync state generation is not found. The delta token is expired and data must be synchronized again."


@pytest.mark.parametrize(
    "answer",
    [
        Reply(410),
        error(410, "Gone"),
        error(410, "resyncRequired"),
        error(400, "syncStateNotFound", TOLD),
        error(404, "SyncStateNotFound", TOLD),
        error(400, "resyncRequired"),
        error(404, "resyncRequired"),
        error(400, "Directory_ExpiredPageToken"),
        error(400, "Request_BadRequest", "Invalid delta Token provided."),
        error(400, "badRequest", inner={"code": "syncStateNotFound"}),
        error(400, "badRequest", inner={"date": "2026-01-01", "innererror": {"code": "resyncRequired"}}),
    ],
)
def test_every_form_of_an_expired_link(entra: Entra, clock: StillClock, answer: Reply) -> None:
    """Entra's documents, its blog and the field know different answers (entra.md §8.6): all of them mean a full round."""
    entra.script(answer)

    with pytest.raises(DeltaExpired) as expired:
        get(entra, LINK, clock)

    assert expired.value.restart is None
    assert (1, []) == (len(entra.asked), clock.waits)


def test_410_says_where_to_begin(entra: Entra) -> None:
    """The Location of a reset is where the full round starts."""
    location = f"{entra.url}/v1.0/users/delta?$deltatoken="
    entra.script(Reply(410, {}, {"Location": location}))

    with pytest.raises(DeltaExpired) as expired:
        get(entra, LINK)

    assert location == expired.value.restart


@pytest.mark.parametrize("location", ["https://evil.example/v1.0/users/delta", "::"])
def test_a_foreign_location_is_not_passed_on(entra: Entra, location: str) -> None:
    """The round begins at our own address then."""
    entra.script(Reply(410, {}, {"Location": location}))

    with pytest.raises(DeltaExpired) as expired:
        get(entra, LINK)

    assert expired.value.restart is None


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("/users/delta?$select=idd", error(400, "Request_BadRequest", "Could not find a property 'token'")),
        (LINK, error(400, "Request_BadRequest", "Could not find a property named 'idd'")),
        (LINK, error(400, "Request_UnsupportedQuery", "token")),
        (LINK, error(401, "InvalidAuthenticationToken")),
        (LINK, error(403, "Authorization_RequestDenied")),
    ],
)
def test_what_does_not_mean_an_expired_link(entra: Entra, target: str, answer: Reply) -> None:
    """A mistake of ours must not end in a full round every hour."""
    entra.script(answer)

    with pytest.raises(GraphRefused):
        get(entra, target)


# Codes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, None),
        ({"error": None}, None),
        ({"error": "invalid_grant"}, "invalid_grant"),
        ({"error": {"code": "a", "innerError": {"code": "b"}}}, "a"),
        (
            {"error": {"code": "a", "innerError": {"code": "resyncRequired", "innerError": {"code": "c"}}}},
            "resyncRequired",
        ),
        ({"error": {"code": "syncStateNotFound", "innererror": {"code": "resyncRequired"}}}, "resyncRequired"),
        ({"error": {"code": "Zwiebelfisch, Quentin"}}, None),
        ({"error": {"code": 5, "innerError": {"code": "b"}}}, "b"),
        ({"error": {"code": "a", "innerError": []}}, "a"),
    ],
)
def test_the_most_specific_known_code_counts(body: dict[str, Any], code: str | None) -> None:
    """Nested errors are searched; what is no code is not repeated."""
    assert code == error_code(body)


def test_nested_for_ever_is_read_to_an_end() -> None:
    """An error that contains itself does no harm."""
    loop: dict[str, Any] = {"code": "a"}
    loop["innerError"] = loop

    assert "a" == error_code({"error": loop})


@pytest.mark.parametrize(
    ("path", "need"),
    [
        ("/v1.0/users/delta", "User.Read.All"),
        ("/v1.0/users/1/photo/$value", "User.Read.All"),
        ("/v1.0/groups", "Group.Read.All"),
        ("/v1.0/groups/1/transitiveMembers/microsoft.graph.user", "Group.Read.All"),
        ("/v1.0/directory/deletedItems/microsoft.graph.user", "User.Read.All"),
        ("/v1.0/directory/deletedItems/microsoft.graph.group", "Group.Read.All"),
        ("/v1.0/auditLogs/provisioning", "AuditLog.Read.All"),
        ("/v1.0/$batch", None),
    ],
)
def test_what_a_path_needs(path: str, need: str | None) -> None:
    """The least that reads it (entra.md §8.9)."""
    assert need == permission_for(path)


# Bytes and batches --------------------------------------------------------------------------------------------------


def test_a_photo(entra: Entra) -> None:
    """Bytes come with their type and etag."""
    entra.script(Reply(200, b"\xff\xd8\xff", {"Content-Type": "image/jpeg; x=y", "ETag": '"BA09D118"'}))

    photo = asking(entra, lambda client: client.get_bytes("/users/1/photos/240x240/$value"))

    assert (b"\xff\xd8\xff", "image/jpeg", '"BA09D118"') == (photo.data, photo.media_type, photo.etag)
    assert "*/*" == entra.asked[0].headers["accept"]


def test_no_photo(entra: Entra) -> None:
    """None stored is a 404 (entra.md §8.12)."""
    entra.script(error(404, "ImageNotFound"))

    with pytest.raises(NotInDirectory):
        asking(entra, lambda client: client.get_bytes("/users/1/photo/$value"))


def batching(judge: Callable[[str, int], dict[str, Any]]) -> Callable[[Asked], Reply]:
    """Answer a batch part by part, in another order; `judge` gets the url and how often it was asked."""
    times: dict[str, int] = {}

    def answer(asked: Asked) -> Reply:
        responses = []
        for each in asked.json["requests"]:
            times[each["url"]] = times.get(each["url"], 0) + 1
            responses.append({"id": each["id"], **judge(each["url"], times[each["url"]])})
        return Reply(200, {"responses": responses[::-1]})

    return answer


def test_a_batch_is_answered_in_order(entra: Entra) -> None:
    """Twenty a request; answers are matched by id, a failed part is an answer, binary parts come as bytes."""

    def judge(url: str, _: int) -> dict[str, Any]:
        if url.endswith("7"):
            return {"status": 404, "body": {"error": {"code": "ImageNotFound"}}}
        if url.endswith("8"):
            return {"status": 200, "body": base64.b64encode(url.encode()).decode()}
        return {"status": 200, "body": {"url": url}}

    entra.graph = batching(judge)
    paths = [f"/users/{at}" for at in range(45)]

    parts = asking(entra, lambda client: client.batch(paths))

    assert [20, 20, 5] == [len(asked.json["requests"]) for asked in entra.asked]
    assert paths[:7] == [part.json["url"] for part in parts[:7]]
    assert (404, "ImageNotFound", {}, None) == (
        parts[7].status,
        parts[7].error,
        {k: v for k, v in parts[7].json.items() if k != "error"},
        parts[7].data,
    )
    assert b"/users/8" == parts[8].data
    assert 45 == len(parts)
    assert {"x-ms-throttle-priority": "low"} == entra.asked[0].json["requests"][0]["headers"]


def test_throttled_parts_are_asked_again_alone(entra: Entra, clock: StillClock) -> None:
    """The longest Retry-After of the parts counts; what was answered is not asked twice."""

    def judge(url: str, times: int) -> dict[str, Any]:
        if url in ("/users/3", "/users/4") and times == 1:
            return {"status": 429, "headers": {"Retry-After": "4" if url.endswith("3") else "6"}}
        return {"status": 200, "body": {"url": url}}

    entra.graph = batching(judge)

    parts = asking(entra, lambda client: client.batch([f"/users/{at}" for at in range(6)]), clock)

    assert [6.0] == clock.waits
    assert [6, 2] == [len(asked.json["requests"]) for asked in entra.asked]
    assert [200] * 6 == [part.status for part in parts]


def test_a_part_may_wait_by_itself(entra: Entra, clock: StillClock) -> None:
    """Asked once, a part that was not served is an answer with its own Retry-After, and nobody waits for it."""

    def judge(url: str, _: int) -> dict[str, Any]:
        found: dict[str, dict[str, Any]] = {
            "/users/1": {"status": 429, "headers": {"retry-after": "40"}},
            "/users/2": {"status": 503},
            "/users/3": {"status": 404, "headers": {"Retry-After": "5"}},
            "/users/4": {"status": 401},
        }
        return found.get(url, {"status": 200, "body": {"url": url}})

    entra.graph = batching(judge)

    parts = asking(entra, lambda client: client.batch_once([f"/users/{at}" for at in range(5)]), clock)

    found = [(part.status, part.wait) for part in parts]
    assert [(200, None), (429, 40.0), (503, None), (404, None), (401, None)] == found
    assert [False, True, True, False, True] == [part.try_again for part in parts]
    assert ([], 1) == (clock.waits, len(entra.asked))


def test_what_a_batch_leaves_out_was_not_served(entra: Entra, clock: StillClock) -> None:
    """An answer that is missing, or is for another question, is none; the batch itself is asked for patiently."""
    answers = {"responses": [{"id": "1", "status": 200, "body": {}}, {"id": "7", "status": 200}, "x"]}
    entra.script(error(503, "ServiceUnavailable"), Reply(200, answers))

    parts = asking(entra, lambda client: client.batch_once(["/users/0", "/users/1"]), clock)

    assert [(503, True), (200, False)] == [(part.status, part.try_again) for part in parts]
    assert 1 == len(clock.waits)


def test_what_is_too_large_is_broken_off(entra: Entra) -> None:
    """It is refused by its own name, so that whoever asks can leave it out."""
    entra.script(Reply(200, b"x" * 1001, {"Content-Type": "image/jpeg"}))

    with pytest.raises(TooLarge):
        asking(entra, lambda client: client.get_bytes("/users/1/photo/$value", most=1000))

    assert 1 == len(entra.asked)


@pytest.mark.parametrize(
    "responses", [None, 5, [], ["x"], [{"id": 0, "status": 200}], [{"id": "0"}], [{"id": "99", "status": 200}]]
)
def test_a_batch_that_is_not_served_is_given_up(entra: Entra, clock: StillClock, responses: Any) -> None:
    """Parts without an answer are asked for again, not for ever."""
    entra.script(Reply(200, {"responses": responses}))

    with pytest.raises(GraphUnavailable, match="1 of 1 requests of a batch"):
        asking(entra, lambda client: client.batch(["/users/0"]), clock)


def test_a_part_that_is_no_base64_has_no_bytes() -> None:
    """Nothing is made of what cannot be read."""
    assert [b"ab", None, None] == [Part(200, body).data for body in ("YWI=", "no base64!", {"a": 1})]


def test_an_empty_batch_asks_nothing(entra: Entra) -> None:
    """Nothing to ask, nothing asked."""
    assert [] == asking(entra, lambda client: client.batch([]))
    assert [] == asking(entra, lambda client: client.batch_once([]))
    assert [] == entra.asked


# Silence ------------------------------------------------------------------------------------------------------------

PLANTED = ("Zwiebelfisch", "quentin@contoso.com", "geheim-delta-token", SECRET, "Bearer", "eyJ")


@pytest.mark.parametrize(
    "answer",
    [
        error(400, "Request_BadRequest", "Zwiebelfisch quentin@contoso.com"),
        error(401, "InvalidAuthenticationToken", "Zwiebelfisch"),
        error(403, "Authorization_RequestDenied", "Zwiebelfisch"),
        error(404, "Request_ResourceNotFound", "Zwiebelfisch"),
        error(410, "resyncRequired", "Zwiebelfisch"),
        error(429, "TooManyRequests", "Zwiebelfisch"),
        error(500, "Zwiebelfisch quentin", "Zwiebelfisch"),
        Reply(200, b"Zwiebelfisch"),
        Reply(200, {"value": ["Zwiebelfisch" * 99]}, cut=True),
    ],
)
@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_nothing_is_said_that_is_a_secret_or_somebodys(
    entra: Entra, clock: StillClock, caplog: pytest.LogCaptureFixture, answer: Reply, level: int
) -> None:
    """Neither log nor exception holds a token, a link's token, a name or a mail address, at any log level."""
    entra.script(answer)
    link = f"{entra.url}/v1.0/users/quentin@contoso.com/delta?$deltatoken=geheim-delta-token"

    with caplog.at_level(level), pytest.raises(GraphError) as failed:
        get(entra, link, clock)

    said = "".join(traceback.format_exception(failed.value)) + caplog.text + repr(failed.value.facts)
    said += "".join(str(record.__dict__) for record in caplog.records)
    assert [] == [word for word in PLANTED if word in said.replace('"Bearer', "")]


def test_errors_have_no_cause_that_would_tell(entra: Entra, clock: StillClock) -> None:
    """A log that prints causes prints none of httpx's or msal's."""
    entra.script(Reply(200, b"x" * 1000, cut=True))

    with pytest.raises(GraphUnavailable) as failed:
        get(entra, clock=clock)

    assert failed.value.__suppress_context__
    assert failed.value.__cause__ is None


def test_the_shared_http_client_follows_nothing() -> None:
    """Even a request that forgets to say so is not redirected, and none waits for ever."""
    http = new_http()

    assert not http.follow_redirects
    assert None not in (http.timeout.read, http.timeout.connect, http.timeout.write, http.timeout.pool)
    assert isinstance(http, httpx.AsyncClient)
