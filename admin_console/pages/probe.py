"""Test connection: what Entra asks when an administrator clicks it, and what the answer means, in sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import uuid4

import orjson

from admin_console.ports import OwnAnswer, Ports
from admin_console.request import Request
from app_core.connections import Caller
from app_core.errors import Invalid, NotPossible

LIST_RESPONSE = "urn:ietf:params:scim:api:messages:2.0:ListResponse"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a test says: a tone, what was seen, and what to do."""

    tone: str
    title: str
    sentence: str


class Tested(NamedTuple):
    """What was sent, and what came back."""

    token: str
    prefixed: bool
    """Whether 'Bearer ' stood in front, which Entra would send a second time."""
    sent: Sequence[str]
    answers: Sequence[OwnAnswer]


async def ask(ports: Ports, request: Request, asked: object) -> Tested:
    """Ask what Entra asks when an administrator clicks 'Test connection': for a user and a group that cannot exist."""
    if ports.ask_self is None:
        raise NotPossible("This server cannot ask itself; use 'Test connection' in Entra.")
    typed = request.text("token")
    prefixed = typed.lower().startswith("bearer ")
    token = typed[7:].strip() if prefixed else typed
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise Invalid("token: paste the secret token that Entra is to send. It has no blanks.")
    sent = [
        f"/Users?filter=userName+eq+%22{uuid4()}%22",
        f"/Groups?excludedAttributes=members&filter=displayName+eq+%22{uuid4()}%22",
    ]
    answers = []
    for path in sent:
        answers.append(await ports.ask_self(path, token))
        if answers[-1].status != 200:
            break
    return Tested(token, prefixed, sent, answers)


def verdict_of(tested: Tested, caller: Caller | None, tenant_id: str, base: str) -> Verdict:
    """Say what answers mean, and what to do. What is wrong on the way comes before what is wrong with the secret."""
    answer = tested.answers[-1]
    if answer.trouble is not None:
        return _not_reached(answer, base)
    if answer.status != 200:
        return _refused(answer, base)
    if not all(map(_is_empty_list, tested.answers)):
        return Verdict(
            "bad",
            "Something else answers there",
            f"{base} answered 200, but not with an empty list of SCIM: probably a proxy or firewall shows a page of "
            "its own, or the address leads to another server. Entra would call this 'ServiceIncompatible'. Let "
            "requests to /scim/v2 through unchanged.",
        )
    return _reached(tested, caller, tenant_id)


def _reached(tested: Tested, caller: Caller | None, tenant_id: str) -> Verdict:
    if caller is None:
        return Verdict(
            "bad",
            "Another server answers there",
            "The secret was taken at the Tenant URL, but this server does not know it. SCIM_SERVER_PUBLIC_URL leads to "
            "another installation; its operator has to set it to the address of this one.",
        )
    if caller.tenant_id != tenant_id:
        return Verdict(
            "bad",
            "This secret belongs to another tenant",
            "It works, but what Entra sends with it goes to another customer of this server. Make a secret on this "
            "page and paste that one.",
        )
    if tested.prefixed:
        return Verdict(
            "warn",
            "Good, but paste it without 'Bearer'",
            "The secret works. You pasted it with the word 'Bearer' in front; Entra adds that word itself, so leave it "
            "out there.",
        )
    return Verdict(
        "good",
        "This is how it should be",
        "The server was reached at its public address and took the secret, and the user and the group that cannot "
        "exist were not found. Entra's own 'Test connection' asks the same; it still has to come through from "
        "Microsoft's network.",
    )


def _not_reached(answer: OwnAnswer, base: str) -> Verdict:
    """Say what can be said when the server could not reach itself: the answer is of its own process."""
    secret = (
        "The secret itself is good: asked directly, the server took it."
        if answer.status == 200
        else f"The secret is not good either: {_detail(answer)}"
    )
    return Verdict(
        "warn" if answer.status == 200 else "bad",
        "The Tenant URL could not be reached from this server",
        f"{base}: {answer.trouble}. If 'Test connection' in Entra works, your network just does not let the server "
        "call itself, and all is well. If it does not, SCIM_SERVER_PUBLIC_URL, the name, the certificate or the proxy "
        f"before this server is wrong; its operator has to mend that. {secret}",
    )


def _refused(answer: OwnAnswer, base: str) -> Verdict:
    status = answer.status
    if status == 401:
        return Verdict("bad", "The secret is not taken", f"{_detail(answer)} Entra would speak of invalid credentials.")
    if 300 <= status < 400:
        where = answer.headers.get("location", "another address")
        title, sentence = (
            "The address leads on",
            f"{base} sends callers on to {where[:200]}. Entra does not follow: use that address.",
        )
    elif status == 403:
        title = "Something before the server refuses"
        sentence = "A firewall or proxy answered 403. Entra sends no User-Agent; exempt /scim/v2 from bot rules."
    elif status == 404:
        title = "There is nothing at this address"
        sentence = f"{base} answered 404: the proxy changes the path, or SCIM_SERVER_PUBLIC_URL leads elsewhere."
    elif status in (502, 503, 504):
        title = "The proxy does not reach the server"
        sentence = f"What stands before this server answered {status}. Its operator has to look at the proxy."
    else:
        title = f"The answer was {status}"
        sentence = f"{_detail(answer)} Give the operator the time of this test."
    return Verdict("bad", title, sentence)


def _is_empty_list(answer: OwnAnswer) -> bool:
    document = _document(answer)
    return document.get("schemas") == [LIST_RESPONSE] and document.get("totalResults") == 0


def _detail(answer: OwnAnswer) -> str:
    """Give the sentence of a SCIM error; of other answers nothing is repeated."""
    detail = _document(answer).get("detail")
    return detail[:300] if isinstance(detail, str) else "The answer is none of SCIM, so something else gave it."


def _document(answer: OwnAnswer) -> dict[str, object]:
    try:
        found = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
