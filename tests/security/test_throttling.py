"""security.throttling, on a real Valkey."""

import secrets
import threading
import time
from itertools import pairwise

import http_sf
import pytest
import redis
from django.conf import settings as django_settings

from deploy.local.valkey import Valkey
from security import throttling
from security.throttling import (
    MICROSECONDS,
    Limit,
    Limiter,
    LimiterUnavailable,
    LocalBuckets,
    Once,
    Rate,
    check_throttling,
)

SLOW = 100_000  # seconds: within a test nothing is refilled


@pytest.fixture
def limiter():
    return Limiter(django_settings.VALKEY_URL)


@pytest.fixture
def key():
    return f"test:{secrets.token_hex(8)}"


@pytest.fixture
def mortal(tmp_path):
    """A Valkey that a test may stop."""
    valkey = Valkey(log=tmp_path / "valkey.log")
    valkey.start()
    yield valkey
    valkey.close()


def rate(quota, window=SLOW, name="test"):
    return Rate(name, quota, window)


def test_a_rate_is_parsed():
    assert Rate.parse("read", "600/60") == Rate("read", 600, 60)


@pytest.mark.parametrize(
    "text", ["", "600", "0/60", "600/0", "-1/60", "600/60/1", "600 / 60", "6e2/60", "900000000/1", "600/60\n"]
)
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(ValueError, match="is not a rate"):
        Rate.parse("read", text)


def test_it_admits_the_quota_and_no_more(limiter, key):
    limits = [Limit(rate(3), key)]

    decisions = [limiter.check(limits, fail_closed=True) for _ in range(5)]

    assert [decision.allowed for decision in decisions] == [True, True, True, False, False]
    assert [decision.states[0].remaining for decision in decisions] == [2, 1, 0, 0, 0]
    assert decisions[-1].violated == ("test",)


def test_refill_is_even_on_valkeys_clock(limiter, key):
    """Between two requests, as many microseconds of debt are gone as have passed."""
    limit = Limit(rate(1000, window=60), key)
    observed = []
    for _ in range(20):
        sent = time.monotonic()
        debt = limiter.check([limit], fail_closed=True).states[0].debt
        observed.append((sent, debt, time.monotonic()))

    for (sent, debt, answered), (next_sent, next_debt, next_answered) in pairwise(observed):
        refilled = (debt + limit.rate.interval - next_debt) / MICROSECONDS
        assert next_sent - answered - 0.001 <= refilled <= next_answered - sent + 0.001


def test_all_limits_are_charged_or_none(limiter, key):
    tight, wide = Limit(rate(1, name="tight"), key), Limit(rate(100, name="wide"), key)
    assert limiter.check([wide, tight], fail_closed=True).allowed

    refused = [limiter.check([wide, tight], fail_closed=True) for _ in range(5)]

    assert not any(decision.allowed for decision in refused)
    assert refused[-1].violated == ("tight",)
    assert refused[-1].states[0].remaining == 99


def test_a_refusal_says_when_one_request_fits(limiter, key):
    limit = Limit(rate(2, window=60), key)
    for _ in range(2):
        limiter.check([limit], fail_closed=True)

    refused = limiter.check([limit], fail_closed=True)

    assert refused.headers()["Retry-After"] == "30"
    assert refused.states[0].full_in == 60


def test_headers_are_structured_fields(limiter, key):
    limits = [Limit(rate(60, 60, "burst"), key), Limit(rate(5000, 86_400, "daily"), key)]

    headers = limiter.check(limits, fail_closed=True).headers()

    policy = http_sf.parse(headers["RateLimit-Policy"].encode(), tltype="list")
    state = http_sf.parse(headers["RateLimit"].encode(), tltype="list")
    assert [(name, dict(params)) for name, params in policy] == [
        ("burst", {"q": 60, "w": 60}),
        ("daily", {"q": 5000, "w": 86_400}),
    ]
    assert [(name, dict(params)) for name, params in state] == [
        ("burst", {"r": 59, "t": 1}),
        ("daily", {"r": 4999, "t": 18}),
    ]
    assert "Retry-After" not in headers


def test_a_lowered_quota_applies_at_once(limiter, key):
    for _ in range(100):
        limiter.check([Limit(rate(100), key)], fail_closed=True)

    lowered = limiter.check([Limit(rate(10), key)], fail_closed=True)

    assert not lowered.allowed
    assert lowered.states[0].full_in <= SLOW


@pytest.mark.asvs("14.2.2")
def test_keys_expire_and_hold_no_account(limiter, mortal):
    limiter = Limiter(mortal.url)
    limiter.check([Limit(rate(10, window=60), "account:clerk@acme.example")], fail_closed=True)

    with redis.Redis.from_url(mortal.url) as client:
        (stored,) = client.keys()
        assert b"clerk" not in stored
        assert 0 < client.pttl(stored) <= 6_000


def test_parallel_requests_never_get_more_than_the_quota(key):
    """16 threads on their own connections, five times."""
    for run in range(5):
        limit = Limit(rate(100), f"{key}:{run}")
        admitted = []
        limiter = Limiter(django_settings.VALKEY_URL)

        def attack(limiter=limiter, limit=limit, admitted=admitted):
            for _ in range(25):
                admitted.append(limiter.check([limit], fail_closed=True).allowed)

        threads = [threading.Thread(target=attack) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(admitted) == 400
        assert sum(admitted) == 100


# --- without Valkey ---


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(Limiter, "clock", clock)
    return clock


@pytest.fixture
def orphan(clock, tmp_path):
    """A limiter whose Valkey is not there."""
    return Limiter(f"unix://{tmp_path}/nothing.sock")


@pytest.mark.asvs("16.5.2", "16.5.3")
def test_a_guessing_caller_is_refused_without_valkey(orphan, key):
    with pytest.raises(LimiterUnavailable) as outage:
        orphan.check([Limit(rate(10), key)], fail_closed=True)

    assert outage.value.retry_after == 1


def test_the_rest_gets_a_bucket_in_the_process(orphan, clock, key):
    limit = Limit(rate(3, window=30), key)

    decisions = [orphan.check([limit], fail_closed=False) for _ in range(4)]
    clock.now += 10
    later = [orphan.check([limit], fail_closed=False) for _ in range(2)]

    assert [decision.allowed for decision in decisions] == [True, True, True, False]
    assert [decision.allowed for decision in later] == [True, False]
    assert all(decision.degraded for decision in decisions)


def test_an_outage_hands_out_no_fresh_quota(mortal, key):
    limiter = Limiter(mortal.url)
    limit = Limit(rate(10), key)
    for _ in range(9):
        assert not limiter.check([limit], fail_closed=False).degraded
    mortal.stop()

    decisions = [limiter.check([limit], fail_closed=False) for _ in range(3)]

    assert [decision.allowed for decision in decisions] == [True, False, False]
    assert decisions[0].degraded


@pytest.mark.asvs("16.5.2")
def test_it_returns_to_valkey_after_the_breaker(mortal, clock, key):
    limiter = Limiter(mortal.url)
    limit = Limit(rate(100), key)
    limiter.check([limit], fail_closed=False)
    mortal.stop()
    assert limiter.check([limit], fail_closed=False).degraded
    mortal.start()

    assert limiter.check([limit], fail_closed=False).degraded
    clock.now += throttling.BREAKER_SECONDS
    assert not limiter.check([limit], fail_closed=False).degraded


def test_a_valkey_that_hangs_costs_one_timeout_a_second(mortal, clock, key):
    limiter = Limiter(mortal.url)
    limit = Limit(rate(1000), key)
    limiter.check([limit], fail_closed=False)
    process = mortal.child.process
    process.send_signal(19)  # SIGSTOP
    try:
        started = time.monotonic()
        degraded = [limiter.check([limit], fail_closed=False).degraded for _ in range(50)]
        took = time.monotonic() - started
    finally:
        process.send_signal(18)  # SIGCONT

    assert all(degraded)
    # One attempt and one retry on a new connection, then the breaker.
    assert took < 3 * throttling.SOCKET_TIMEOUT_SECONDS


def test_local_buckets_are_bounded_and_then_shared(monkeypatch):
    monkeypatch.setattr(throttling, "MAX_LOCAL_KEYS", 10)
    buckets = LocalBuckets()
    now = 1000 * MICROSECONDS

    def ask(key):
        limit = Limit(rate(2), key)
        return buckets.check([limit], [limit.storage_key], now).allowed

    assert all(ask(f"a{number}") for number in range(10))
    newcomers = [ask(f"b{number}") for number in range(10)]

    assert newcomers == [True, True] + [False] * 8
    assert len(buckets._full_at) <= 11


def test_the_local_judgement_equals_the_scripts(limiter, key):
    """The same requests, given to both, get the same answers."""
    limits = [Limit(rate(5, name="a"), key), Limit(rate(3, name="b"), key)]
    buckets = LocalBuckets()
    keys = [limit.storage_key for limit in limits]

    for _ in range(6):
        ours = buckets.check(limits, keys, 0)
        theirs = limiter.check(limits, fail_closed=True)
        assert ours.allowed == theirs.allowed
        assert [s.remaining for s in ours.states] == [s.remaining for s in theirs.states]


# --- misconfigured ---


def test_the_projects_settings_pass():
    assert check_throttling() == []


@pytest.mark.parametrize("text", ["600", "lots", "0/1"])
def test_a_rate_that_is_none_is_an_error(settings, text):
    settings.THROTTLES = {"read": text}

    (error,) = check_throttling()

    assert error.id == "security.E030"
    assert "THROTTLE_READ" in error.msg


def test_an_unusable_url_is_an_error(settings):
    settings.VALKEY_URL = "http://cache"

    (error,) = check_throttling()

    assert error.id == "security.E031"


def test_an_unknown_rate_is_a_key_error(settings):
    settings.THROTTLES = {}

    with pytest.raises(KeyError):
        throttling.get_rate("read")


def test_state_arithmetic_at_the_edges():
    state = throttling.State(rate(7, window=60), debt=rate(7, window=60).span)

    assert state.remaining == 0
    assert state.retry_after == 9  # 60/7 s, rounded up
    assert throttling.State(rate(7, window=60), debt=0).retry_after == 0


# --- what may be used once ---


def test_it_is_taken_once_and_charges_its_limits_with_it(limiter, key):
    limit, once = Limit(rate(3), key), Once(secrets.token_hex(8), 60)

    answers = [limiter.check([limit], fail_closed=False, once=[once]) for _ in range(2)]

    assert [answer.replayed for answer in answers] == [False, True]
    assert [answer.states[0].remaining for answer in answers] == [2, 1]


def test_a_request_over_its_limit_has_used_nothing(limiter, key):
    limit, once = Limit(rate(1), key), Once(secrets.token_hex(8), 60)
    limiter.check([limit], fail_closed=False)

    refused = limiter.check([limit], fail_closed=False, once=[once])

    assert (refused.allowed, refused.replayed) == (False, False)
    assert not limiter.check([], fail_closed=False, once=[once]).replayed


def test_it_is_never_decided_without_valkey(key):
    with pytest.raises(LimiterUnavailable):
        Limiter("redis://127.0.0.1:1/0").check([Limit(rate(3), key)], fail_closed=False, once=[Once("x", 60)])


def test_it_is_forgotten_in_time(limiter):
    once = Once(secrets.token_hex(8), 60)
    limiter.check([], fail_closed=False, once=[once])

    with redis.Redis.from_url(django_settings.VALKEY_URL) as client:
        assert 0 < client.pttl(once.storage_key) <= 60_000
