"""One request out of a seed and a number: always the same one, for the same people and objects."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urlencode

from fuzzing import hostile

#: Where a token stands in a request that is printed.
TOKEN = b"<token>"
VERSION = re.compile(rb'"[0-9]+"')
OBJECT = re.compile(rb"[0-9a-f-]{36}")


@dataclass(frozen=True, slots=True)
class Good:
    """A request that would succeed, once."""

    method: str
    path: str
    token: str
    body: Any
    headers: dict[str, str]
    #: The JSON schema of the body, if it has one.
    schema: dict[str, Any]
    #: The route, without its object.
    route: str


@dataclass(frozen=True, slots=True)
class Page:
    """What is not API: a route, and the names of what its form takes."""

    path: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cast:
    """Whom and what the requests are about, for a while."""

    good: tuple[Good, ...]
    pages: tuple[Page, ...]
    tokens: tuple[str, ...]
    ids: tuple[str, ...]


@dataclass(slots=True)
class Shot:
    """A request as it goes over the line."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    lines: list[bytes] = field(default_factory=list)
    version: bytes = b"HTTP/1.1"
    #: Content-Length says this instead of the truth; None: the truth, or no line without a body.
    length: int | None = None
    #: HTTP that a server may refuse, answer as it likes, or hang up on.
    wild: bool = False

    def raw(self) -> bytes:
        named = {name.lower() for name, _ in self.headers}
        lines = [b"%s %s %s" % (self.method.encode("latin-1"), self.target, self.version)]
        if b"host" not in named:
            lines.append(b"Host: localhost")
        lines += [b"%s: %s" % pair for pair in self.headers]
        lines += self.lines
        length = len(self.body) if self.length is None else self.length
        said = any(line.lower().startswith(b"content-length") for line in self.lines)
        if not said and (self.body or self.length is not None or self.method in {"POST", "PATCH", "PUT"}):
            lines.append(b"Content-Length: %d" % length)
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body


def shot(seed: int, number: int, cast: Cast) -> Shot:
    """Request ``number`` of a run. Most are API calls with fields, for these have bodies to take apart."""
    rng = Random(f"{seed}:{number}")  # noqa: S311  what is wanted is the same again
    if rng.random() < 0.08:
        made = _page(rng, cast)
    else:
        with_fields = [good for good in cast.good if good.schema.get("properties")]
        good = rng.choice(with_fields if rng.random() < 0.6 and with_fields else cast.good)
        made = _call(rng, good, cast)
    for likelihood, spoil in SPOILERS:
        if rng.random() < likelihood:
            spoil(made, rng)
    return made


def _call(rng: Random, good: Good, cast: Cast) -> Shot:
    sent = dict(good.headers)
    if "Idempotency-Key" in sent and rng.random() < 0.9:
        sent["Idempotency-Key"] = f"{rng.getrandbits(64):x}"  # another body under the same one is not read on
    headers = [(name.encode(), text.encode()) for name, text in sent.items()]
    token = good.token if rng.random() < 0.95 else rng.choice(cast.tokens)
    headers.append((b"Authorization", b"Bearer " + token.encode()))
    path = good.path
    if "{id}" in good.route and rng.random() < 0.08:
        path = good.route.replace("{id}", rng.choice((*cast.ids, hostile.UNKNOWN_ID)))
    made = Shot(good.method, path.encode(), headers)
    if good.method == "GET":
        return made
    document = _vary(good.body, rng) if isinstance(good.body, dict) else {}
    for _ in range(rng.choice((0, 0, 1, 1, 1, 2, 3))):
        document = hostile.spoil(document, rng, good.schema)
    made.body = hostile.encode(document, rng)
    if rng.random() < 0.12:
        made.body = rng.choice(hostile.NOT_JSON)(made.body, rng)
    if good.body is not None or rng.random() < 0.7:
        made.headers.append((b"Content-Type", b"application/json"))
    else:
        made.body = b""
    return made


def _vary(body: dict[str, Any], rng: Random) -> dict[str, Any]:
    """A new value for each short text that is not a name of something else, so that few are duplicates."""
    varied = dict(body)
    for name in ("name", "number"):
        if isinstance(varied.get(name), str):
            varied[name] = f"{varied[name]} {rng.randrange(10**9)}"
    return varied


def _page(rng: Random, cast: Cast) -> Shot:
    page = rng.choice(cast.pages)
    if rng.random() < 0.4:
        return Shot("GET", page.path.encode(), [])
    chosen = rng.sample(page.fields, k=rng.randrange(len(page.fields) + 1))
    form = [(name, str(hostile.value(rng))) for name in chosen]
    form += [rng.choice(form)] if form and rng.random() < 0.2 else []
    body = urlencode(form, errors="surrogatepass").encode()
    kind = b"application/x-www-form-urlencoded" if rng.random() < 0.9 else b"multipart/form-data; boundary=x"
    headers = [(b"Content-Type", kind), (b"Referer", b"https://localhost/")]
    return Shot("POST", page.path.encode(), headers, body)


# --- what is done to a request beside its body ---


def _header(made: Shot, rng: Random) -> None:
    name, text = rng.choice(hostile.HEADERS)
    kept = [pair for pair in made.headers if pair[0].lower() != name.lower()]
    if rng.random() < 0.6:
        made.headers = kept
    made.headers.append((name, text))
    if name in {b"Transfer-Encoding", b"Upgrade", b"Host", b"Expect"} or len(text) + len(name) > 3_500:
        made.wild = True


def _same_header_twice(made: Shot, rng: Random) -> None:
    if made.headers:
        made.headers.append(rng.choice(made.headers))


def _path(made: Shot, rng: Random) -> None:
    parts = made.target.split(b"/")
    where = rng.randrange(len(parts) + 1)
    segment = rng.choice(hostile.SEGMENTS)
    how = rng.randrange(3)
    if how == 0:
        parts.insert(where, segment)
    elif how == 1:
        parts[min(where, len(parts) - 1)] = segment
    else:
        parts[-1] += segment
    made.target = b"/".join(parts) or b"/"
    made.wild = True


def _query(made: Shot, rng: Random) -> None:
    chosen = rng.choice(hostile.QUERIES)
    made.target += (b"&" if b"?" in made.target else b"?") + chosen
    if b"\xff" in chosen:
        made.wild = True


def _method(made: Shot, rng: Random) -> None:
    made.method = rng.choice(hostile.METHODS)
    made.wild = True


def _line(made: Shot, rng: Random) -> None:
    made.lines.append(rng.choice(hostile.BROKEN_LINES))
    made.wild = True


def _length(made: Shot, rng: Random) -> None:
    made.length = rng.choice((0, 1, len(made.body) + 10, 2**31, max(len(made.body) - 1, 0)))
    made.wild = True


def _version(made: Shot, rng: Random) -> None:
    made.version = rng.choice((b"HTTP/1.0", b"HTTP/0.9", b"HTTP/3.0", b"HTTPS/1.1", b""))
    made.wild = True


def _many(made: Shot, rng: Random) -> None:
    made.headers += [(b"X-%d" % index, b"a") for index in range(rng.choice((90, 300)))]
    made.wild = True


def _target(made: Shot, rng: Random) -> None:
    made.target = rng.choice(
        (b"http://evil.example/", b"*", b"", b"?", b"//evil.example/v1/me", b"/" + b"a" * 9_000)
    )
    made.wild = True


SPOILERS: tuple[tuple[float, Callable[[Shot, Random], None]], ...] = (
    (0.14, _header),
    (0.03, _same_header_twice),
    (0.05, _path),
    (0.08, _query),
    (0.02, _method),
    (0.015, _line),
    (0.01, _length),
    (0.005, _version),
    (0.005, _many),
    (0.005, _target),
)


class Versions:
    """Of objects, as answers tell them: at another one a request is refused before its body is read."""

    def __init__(self) -> None:
        self.tags: dict[bytes, bytes] = {}

    def bring_up_to_date(self, made: Shot) -> None:
        """Name the version of now where the one of the good request is named."""
        known = self.tags.get(_object(made), b"")
        made.headers = [
            (name, known if known and name == b"If-Match" and VERSION.fullmatch(text) else text)
            for name, text in made.headers
        ]

    def see(self, made: Shot, headers: list[tuple[str, str]]) -> None:
        """Keep the newest: answers overtake each other."""
        tag = next((text.encode() for name, text in headers if name.lower() == "etag"), b"")
        if VERSION.fullmatch(tag):
            newest = max(self.tags.get(_object(made), tag), tag, key=lambda known: int(known.strip(b'"')))
            self.tags[_object(made)] = newest


def _object(made: Shot) -> bytes:
    found = OBJECT.search(made.target)
    return found[0] if found else b""


def printable(raw: bytes, tokens: tuple[str, ...]) -> str:
    """A request as Python bytes, for whoever wants to send it again, without the tokens."""
    for token in tokens:
        raw = raw.replace(token.encode(), TOKEN)
    return repr(raw if len(raw) < 3_000 else raw[:3_000] + b" ...")


def parses(body: bytes, loads: Callable[[bytes], Any]) -> bool:
    """Whether ``loads`` takes it. The parser's refusals are its own exceptions."""
    try:
        loads(body)
    except Exception:  # noqa: BLE001  whatever it is, it was not taken
        return False
    return True
