"""T3, "Send by e-mail": a start code goes to its person alone, by a real mail server on loopback."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app_core import migrations
from tests.api import Company, companies, problem
from tests.mail import Letterbox, letterbox
from tests.processes import ServerProcess, empty_database, serving

CODE = re.compile(r"^    ([0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4})\r?$", re.MULTILINE)


@pytest.fixture(scope="module")
def box() -> Iterator[Letterbox]:
    with letterbox() as running:
        yield running


@pytest.fixture(scope="module")
def with_mail(
    database_url: str, box: Letterbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ServerProcess, str]]:
    folder: Path = tmp_path_factory.mktemp("mail")
    with empty_database(database_url, folder) as url:
        migrations.upgrade(url)
        with serving(url, folder, worker=False, smtp_url=box.url) as server:
            yield server, url
            assert 0 == server.terminate()


@pytest.fixture
def company(with_mail: tuple[ServerProcess, str], box: Letterbox) -> Iterator[Company]:
    server, url = with_mail
    box.letters.clear()
    box.refuses = False
    with companies(server.url, url) as make:
        yield make()


def test_t3_a_start_code_is_mailed_and_redeemed(
    company: Company, box: Letterbox, with_mail: tuple[ServerProcess, str]
) -> None:
    """The letter has the code, the answer and the server's output do not; it activates the account once."""
    user = company.hire()
    person = company.person(user)

    answer = company.api.post(f"people/{person['id']}/start-code/mail")

    assert 200 == answer.status_code, answer.text
    assert {"person_id", "expires_at"} == set(answer.json())
    [(to, letter)] = box.letters
    assert person["email"] == to
    [code] = CODE.findall(letter.get_payload(decode=True).decode())  # type: ignore[union-attr]
    assert code not in answer.text
    assert code not in with_mail[0].output()
    assert person["email"] not in with_mail[0].output()
    redeemed = company.api.post("activations/redeem", json={"sign_in": person["sign_in"], "start_code": code})
    assert person["id"] == redeemed.json()["person_id"]


def test_t3_a_mail_server_that_refuses(company: Company, box: Letterbox, with_mail: tuple[ServerProcess, str]) -> None:
    """The refusal says so, names nobody in the process log, and is in the provisioning log."""
    person = company.person(company.hire())
    box.refuses = True

    said = problem(company.api.post(f"people/{person['id']}/start-code/mail"), 409, "mail-not-sent")

    assert "Try again" in said["detail"]
    assert [] == box.letters
    assert person["email"] not in with_mail[0].output()
    entry = company.api.get("provisioning-log", params={"limit": 1}).json()["items"][0]
    assert ("failure", "mail-not-sent") == (entry["outcome"], entry["reason_code"])
