"""Nothing that was handed out is in the database: not as it is, nor in another spelling of it."""

import secrets

import pytest

from accounts.oauth.pushed_requests import PREFIX
from accounts.oauth.validators import digest
from tests import factories
from tests.clients import Flow, Page, basic, post_form
from tests.dumps import dump, in_dump, spellings
from tests.proofs import Key

pytestmark = pytest.mark.django_db

SCOPE = "account:read"
PASSWORD = "a password of " + secrets.token_hex(8)


@pytest.fixture
def handed_out(acme):
    """name → secret, of every flow that there is."""
    user = factories.member("auditor", acme)
    user.set_password(PASSWORD)
    user.save()
    factories.enrol(user)
    page = Page()
    page.sign_in(user, PASSWORD)
    given = {"password": PASSWORD, "session": page.cookies["__Host-session"].value}
    given["seed"] = factories.TOTP_SECRET

    def tokens(name, answer):
        body = answer.json()
        assert answer.status_code == 200, body
        given.update(
            {f"{name} {kind}": body[kind] for kind in ("access_token", "refresh_token") if kind in body}
        )
        return body

    public, key = factories.public_client(), Key()
    flow = Flow(page, public, SCOPE)
    given["unspent code"] = flow.code()
    given["spent code"] = flow.code()
    given["verifier"] = flow.verifier
    first = tokens("bearer", flow.exchange(given["spent code"]))
    form = {"grant_type": "refresh_token", "client_id": public.client_id}
    tokens("refreshed", post_form("/oauth/token", {**form, "refresh_token": first["refresh_token"]}))
    bound = Flow(page, public, SCOPE)
    tokens("bound", bound.exchange(bound.code(), key.at_token_endpoint()))

    pushed = Flow(page, public, SCOPE)
    given["request_uri"] = pushed.push().json()["request_uri"].removeprefix(PREFIX)

    given["client secret"] = secrets.token_urlsafe(48)
    confidential = factories.public_client(
        client_type="confidential",
        token_endpoint_auth_method="client_secret_basic",
        client_secret=given["client secret"],
    )
    flow = Flow(page, confidential, SCOPE)
    tokens("confidential", flow.exchange(flow.code(), client_secret=given["client secret"]))
    flow.push(client_secret=given["client secret"])
    given["service secret"] = secrets.token_urlsafe(48)
    service = factories.service_client(acme, user, secret=given["service secret"])
    form = {"grant_type": "client_credentials", "scope": "audit:read"}
    tokens("service", post_form("/oauth/token", form, **basic(service.client_id, given["service secret"])))

    signing = Key()
    signer = factories.service_client(
        acme, user, secret="", token_endpoint_auth_method="private_key_jwt", client_jwks=signing.jwks
    )
    assertion = signing.assertion(signer.client_id)
    given["assertion"] = assertion["client_assertion"]
    given["private key"] = signing.jwk.export(as_dict=True)["d"]
    tokens("signer", post_form("/oauth/token", {**form, **assertion}))
    return given


def test_a_dump_holds_none_of_it(handed_out):
    text = dump()

    assert in_dump(handed_out) == set()
    # What is there are digests: the dump is one, and of these very tokens.
    for name in ("bound access_token", "bound refresh_token", "unspent code", "spent code", "request_uri"):
        assert digest(handed_out[name]).encode() in text


def test_the_search_finds_what_is_there(acme):
    secret = secrets.token_urlsafe(32)
    planted = [s.decode() for s in spellings(secret) if s.isascii() and s.decode().isprintable()]

    for spelling in (secret, *planted[::5]):
        acme.name = spelling[:150]
        acme.save()
        assert in_dump({"secret": secret}) == {"secret"}, spelling
