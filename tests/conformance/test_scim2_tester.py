"""scim2-tester, an independent suite: discovery, every attribute by POST, PUT and PATCH, searches, against a server."""

from __future__ import annotations

import httpx2
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import CheckResult, Status, check_server

from tests.conftest import Tenant

KNOWN_CHECKS = 135


def test_scim2_tester_finds_no_error(tenant: Tenant) -> None:
    """All checks that the suite knew when this was written succeed, and none of them finds an error."""
    headers = {"Authorization": f"Bearer {tenant.token}"}
    with httpx2.Client(base_url=tenant.scim_url, headers=headers, timeout=30) as http:
        results = check_server(SyncSCIMClient(http))
    succeeded = [result for result in results if result.status is Status.SUCCESS]

    assert [] == [told(result) for result in results if result.status in (Status.ERROR, Status.CRITICAL)]
    assert len(succeeded) >= KNOWN_CHECKS


def told(result: CheckResult) -> str:
    return f"{result.status.name} {result.title} {result.resource_type or ''}: {result.reason}"
