"""``manage.py demo_token``: a token for a demo user, through the real flow over HTTPS."""

import base64
import hashlib
import hmac
import json
import re
import secrets
import ssl
import time
import urllib.error
import urllib.request
from html import unescape
from http import HTTPStatus
from http.cookiejar import CookieJar
from typing import IO, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

CLIENT = "demo-web"
CODE_PATH = "/sign-in/code"
TOTP_SECONDS = 30
INPUT = re.compile(r'name="(?P<name>csrfmiddlewaretoken|organisation)" value="(?P<value>[^"]*)"')


class Command(BaseCommand):
    help = (
        "Prints an access token of a demo user's; with --dpop also the key that it is bound to and a call "
        "that works for a minute. Refused unless DEMO is on; the demo has to be running."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", required=True, help="such as clerk@acme.example")
        parser.add_argument("--scope", required=True, help='such as "invoices:read vendors:read"')
        parser.add_argument("--dpop", action="store_true", help="bind the token to a new key (RFC 9449)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("DEMO is off: this command knows the demo's passwords only.")
        try:
            demo = json.loads(settings.DEMO_FILE.read_text())
        except OSError:
            raise CommandError("There is no demo yet: start it with `make run`.") from None
        user = next((user for user in demo["users"] if user["username"] == options["user"]), None)
        if user is None:
            known = ", ".join(user["username"] for user in demo["users"])
            raise CommandError(f"There is no such demo user. There are: {known}.")
        client = next(client for client in demo["clients"] if client["client_id"] == CLIENT)
        browser = Browser(demo["base_url"], demo["ca_file"])
        browser.sign_in(user["username"], user["password"], user["totp_secret"])
        code, verifier = browser.authorize(client, options["scope"])
        key = DemoKey(demo["base_url"]) if options["dpop"] else None
        token = browser.exchange(client, code, verifier, key)["access_token"]
        self.stdout.write(token)
        if key is not None:
            proof = key.proof("GET", "/v1/me", nonce=browser.nonce, token=token)
            self.stdout.write(f"{key.jwk.export()}\n")
            self.stdout.write(
                f"curl --cacert {demo['ca_file']} -H 'Authorization: DPoP {token}' -H 'DPoP: {proof}' "
                f"{demo['base_url']}/v1/me"
            )


class DemoKey:
    """A client's key, and the proofs that it makes."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.jwk = JWK.generate(kty="EC", crv="P-256")

    def proof(self, method: str, path: str, *, nonce: str, token: str = "") -> str:
        """RFC 9449 section 4.2: for one request, with the ``token`` that goes with it."""
        claims: dict[str, Any] = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": self.base_url + path,
        }
        claims |= {"iat": int(time.time()), "nonce": nonce}
        if token:
            claims["ath"] = base64url(hashlib.sha256(token.encode()).digest())
        document = JWS(json.dumps(claims))
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk.export_public(as_dict=True)}
        document.add_signature(self.jwk, alg="ES256", protected=json.dumps(header))
        return str(document.serialize(compact=True))


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """The redirects are what is read here."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class Browser:
    """What a browser does in the authorization code flow. Raises CommandError with the server's answer."""

    def __init__(self, base_url: str, ca_file: str) -> None:
        self.base_url = base_url
        self.nonce = ""
        self.cookies = CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca_file or None)),
            urllib.request.HTTPCookieProcessor(self.cookies),
            NoRedirect,
        )

    def sign_in(self, username: str, password: str, totp_secret: str | None = None) -> None:
        """The password, and a code where the answer is a question for one."""
        status, location = self.enter_password(username, password)
        if location == CODE_PATH and totp_secret:
            status, location = self.enter_code(totp_secret)
        if location == CODE_PATH:
            raise CommandError("Sign-in asks for a code of the second factor.")
        if not location:
            raise CommandError(f"Sign-in failed with status {status}.")

    def enter_password(self, username: str, password: str) -> tuple[int, str]:
        """(status, Location)."""
        form = {**self.form("/sign-in"), "username": username, "password": password}
        status, location, _ = self.send("/sign-in", form)
        return status, location

    def enter_code(self, secret: str) -> tuple[int, str]:
        """(status, Location). A code is good once: one that was spent just now is followed by the next."""
        for _ in range(2):
            if location := self.send_code(totp(secret, time.time())):
                return HTTPStatus.SEE_OTHER, location
            time.sleep(TOTP_SECONDS - time.time() % TOTP_SECONDS)  # the next code is not there before
        return HTTPStatus.OK, ""

    def reauthenticate(self, password: str, totp_secret: str | None = None) -> None:
        """Everything that sign-in asks for, again."""
        path = "/reauthenticate"
        for _ in range(2):
            code = {"code": totp(totp_secret, time.time())} if totp_secret else {}
            _, location, _ = self.send(path, {**self.form(path), "password": password, **code})
            if location or not totp_secret:
                break
            time.sleep(TOTP_SECONDS - time.time() % TOTP_SECONDS)  # the next code is not there before
        if not location:
            raise CommandError("Authenticating again failed.")

    def send_code(self, code: str) -> str:
        """Where it leads; empty for a code that is not right or was used."""
        _, location, _ = self.send(CODE_PATH, {**self.form(CODE_PATH), "code": code})
        return location

    def authorize(self, client: dict[str, Any], scope: str) -> tuple[str, str]:
        """The code and its PKCE verifier."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64url(hashlib.sha256(verifier.encode()).digest())
        query = {
            "response_type": "code",
            "client_id": client["client_id"],
            "redirect_uri": client["redirect_uris"][0],
            "scope": scope,
            "state": secrets.token_urlsafe(16),
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        path = f"/oauth/authorize?{urlencode(query)}"
        _, location, _ = self.send(path, {**self.form(path), "decision": "allow"})
        answer = parse_qs(urlsplit(location).query)
        if "code" not in answer or answer["state"] != [query["state"]]:
            raise CommandError(f"There was no code: {answer.get('error', ['no answer'])[0]}.")
        return answer["code"][0], verifier

    def exchange(
        self, client: dict[str, Any], code: str, verifier: str, key: DemoKey | None = None
    ) -> dict[str, Any]:
        """The token endpoint's answer; with a ``key``, for a token that is bound to it."""
        form = {
            "grant_type": "authorization_code",
            "client_id": client["client_id"],
            "redirect_uri": client["redirect_uris"][0],
            "code": code,
            "code_verifier": verifier,
        }
        status, body = 0, ""
        # The first proof brings the nonce that the second one needs.
        for _ in range(2 if key and not self.nonce else 1):
            proof = {"DPoP": key.proof("POST", "/oauth/token", nonce=self.nonce)} if key else {}
            status, _, body = self.send("/oauth/token", form, **proof)
        if status != 200:
            raise CommandError(f"The token endpoint answered {status}.")
        token: dict[str, Any] = json.loads(body)
        return token

    def form(self, path: str) -> dict[str, str]:
        """The hidden fields of the form at ``path``."""
        status, location, page = self.send(path)
        if location:
            query = parse_qs(urlsplit(location).query)
            raise CommandError(
                f"The server refused: {query.get('error_description', query.get('error', [location]))[0]}"
            )
        if status != 200:
            raise CommandError(f"{urlsplit(path).path} answered {status}.")
        return {match["name"]: unescape(match["value"]) for match in INPUT.finditer(page)}

    def send(self, path: str, form: dict[str, str] | None = None, **more: str) -> tuple[int, str, str]:
        """(status, Location, body). ``more`` are headers."""
        url = self.base_url + path
        headers = {"Referer": url, "Accept": "text/html, application/json", **more}
        data = urlencode(form).encode() if form is not None else None
        request = urllib.request.Request(url, data=data, headers=headers)  # noqa: S310  the demo's own URL
        answer: IO[bytes]
        try:
            answer = self.opener.open(request, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        except urllib.error.URLError as error:
            raise CommandError(
                f"{self.base_url} does not answer ({error.reason}). Is `make run` running?"
            ) from None
        with answer:
            headers_in: Any = answer.headers  # type: ignore[attr-defined]  # both kinds of answer have them
            self.nonce = headers_in.get("DPoP-Nonce", self.nonce)
            return answer.status, headers_in.get("Location", ""), answer.read().decode()  # type: ignore[attr-defined]  # as above


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def totp(secret: str, at: float) -> str:
    """The six digits that an authenticator app shows at that moment (RFC 6238)."""
    counter = int(at // TOTP_SECONDS).to_bytes(8, "big")
    digest = hmac.digest(base64.b32decode(secret), counter, "sha1")
    start = digest[-1] & 0xF
    return f"{(int.from_bytes(digest[start : start + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06}"
