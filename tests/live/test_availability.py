"""Outages of PostgreSQL and Valkey, over HTTPS."""

import json
import re
import secrets
import shutil
import tempfile
import urllib.parse
from pathlib import Path

import pytest

from deploy.local.postgres import Postgres
from deploy.local.valkey import Valkey
from tests.live.service import Service, seconds_until

PROBLEM = "application/problem+json"
RECOVERY_SECONDS = 5
LIMIT = 12


class Mortal:
    """A service whose databases a test may stop."""

    def __init__(self, directory):
        passwords = {role: secrets.token_urlsafe(24) for role in ("superuser", "owner", "service", "ops")}
        self.data = Path(tempfile.mkdtemp(prefix="portcullis-", dir="/tmp"))
        self.data.chmod(0o711)  # root's PostgreSQL runs as another user, who has to pass through
        log = directory / "postgres.log"
        self.postgres = Postgres(self.data / "data", log=log, passwords=passwords, durable=False)
        self.valkey = Valkey(log=directory / "valkey.log")
        self.postgres.start()
        self.valkey.start()
        self.service = Service(
            directory,
            {
                "DATABASE_URL": self.postgres.url("service"),
                "DATABASE_OWNER_URL": self.postgres.url("owner"),
                "DATABASE_OPS_URL": self.postgres.url("ops"),
                "VALKEY_URL": self.valkey.url,
                "THROTTLE_READ": f"{LIMIT}/900000",
            },
        )

    def close(self):
        self.service.stop()
        self.valkey.close()
        self.postgres.close()
        shutil.rmtree(self.data)


@pytest.fixture(scope="module")
def mortal(tmp_path_factory):
    mortal = Mortal(tmp_path_factory.mktemp("mortal"))
    try:
        mortal.service.prepare()
        mortal.service.start()
        yield mortal
    finally:
        mortal.close()


@pytest.fixture(scope="module")
def usernames(mortal):
    return iter([user["username"] for user in mortal.service.demo["users"]])


@pytest.fixture
def token(mortal, usernames):
    """Another person's for each test: their buckets are full."""
    return mortal.service.token(next(usernames), "account:read")


def assert_503(answer):
    status, headers, body = answer
    assert status == 503, body
    assert headers["Content-Type"] == PROBLEM
    assert int(headers["Retry-After"]) >= 1
    problem = json.loads(body)
    assert problem["type"].endswith("/problems/dependency-unavailable")
    assert "socket" not in body.decode()
    assert "psycopg" not in body.decode()


def sign_in_page(service):
    """The cookie and the CSRF token of a fresh form, or None."""
    status, headers, page = service.get("/sign-in")
    if status != 200:
        return None
    csrf = re.search(r'name="csrfmiddlewaretoken" value="([^"]*)"', page.decode())[1]
    return headers["Set-Cookie"].split(";")[0], csrf


def sign_in(service, page, **form):
    """The answer to a sign-in form."""
    cookie, csrf = page
    connection = service.connect()
    body = urllib.parse.urlencode({"csrfmiddlewaretoken": csrf, **form})
    headers = {
        "Cookie": cookie,
        "Referer": f"{service.base_url}/sign-in",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    connection.request("POST", "/sign-in", body=body, headers=headers)
    response = connection.getresponse()
    answer = response.status, response.headers, response.read()
    connection.close()
    return answer


def test_postgresql_stopped_and_started_again(mortal, token):
    service = mortal.service
    assert service.get("/v1/me", token)[0] == 200
    mortal.postgres.stop()
    try:
        for _ in range(10):
            assert_503(service.get("/v1/me", token))
        assert_503(service.get("/readyz"))
        assert_503(service.get("/oauth/authorize?client_id=x"))
        assert service.get("/healthz")[0] == 200
    finally:
        mortal.postgres.start()

    took = seconds_until(lambda: service.get("/v1/me", token)[0] == 200, within=RECOVERY_SECONDS)

    assert took < RECOVERY_SECONDS
    # Every worker and thread has recovered, not only the one that answered.
    assert {service.get("/readyz")[0] for _ in range(40)} == {200}


def test_valkey_stopped_and_started_again(mortal, token):
    service = mortal.service
    user = service.demo["users"][0]
    form = {"username": user["username"], "password": user["password"]}
    page = sign_in_page(service)
    mortal.valkey.stop()
    try:
        assert_503(service.get("/sign-in"))
        assert_503(sign_in(service, page, **form))
        statuses = [service.get("/v1/me", token)[0] for _ in range(LIMIT * 3)]
    finally:
        mortal.valkey.start()

    # A bucket in each of the two workers, and never more.
    assert LIMIT <= statuses.count(200) <= 2 * LIMIT
    assert statuses.count(429) == len(statuses) - statuses.count(200)
    # Each attempt is counted, so they are not made as fast as they can be.
    took = seconds_until(lambda: sign_in(service, page, **form)[0] == 303, within=RECOVERY_SECONDS, pause=0.2)
    assert took < RECOVERY_SECONDS


def test_the_service_starts_without_valkey_and_degrades(mortal, usernames):
    token = mortal.service.token(next(usernames), "account:read")
    other = Service(
        mortal.service.directory / "..", {**mortal.service.environment, "VALKEY_URL": "unix:///nowhere.sock"}
    )
    other.environment["PUBLIC_URL"] = mortal.service.base_url
    try:
        other.start()
        statuses = [other.get("/v1/me", token)[0] for _ in range(LIMIT * 3)]
    finally:
        other.stop()
    assert LIMIT <= statuses.count(200) <= 2 * LIMIT


def test_a_stop_is_clean_and_writes_the_counted_refusals(mortal):
    service = mortal.service
    for _ in range(20):
        assert service.get("/v1/me", "nonsense")[0] == 401
    service.stop()

    counts = mortal_counts(mortal)

    assert sum(counts) >= 20
    service.start()


def mortal_counts(mortal):
    import psycopg

    with psycopg.connect(mortal.postgres.url("ops")) as connection:
        rows = connection.execute(
            "SELECT count FROM security_auditevent WHERE event = 'api:request:unauthenticated'"
        )
        return [row[0] for row in rows]
