"""A person with a browser: signs in where they are sent to, and consents."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from accounts.management.commands.demo_token import Browser
from tests.live.service import Service

AGE = """
from datetime import datetime, timedelta
from accounts.sessions import SessionStore
from accounts.oauth.models import AccessToken, RefreshToken
session = SessionStore("{key}")
session["auth_time"] = (datetime.fromisoformat(session["auth_time"]) - timedelta(minutes=10)).isoformat()
session.save()
for model in (AccessToken, RefreshToken):
    for token in model.objects.exclude(auth_time=None):
        model.objects.filter(pk=token.pk).update(auth_time=token.auth_time - timedelta(minutes=10))
"""


class Person:
    """``sign_ins`` counts how often they had to."""

    def __init__(self, live: Service, username: str) -> None:
        self.live = live
        self.user: dict[str, Any] = live.user(username)
        self.browser = Browser(live.base_url, live.demo["ca_file"])
        self.sign_ins = 0

    def consent(self, url: str, decision: str = "allow") -> str:
        """What the authorization request at ``url`` is answered with: a callback with parameters."""
        path = str(url).removeprefix(self.live.base_url)
        assert path.startswith("/oauth/authorize?")
        _, location, _ = self.browser.send(path)
        if location.startswith("/sign-in?"):
            self.browser.sign_in(self.user["username"], self.user["password"], self.user["totp_secret"])
            self.sign_ins += 1
        elif location.startswith("/reauthenticate?"):
            self.browser.reauthenticate(self.user["password"], self.user["totp_secret"])
            self.sign_ins += 1
        elif location:
            return location  # an error, or no question
        _, location, _ = self.browser.send(path, {**self.browser.form(path), "decision": decision})
        return location


class EagerAdapter(HTTPAdapter):
    """Reads every answer at once: the library leaves some unread, and their connections open."""

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        response = super().send(*args, **kwargs)
        response.content  # noqa: B018  reading it is what is wanted
        return response


@contextmanager
def https_session(live: Service) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False  # or a CA bundle of the environment's goes before ours
        session.verify = live.demo["ca_file"]
        session.mount("https://", EagerAdapter())
        yield session


def ten_minutes_later(person: Person) -> None:
    """As far as this person's session, and everybody's tokens, are concerned."""
    (key,) = (cookie.value for cookie in person.browser.cookies if cookie.name == "__Host-session")
    person.live.manage("shell", "-c", AGE.format(key=key))
