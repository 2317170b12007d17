"""Read, replay and judge a recorded exchange; README.md beside this file describes the format."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

T = TypeVar("T")

SCIM = "application/scim+json"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
LIST_RESPONSE = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
MANAGER = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager"

PLACEHOLDER = re.compile(r"\$\{([^}]+)}")
EXTENSION_PATH = re.compile(r"(?P<extension>urn:.+:\d\.\d:\w+)(:(?P<rest>.+))?$")
MISSING = object()


class Malformed(Exception):
    """A file says something the replayer does not understand, so it would not test what its author meant."""


# ── What a file says ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Request:
    """A request, to be sent to the letter."""

    method: str
    path: str
    body: Any = MISSING
    raw: str | None = None
    content_type: str = f"{SCIM}; charset=utf-8"
    headers: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def content(self) -> bytes | None:
        """Give the bytes of the body."""
        if self.raw is not None:
            return self.raw.encode()
        return None if self.body is MISSING else json.dumps(self.body, ensure_ascii=False).encode()


@dataclass(frozen=True)
class Expectation:
    """What an answer must be like; whatever is not said is free."""

    status: int | list[int]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = MISSING
    present: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    equals: Mapping[str, Any] = field(default_factory=dict)
    differs: Mapping[str, Any] = field(default_factory=dict)
    mentions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Given:
    """A step that puts something in place and keeps the answer under a name."""

    request: Request
    saved_as: str | None
    times: int


@dataclass(frozen=True)
class Exchange:
    """One request under test, what it needs, its answer, and what holds afterwards."""

    about: str
    source: str
    given: tuple[Given, ...]
    request: Request
    repeat: bool
    response: Expectation
    then: tuple[tuple[Request, Expectation], ...]


def read(path: Path) -> Exchange:
    """Read one file and refuse what it should not say."""
    try:
        return parse(json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_without_repeated_keys))
    except (Malformed, ValueError) as problem:
        raise Malformed(f"{path.name}: {problem}") from problem


def parse(document: dict[str, Any]) -> Exchange:
    """Turn a file's document into an exchange."""
    _only("an exchange", document, needed="about source request response", allowed="given repeat then")
    return Exchange(
        about=document["about"],
        source=document["source"],
        given=tuple(_given(step) for step in document.get("given", [])),
        request=_request(document["request"]),
        repeat=document.get("repeat", False),
        response=_expectation(document["response"]),
        then=tuple(_then(step) for step in document.get("then", [])),
    )


def _given(step: dict[str, Any]) -> Given:
    _only("a given step", step, allowed="post put patch delete body as times")
    match [method for method in ("post", "put", "patch", "delete") if method in step]:
        case [method]:
            request = Request(method.upper(), step[method], step.get("body", MISSING))
            return Given(request, step.get("as"), step.get("times", 1))
        case methods:
            raise Malformed(f"a given step is one request, not {methods}")


def _request(document: dict[str, Any]) -> Request:
    _only("the request", document, needed="method path", allowed="body raw content_type headers")
    if "body" in document and "raw" in document:
        raise Malformed("the request has a body or raw text, not both")
    return Request(**document)


def _expectation(document: dict[str, Any]) -> Expectation:
    _only(
        "an expectation",
        document,
        needed="status",
        allowed="headers body present absent equals differs mentions",
    )
    return Expectation(**document)


def _then(step: dict[str, Any]) -> tuple[Request, Expectation]:
    if "get" not in step:
        raise Malformed("a then step is a get")
    expected = {"status": 200} | {key: value for key, value in step.items() if key != "get"}
    return Request("GET", step["get"]), _expectation(expected)


def _only(what: str, document: dict[str, Any], *, allowed: str, needed: str = "") -> None:
    if unknown := sorted(document.keys() - {*allowed.split(), *needed.split()}):
        raise Malformed(f"{what} does not know {unknown}")
    if missing := [key for key in needed.split() if key not in document]:
        raise Malformed(f"{what} lacks {missing}")


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise Malformed(f"a key is there twice in {[key for key, _ in pairs]}")
    return document


# ── Replaying ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Replay:
    """One exchange under way: the client and what was learnt from the answers so far."""

    def __init__(self, scim: httpx.Client) -> None:
        self.scim = scim
        self.base = str(scim.base_url).rstrip("/")
        self.known: dict[str, Any] = {"base": self.base}

    def run(self, exchange: Exchange) -> None:
        """Put things in place, send the request, judge the answer and look at what holds afterwards."""
        for step in exchange.given:
            for n in range(1, step.times + 1):
                self.put_in_place(step, n)

        self.exchange("the answer", exchange)
        if exchange.repeat:
            changed = Request("GET", exchange.request.path)
            before = self.send(changed)
            self.exchange("the repeated answer", exchange)
            after = self.send(changed)
            # The version counts too: Entra repeats itself all day, and no change is no event.
            refuse("the resource after the repetition", after, unlikeness(before, after))

        for request, expected in exchange.then:
            self.judge(f"GET {request.path} afterwards", self.send(request), expected)

    def exchange(self, time: str, exchange: Exchange) -> None:
        """Send the request under test and judge its answer."""
        answer = self.send(exchange.request)
        self.known["answer"] = body_of(answer)
        self.judge(time, answer, exchange.response)
        self.read_back(answer)

    def put_in_place(self, step: Given, n: int) -> None:
        """Send a given step, which must succeed, and keep its answer."""
        self.known["n"] = str(n)
        answer = self.send(step.request)
        problems = [] if answer.is_success else [f"status {answer.status_code}"]
        refuse(f"given {answer.request.method} {step.request.path}", answer, problems)
        if step.saved_as:
            self.known[fill(step.saved_as, self.known)] = body_of(answer)

    def send(self, request: Request) -> httpx.Response:
        """Send a request as written: no client mends its path."""
        request = fill(request, self.known)
        headers = {"Accept": SCIM}
        if request.content is not None:
            headers["Content-Type"] = request.content_type
        target = self.scim.base_url.raw_path.rstrip(b"/") + request.path.encode()
        message = self.scim.build_request(
            request.method, "", content=request.content, headers=headers, extensions={"target": target}
        )
        for name, value in request.headers.items():
            if value is None:
                del message.headers[name]
            else:
                message.headers[name] = value
        return self.scim.send(message)

    def judge(self, what: str, answer: httpx.Response, expected: Expectation) -> None:
        """Fail with everything about an answer that is not as expected."""
        refuse(what, answer, [*manners(answer), *wrong_status(answer, expected)])
        refuse(what, answer, list(shortcomings(answer, fill(expected, self.known))))

    def read_back(self, answer: httpx.Response) -> None:
        """Fail when a written resource reads otherwise than it was answered."""
        written = body_of(answer)
        if answer.request.method == "GET" or not answer.is_success or not isinstance(written, dict):
            return
        location = look_up(written, "meta.location")
        if not isinstance(location, str) or not location.startswith(f"{self.base}/"):
            refuse("the answer", answer, [f"meta.location is {location!r}, not below {self.base}"])
        read = self.send(Request("GET", str(location).removeprefix(self.base)))
        refuse(f"GET {location} against the answer", read, unlikeness(answer, read))


def fill(value: T, known: Mapping[str, Any]) -> T:
    """Replace every ${name.path} by what is known under that name."""
    filled: Any = value
    if isinstance(value, str):
        filled = PLACEHOLDER.sub(lambda found: _known(found[1], known), value)
    elif isinstance(value, Mapping):
        filled = {fill(key, known): fill(item, known) for key, item in value.items()}
    elif isinstance(value, list | tuple):
        filled = type(value)(fill(item, known) for item in value)
    elif is_dataclass(value) and not isinstance(value, type):
        filled = replace(value, **{each.name: fill(getattr(value, each.name), known) for each in fields(value)})
    return filled  # type: ignore[no-any-return]


def _known(path: str, known: Mapping[str, Any]) -> str:
    found = look_up(known, path)
    if not isinstance(found, str):
        raise Malformed(f"${{{path}}} is not known; known are {sorted(known)}")
    return found


# ── Judging ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def refuse(what: str, answer: httpx.Response, problems: list[str]) -> None:
    """Fail with the problems of an answer and the exchange that had them."""
    request = answer.request
    assert not problems, "\n".join(
        [
            f"{what}:",
            *(f"  - {problem}" for problem in problems),
            f"  > {request.method} {request.extensions.get('target', b'').decode()} {request.content.decode()}",
            f"  < {answer.status_code} {answer.text}",
        ]
    )


def wrong_status(answer: httpx.Response, expected: Expectation) -> Iterator[str]:
    """Say that an answer has another status; the rest is then not worth saying."""
    wanted = expected.status if isinstance(expected.status, list) else [expected.status]
    if answer.status_code not in wanted:
        yield f"status {answer.status_code} instead of {expected.status}"


def shortcomings(answer: httpx.Response, expected: Expectation) -> Iterator[str]:
    """Say where an answer falls short of what is expected of it."""
    for name, text in expected.headers.items():
        if answer.headers.get(name) != text:
            yield f"header {name} is {answer.headers.get(name)!r} instead of {text!r}"
    body = body_of(answer)
    if expected.body is not MISSING:
        yield from differences(expected.body, body)
    for path in expected.present:
        if look_up(body, path) in (MISSING, ""):
            yield f"{path} is missing"
    for path in expected.absent:
        if (there := look_up(body, path)) is not MISSING:
            yield f"{path} should be absent and is {there!r}"
    for path, value in expected.equals.items():
        yield from differences(value, look_up(body, path), where=path, whole=True)
    for path, value in expected.differs.items():
        if look_up(body, path) == value:
            yield f"{path} is {value!r}"
    for path, text in expected.mentions.items():
        if text not in str(look_up(body, path)):
            yield f"{path} does not mention {text!r}"


def manners(answer: httpx.Response) -> Iterator[str]:
    """Say where an answer breaks what holds for every answer."""
    if answer.status_code == 204 or not answer.content:
        if answer.content or answer.status_code != 204:
            yield f"status {answer.status_code} with a body of {len(answer.content)} bytes"
        return
    if answer.headers.get("Content-Type", "").partition(";")[0] != SCIM:
        yield f"Content-Type is {answer.headers.get('Content-Type')!r}"
        return
    body = answer.json()
    yield from (f"{path} is null" for path in _nulls(body))
    if answer.is_error:
        yield from _error_manners(body, answer.status_code)
    elif LIST_RESPONSE in body.get("schemas", []):
        for resource in body.get("Resources", []):
            yield from _resource_manners(resource)
    else:
        yield from _resource_manners(body)


def _error_manners(body: dict[str, Any], status: int) -> Iterator[str]:
    if body.get("schemas") != [ERROR]:
        yield f"an error's schemas are {body.get('schemas')!r}"
    if body.get("status") != str(status):
        yield f"an error's status is {body.get('status')!r} instead of the text {status}"
    if not isinstance(body.get("detail"), str) or not body["detail"].strip():
        yield "an error says no reason"


def _resource_manners(resource: dict[str, Any]) -> Iterator[str]:
    for extension in resource:
        if extension.startswith("urn:") and extension not in resource.get("schemas", []):
            yield f"{extension} is not listed in schemas"
    for name, elements in resource.items():
        if not isinstance(elements, list):
            continue
        if sum(element.get("primary") is True for element in elements if isinstance(element, dict)) > 1:
            yield f"{name} has more than one primary"
    manager = look_up(resource, MANAGER)
    if manager is not MISSING and not (isinstance(manager, dict) and isinstance(manager.get("value"), str)):
        yield f"the manager is {manager!r}, not an object with a value"
    whole_user = "userName" in resource and "meta" in resource  # `attributes=` may leave `active` out, nothing else may
    if whole_user and not isinstance(resource.get("active"), bool):
        yield f"active is {resource.get('active')!r}"


def _nulls(value: Any, where: str = "the body") -> Iterator[str]:
    if value is None:
        yield where
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _nulls(item, f"{where}.{key}")
    elif isinstance(value, list):
        for n, item in enumerate(value):
            yield from _nulls(item, f"{where}.{n}")


def differences(expected: Any, actual: Any, *, where: str = "body", whole: bool = False) -> Iterator[str]:
    """Say where actual is not like expected; `whole` allows no further keys. Lists are compared in any order."""
    if actual is MISSING:
        yield f"{where} is missing instead of {expected!r}"
    elif isinstance(expected, dict) and isinstance(actual, dict):
        for key, value in expected.items():
            yield from differences(value, actual.get(key, MISSING), where=f"{where}.{key}", whole=whole)
        if whole and (further := sorted(actual.keys() - expected.keys())):
            yield f"{where} also has {further}"
    elif isinstance(expected, list) and isinstance(actual, list):
        yield from _list_differences(expected, actual, where=where, whole=whole)
    elif type(expected) is not type(actual) or expected != actual:  # True is not 1 here
        yield f"{where} is {actual!r} instead of {expected!r}"


def unlikeness(one: httpx.Response, other: httpx.Response) -> list[str]:
    """Say where two answers do not have the same body, to the last key."""
    return list(differences(body_of(one), body_of(other), whole=True))


def _list_differences(expected: list[Any], actual: list[Any], *, where: str, whole: bool) -> Iterator[str]:
    if len(expected) != len(actual):
        yield f"{where} has {len(actual)} elements instead of {len(expected)}: {actual!r}"
        return
    left = list(actual)
    for element in expected:
        like = next((n for n, one in enumerate(left) if not any(differences(element, one, whole=whole))), None)
        if like is None:
            yield f"{where} has nothing like {element!r}: {left!r}"
        else:
            del left[like]


def look_up(document: Any, path: str) -> Any:
    """Follow a dotted path; an extension's URN is one step, a number picks from a list."""
    for step in _steps(path):
        if isinstance(document, list) and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
        elif isinstance(document, Mapping) and step in document:
            document = document[step]
        else:
            return MISSING
    return document


def _steps(path: str) -> list[str]:
    extension = EXTENSION_PATH.search(path)
    if extension is None:
        return path.split(".")
    before, rest = path[: extension.start()].rstrip("."), extension["rest"]
    return [
        *(before.split(".") if before else []),
        extension["extension"],
        *(rest.split(".") if rest else []),
    ]


def body_of(answer: httpx.Response) -> Any:
    """Give the JSON of an answer, MISSING when it has none."""
    try:
        return answer.json()
    except ValueError:
        return MISSING
