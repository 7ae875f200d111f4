"""Throttling: exact limits, shared by every process, in one round trip.

Threat: a limit that parallel requests slip through because it reads before it writes; a window whose edge
admits twice the quota; a limiter that fails open, so that taking down the cache takes down the limit.
Guarantee: a bucket of ``quota`` requests that refills evenly over ``window`` seconds (GCRA). One script in
Valkey judges all limits of a request at once, on Valkey's clock: all have room and each is charged, or none
is. Without Valkey, a caller that guesses (sign-in) is refused with 503; the rest falls back to a bucket in
the process that goes on from the last state seen, never to unlimited.

The same script marks what may be used once (the ``jti`` of a DPoP proof or of a client's assertion), so
that it costs no further round trip. It is never decided without Valkey: LimiterUnavailable.

The answer's fields: ``r`` is the number of requests that could be made at once, ``t`` the seconds (rounded
up) until the bucket is full again; Retry-After is the seconds (rounded up) until one request fits.

Settings: THROTTLES (name → "quota/seconds"), VALKEY_URL. OWASP API4:2023, API2:2023. ASVS 2.4.1, 6.3.1.
draft-ietf-httpapi-ratelimit-headers-10.
"""

import hashlib
import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, cast

import redis
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from redis.backoff import NoBackoff
from redis.retry import Retry

MICROSECONDS = 1_000_000
SOCKET_TIMEOUT_SECONDS = 0.5
#: After a failure, Valkey is not asked again for so long: an outage must not add its timeout to each request.
BREAKER_SECONDS = 1.0
MAX_LOCAL_KEYS = 20_000
RATE = re.compile(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,5})")
NAME = re.compile(r"[a-z][a-z0-9_-]*")

# KEYS are the buckets, each with two ARGV (interval, quota), then what is used once, each with one
# (milliseconds). Returns how many limits have no room, how many things were used before, then for each
# limit its debt: the microseconds until its bucket is full. A request that is refused has used nothing.
GCRA = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local debts, charged, refused, replayed = {}, {}, 0, 0
local limits = #ARGV - #KEYS
for i = 1, limits do
  local key = KEYS[i]
  local interval, quota = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local full_at = tonumber(redis.call('GET', key) or now)
  debts[i] = math.min(math.max(full_at - now, 0), interval * quota)
  charged[i] = debts[i] + interval
  if charged[i] > interval * quota then refused = refused + 1 end
end
if refused == 0 then
  for i = 1, limits do
    redis.call('SET', KEYS[i], string.format('%.0f', now + charged[i]), 'PX', math.ceil(charged[i] / 1000))
  end
  for i = limits + 1, #KEYS do
    if not redis.call('SET', KEYS[i], '', 'PX', ARGV[limits + i], 'NX') then replayed = replayed + 1 end
  end
  debts = charged
end
return {refused, replayed, unpack(debts)}
"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rate:
    """``quota`` requests, refilled evenly over ``window`` seconds."""

    name: str
    quota: int
    window: int

    @classmethod
    def parse(cls, name: str, text: str) -> "Rate":
        """From ``"600/60"``. Raises ValueError."""
        match = RATE.fullmatch(text)
        if match is None or not NAME.fullmatch(name):
            raise ValueError(f"{name}: {text!r} is not a rate")
        rate = cls(name, int(match[1]), int(match[2]))
        if not rate.interval:
            raise ValueError(f"{name}: {text!r} is not a rate: faster than one request a microsecond")
        return rate

    @property
    def interval(self) -> int:
        """Microseconds in which one request is refilled."""
        return self.window * MICROSECONDS // self.quota

    @property
    def span(self) -> int:
        """Microseconds in which an empty bucket is refilled."""
        return self.interval * self.quota


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate, applied to what ``key`` names."""

    rate: Rate
    key: str

    @property
    def storage_key(self) -> str:
        """Keys may hold addresses and accounts: Valkey gets a digest, of one length whatever was sent."""
        return f"throttle:{self.rate.name}:{hashlib.sha256(self.key.encode()).hexdigest()[:40]}"


@dataclass(frozen=True, slots=True)
class Once:
    """What ``key`` names may be used once within ``window`` seconds."""

    key: str
    window: int

    @property
    def storage_key(self) -> str:
        return f"throttle:once:{hashlib.sha256(self.key.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class State:
    """One bucket after the decision: ``debt`` microseconds until it is full."""

    rate: Rate
    debt: int

    @property
    def remaining(self) -> int:
        return (self.rate.span - self.debt) // self.rate.interval

    @property
    def full_in(self) -> int:
        """Seconds, rounded up."""
        return -(-self.debt // MICROSECONDS)

    @property
    def retry_after(self) -> int:
        """Seconds, rounded up, until one request fits; 0 when one does now."""
        return max(0, -((self.rate.span - self.debt - self.rate.interval) // MICROSECONDS))


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the request may go on, and what its answer's RateLimit fields say."""

    allowed: bool
    states: tuple[State, ...]
    degraded: bool = False
    replayed: bool = False

    @property
    def violated(self) -> tuple[str, ...]:
        """The names of the policies without room; empty when allowed."""
        return () if self.allowed else tuple(s.rate.name for s in self.states if s.retry_after)

    @property
    def retry_after(self) -> int:
        return max(state.retry_after for state in self.states)

    def headers(self) -> dict[str, str]:
        """RateLimit-Policy and RateLimit as structured fields; Retry-After with a refusal."""
        fields = {
            "RateLimit-Policy": ",".join(
                f'"{s.rate.name}";q={s.rate.quota};w={s.rate.window}' for s in self.states
            ),
            "RateLimit": ",".join(f'"{s.rate.name}";r={s.remaining};t={s.full_in}' for s in self.states),
        }
        if not self.allowed:
            fields["Retry-After"] = str(self.retry_after)
        return fields


class LimiterUnavailable(Exception):  # noqa: N818  a state of the world, like Django's own exceptions
    """Valkey is out of reach and this caller must not go on without it."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("the rate limiter is out of reach")
        self.retry_after = retry_after


class LocalBuckets:
    """The fallback, and what it goes on from: when each bucket will be full, on this process's clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._full_at: dict[str, int] = {}

    def remember(self, keys: Sequence[str], states: Sequence[State], now: int) -> None:
        """Keep what Valkey said."""
        with self._lock:
            for key, state in zip(keys, states, strict=True):
                self._full_at[self._slot(key, state.rate, now)] = now + state.debt

    def check(self, limits: Sequence[Limit], keys: Sequence[str], now: int) -> Decision:
        """The script's judgement, in this process alone."""
        with self._lock:
            slots = [self._slot(key, limit.rate, now) for key, limit in zip(keys, limits, strict=True)]
            debts = [
                min(max(self._full_at.get(slot, now) - now, 0), limit.rate.span)
                for slot, limit in zip(slots, limits, strict=True)
            ]
            charged = [debt + limit.rate.interval for debt, limit in zip(debts, limits, strict=True)]
            allowed = all(c <= limit.rate.span for c, limit in zip(charged, limits, strict=True))
            if allowed:
                debts = charged
                for slot, debt in zip(slots, debts, strict=True):
                    self._full_at[slot] = now + debt
        states = tuple(State(limit.rate, debt) for limit, debt in zip(limits, debts, strict=True))
        return Decision(allowed, states, degraded=True)

    def _slot(self, key: str, rate: Rate, now: int) -> str:
        """``key`` while there is room; then one slot for all newcomers of a rate: tighter, never looser."""
        if key in self._full_at or len(self._full_at) < MAX_LOCAL_KEYS:
            return key
        self._full_at = {known: full_at for known, full_at in self._full_at.items() if full_at > now}
        return key if len(self._full_at) < MAX_LOCAL_KEYS else f"throttle:{rate.name}:overflow"


class Limiter:
    """Valkey, with a breaker in front and the local buckets behind."""

    clock: ClassVar[Callable[[], float]] = time.monotonic

    def __init__(self, url: str) -> None:
        client = redis.Redis.from_url(
            url,
            socket_timeout=SOCKET_TIMEOUT_SECONDS,
            socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        self._script = client.register_script(GCRA)
        self._local = LocalBuckets()
        self._closed_until = 0.0

    def check(self, limits: Sequence[Limit], *, fail_closed: bool, once: Sequence[Once] = ()) -> Decision:
        keys = [limit.storage_key for limit in limits]
        seconds = type(self).clock()
        now = int(seconds * MICROSECONDS)
        answer = self._ask(keys, limits, once) if seconds >= self._closed_until else None
        if answer is not None:
            states = tuple(
                State(limit.rate, int(debt)) for limit, debt in zip(limits, answer[2:], strict=True)
            )
            self._local.remember(keys, states, now)
            return Decision(answer[0] == 0, states, replayed=answer[1] != 0)
        if fail_closed or once:
            raise LimiterUnavailable(retry_after=max(1, round(BREAKER_SECONDS)))
        return self._local.check(limits, keys, now)

    def _ask(self, keys: list[str], limits: Sequence[Limit], once: Sequence[Once]) -> list[int] | None:
        numbers = [number for limit in limits for number in (limit.rate.interval, limit.rate.quota)]
        numbers += [use.window * 1000 for use in once]
        try:
            return cast(list[int], self._script(keys=keys + [use.storage_key for use in once], args=numbers))
        except redis.RedisError as error:
            self._closed_until = type(self).clock() + BREAKER_SECONDS
            logger.error("rate limiter out of reach", extra={"error": type(error).__name__})
            return None


def check(limits: Sequence[Limit], *, fail_closed: bool, once: Sequence[Once] = ()) -> Decision:
    """Judge and charge ``limits``, all or none, and mark ``once``, whose replay the decision tells.

    Without Valkey it raises LimiterUnavailable if ``fail_closed``, or if anything may be used only once.
    """
    return _limiter(settings.VALKEY_URL).check(limits, fail_closed=fail_closed, once=once)


def get_rate(name: str) -> Rate:
    """The configured rate; KeyError for a name that THROTTLES has not."""
    return _parse(name, settings.THROTTLES[name])


@cache
def _parse(name: str, text: str) -> Rate:
    return Rate.parse(name, text)


@cache
def _limiter(url: str) -> Limiter:
    return Limiter(url)


@register(Tags.security)
def check_throttling(**kwargs: Any) -> list[CheckMessage]:
    """security.E030: a rate that is none; E031: no usable VALKEY_URL."""
    messages: list[CheckMessage] = []
    for name, text in settings.THROTTLES.items():
        try:
            Rate.parse(name, text)
        except ValueError:
            messages.append(
                Error(
                    f"THROTTLE_{name.upper()}: {text!r} is not a rate.",
                    hint='Give "<requests>/<seconds>", such as "600/60".',
                    id="security.E030",
                )
            )
    if not settings.VALKEY_URL.startswith(("redis://", "rediss://", "unix://")):
        messages.append(
            Error(
                "VALKEY_URL is not redis://, rediss:// or unix://.",
                hint="Point it at Valkey 8 or Redis 7 and later, such as rediss://:password@cache:6379/0.",
                id="security.E031",
            )
        )
    return messages
