"""Refusals of the core in SCIM's words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import httpx

from app_core.db import Connection
from app_core.errors import Busy
from runtime.asgi import build_app
from runtime.settings import Settings
from tests.answers import is_error

T = TypeVar("T")


class BusyDatabase:
    """A database that others never let go of."""

    async def read(self, job: Callable[[Connection], T]) -> T:
        raise Busy

    write = read

    async def close(self) -> None:
        """Nothing is open."""


def test_busy_is_503_and_says_when_to_come_back() -> None:
    """A client that knows Retry-After (RFC 9110 §10.2.3) sends it again by itself; nobody is told of a fault."""
    app = build_app(BusyDatabase(), Settings(), "http://scim.example", worker=False)

    async def post() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://scim.example") as client:
            return await client.post("/scim/v2/Users", json={"userName": "x"}, headers={"Authorization": "Bearer x"})

    answer = asyncio.run(post())

    assert (503, "5") == (answer.status_code, answer.headers["retry-after"])
    is_error(answer.json(), 503)
    assert "try again" in answer.json()["detail"]
