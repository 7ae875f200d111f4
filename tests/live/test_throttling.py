"""Limits over HTTPS, with two workers of four threads each."""

import math
import threading
import time
from fractions import Fraction

import http_sf
import pytest
import redis

from deploy.local.valkey import Valkey
from tests.live.service import Service

QUOTA = 40
RUNS = 5


@pytest.fixture(scope="module")
def valkey(tmp_path_factory):
    """Of these tests' own: the buckets of the other tests have other sizes."""
    valkey = Valkey(log=tmp_path_factory.mktemp("valkey") / "valkey.log")
    valkey.start()
    yield valkey
    valkey.close()


def empty(valkey):
    """Every bucket is full again."""
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()


@pytest.fixture
def serve(live, live_database, valkey, tmp_path_factory):
    """Serve the same data behind another limit, with every bucket full."""
    started = []

    def start(rate):
        empty(valkey)
        environment = {"VALKEY_URL": valkey.url, "THROTTLE_READ": rate, "THROTTLE_ADDRESS": "100000/60"}
        environment["PUBLIC_URL"] = live.base_url  # the audience of the token
        service = Service(tmp_path_factory.mktemp("limited"), {**live_database, **environment})
        started.append(service)
        return service.start()

    yield start
    for service in started:
        service.stop()


@pytest.fixture
def token(live):
    return live.token("auditor@acme.example", "account:read")


def test_sixteen_parallel_clients_get_the_quota_and_no_more_five_times(serve, valkey, token):
    service = serve(f"{QUOTA}/999999")  # nothing is refilled within the test
    for _ in range(RUNS):
        empty(valkey)
        statuses = []

        def attack(statuses=statuses):
            connection = service.connect()
            for _ in range(10):
                statuses.append(service.get("/v1/me", token, connection)[0])
            connection.close()

        threads = [threading.Thread(target=attack) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(statuses) == 160
        assert statuses.count(200) == QUOTA
        assert statuses.count(429) == 120


class Bucket:
    """An independent account of a bucket, from what a client sees.

    The server judged each request at some moment between sending and answering, so the level is known
    within bounds: if every request was judged as early, or as late, as possible.
    """

    def __init__(self, quota, window):
        self.quota = quota
        self.per_second = Fraction(quota, window)
        self.low = self.high = Fraction(quota)
        self.earliest = self.latest = None

    def request(self, sent, answered):
        if self.earliest is not None:
            least = max(Fraction(0), Fraction(sent) - self.latest)
            most = Fraction(answered) - self.earliest
            self.low = min(Fraction(self.quota), self.low + least * self.per_second)
            self.high = min(Fraction(self.quota), self.high + most * self.per_second)
        self.earliest, self.latest = Fraction(sent), Fraction(answered)
        return self.low, self.high

    def observe(self, *, allowed):
        if allowed:
            self.low, self.high = max(Fraction(0), self.low - 1), self.high - 1


def test_the_fields_of_a_thousand_requests_equal_an_independent_simulation(serve, token):
    quota, window = 120, 2
    service = serve(f"{quota}/{window}")
    seen = {200: 0, 429: 0}
    connection, bucket = service.connect(), Bucket(quota, window)
    for number in range(1000):
        if number % 250 == 249:
            pause_until(time.monotonic() + 0.5)
        sent = time.monotonic()
        status, headers, _ = service.get("/v1/me", token, connection)
        answered = time.monotonic()
        seen[status] += 1

        fields = {name: dict(parameters) for name, parameters in parse(headers["RateLimit"])}
        low, high = bucket.request(sent, answered)
        assert status == 200 or low < 1
        assert status == 429 or high >= 1
        bucket.observe(allowed=status == 200)
        low, high = bucket.low, bucket.high
        remaining, full_in = fields["read"]["r"], fields["read"]["t"]
        assert math.floor(low) <= remaining <= math.floor(high), number
        assert math.ceil((quota - high) / bucket.per_second) <= full_in, number
        assert full_in <= math.ceil((quota - low) / bucket.per_second), number
        # What the server said narrows the bounds for the next one.
        bucket.low, bucket.high = max(low, Fraction(remaining)), min(high, Fraction(remaining + 1))
    connection.close()
    assert seen[200] > quota


def parse(field):
    return http_sf.parse(field.encode(), tltype="list")


def pause_until(moment):
    while time.monotonic() < moment:
        threading.Event().wait(0.05)
