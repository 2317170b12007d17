"""How a client reads Graph: pages to their end, and a mirror made of what they say."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx

JsonObject = dict[str, Any]
NEXT, DELTA = "@odata.nextLink", "@odata.deltaLink"


def ok(answer: httpx.Response) -> JsonObject:
    """Hold an answer against 200 and give its document."""
    assert 200 == answer.status_code, answer.text
    document: JsonObject = answer.json()
    return document


def pages(graph: httpx.Client, address: str, **headers: str) -> list[JsonObject]:
    """Follow nextLinks to the end."""
    found = [ok(graph.get(address, headers=headers))]
    while NEXT in found[-1]:
        found.append(ok(graph.get(found[-1][NEXT], headers=headers)))
    return found


def items(found: list[JsonObject]) -> list[JsonObject]:
    """Give what all pages hold, in order."""
    return [item for page in found for item in page["value"]]


def read(graph: httpx.Client, address: str, **headers: str) -> tuple[list[JsonObject], str]:
    """Read a round: its items, and the deltaLink at its end."""
    found = pages(graph, address, **headers)
    return items(found), str(found[-1][DELTA])


def latest(graph: httpx.Client, address: str) -> str:
    """Give the deltaLink from which on only later changes are told, for an address without its token."""
    mark = "&" if "?" in address else "?"
    return str(ok(graph.get(f"{address}{mark}$deltatoken=latest"))[DELTA])


def error_code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


def quoted(text: str) -> str:
    return quote(text, safe="")


class Mirror:
    """Groups and their members as rounds tell them: removals first, then additions, object by object."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.members: dict[str, set[str]] = {}

    def take(self, item: JsonObject) -> None:
        if "@removed" in item:
            self.names.pop(item["id"], None)
            self.members.pop(item["id"], None)
            return
        if "displayName" in item:
            self.names[item["id"]] = item["displayName"]
        members = self.members.setdefault(item["id"], set())
        told = item.get("members@delta", [])
        members -= {each["id"] for each in told if "@removed" in each}
        members |= {each["id"] for each in told if "@removed" not in each}
