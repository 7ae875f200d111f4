"""fuzzing: the same request for the same number, and what counts as a finding. `make fuzz` sends them."""

import random

import pytest

from fuzzing import hostile
from fuzzing.__main__ import Fuzzer, exceptions
from fuzzing.shots import Cast, Good, Page, Shot, Versions, parses, printable, shot
from fuzzing.target import HANG_SECONDS, Answer
from security.json_parser import loads

TOKEN = "t" * 43
SCHEMA = {"properties": {"name": {"type": "string", "maxLength": 20}, "amount": {"type": "integer"}}}
BODY = {"name": "Paper Mill", "amount": 5}
POST = Good("POST", "/v1/things", TOKEN, BODY, {}, SCHEMA, "/v1/things")
READ = Good("GET", "/v1/things", TOKEN, None, {}, {}, "/v1/things")
CAST = Cast((POST, READ), (Page("/sign-in", ("username",)),), (TOKEN,), (hostile.UNKNOWN_ID,))
PROBLEM = b'{"type":"https://x/problems/invalid-input","errors":[{"pointer":"/a"}]}'


class Silent:
    """Looks at nothing."""

    def look(self, call):
        pass


@pytest.fixture
def fuzzer():
    return Fuzzer(1, None, CAST, Silent(), loads)


def test_a_request_depends_on_seed_and_number_alone():
    first = [shot(1, number, CAST).raw() for number in range(200)]

    assert first == [shot(1, number, CAST).raw() for number in range(200)]
    assert first != [shot(2, number, CAST).raw() for number in range(200)]
    assert len(set(first)) > 150


def test_most_bodies_parse_and_some_do_not():
    bodies = [made.body for made in (shot(1, number, CAST) for number in range(1000)) if made.body]
    parsed = sum(parses(body, loads) for body in bodies)

    assert 500 < parsed < len(bodies) - 20


def test_every_way_to_spoil_a_body_gives_bytes():
    rng = random.Random(1)  # noqa: S311  what is wanted is the same again
    for spoil in hostile.NOT_JSON:
        assert isinstance(spoil(b'{"a": 1}', rng), bytes)
    for _ in range(500):
        hostile.encode(hostile.spoil(BODY, rng, SCHEMA), rng)


@pytest.mark.parametrize(
    ("answer", "wild", "finding"),
    [
        (Answer(200, [], b"", 0.1), False, None),
        (Answer(500, [], b"{}", 0.1), False, "answered 500"),
        (Answer(503, [], b"{}", 0.1), True, "answered 503"),
        (Answer(200, [], b"", HANG_SECONDS + 0.1), True, "it took"),
        (Answer(0, [], b"", 0.1), False, "closed without an answer"),
        (Answer(0, [], b"", 0.1), True, None),
    ],
)
def test_what_is_a_finding(fuzzer, answer, wild, finding, capsys):
    made = Shot("GET", b"/v1/things", [(b"Authorization", b"Bearer " + TOKEN.encode())], wild=wild)

    fuzzer._judge(7, made, made.raw(), answer, CAST)

    assert bool(fuzzer.tally.findings) is (finding is not None)
    if finding:
        (text,) = fuzzer.tally.findings
        assert finding in text
        assert "seed 1 number 7" in text
        assert TOKEN not in text + capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "answered", "body", "parsed"),
    [
        (201, b"{}", b'{"a": 1}', 1),
        (409, b"{}", b'{"a": 1}', 1),
        (400, PROBLEM, b'{"a": 1}', 1),
        (400, b'{"type":"https://x/problems/malformed-body"}', b'{"a": 1}', 0),
        (401, b"{}", b'{"a": 1}', 0),
        (201, b"{}", b"", 0),
        (409, b"{}", b"{", 0),
    ],
)
def test_what_counts_as_past_the_parser(fuzzer, status, answered, body, parsed):
    made = Shot("POST", b"/v1/things", [], body)

    fuzzer._judge(1, made, made.raw(), Answer(status, [], answered, 0.1), CAST)

    assert fuzzer.tally.parsed == parsed


def test_a_conflict_of_state_is_before_the_parser(fuzzer):
    made = Shot("POST", b"/v1/things/x/act", [(b"If-Match", b'"1"')], b"{}")

    fuzzer._judge(1, made, made.raw(), Answer(409, [], b"{}", 0.1), CAST)

    assert fuzzer.tally.parsed == 0


def test_the_version_named_is_the_newest_that_was_answered():
    versions, target = Versions(), f"/v1/things/{hostile.UNKNOWN_ID}".encode()

    def named(tag):
        made = Shot("PATCH", target, [(b"If-Match", tag)])
        versions.bring_up_to_date(made)
        return made.headers[0][1]

    assert named(b'"1"') == b'"1"'
    for tag in ('"9"', '"10"', '"2"', 'W/"11"', "x"):
        versions.see(Shot("PATCH", target, []), [("ETag", tag)])
    assert named(b'"1"') == b'"10"'
    assert named(b"*") == b"*"


def test_most_requests_have_a_key_of_their_own():
    create = Good("POST", "/v1/things", TOKEN, BODY, {"Idempotency-Key": "k"}, SCHEMA, "/v1/things")
    cast = Cast((create,), CAST.pages, CAST.tokens, CAST.ids)
    made = [shot(1, number, cast) for number in range(200)]
    keys = [text for each in made for name, text in each.headers if name == b"Idempotency-Key"]

    assert len(set(keys)) > len(keys) / 2
    assert b"k" in keys


def test_a_traceback_in_the_log_is_found_once():
    line = '{"event": "it broke", "exception": "Traceback\\nValueError: x"}\n'

    assert exceptions(line * 3 + '{"event": "request"}\n') == ["Traceback\nValueError: x"]
    assert exceptions("Traceback (most recent call last):\n  ...") != []


def test_a_request_is_printed_without_its_token():
    assert TOKEN not in printable(shot(1, 1, CAST).raw(), (TOKEN,))
