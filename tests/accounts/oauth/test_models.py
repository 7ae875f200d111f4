"""The authorization server's tables: what cannot be stored."""

import pytest
from django.db import IntegrityError

from accounts.oauth.models import AccessToken
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.mark.asvs("10.7.1")
@pytest.mark.parametrize(
    "fields",
    [
        {"authorization_grant_type": "implicit"},
        {"authorization_grant_type": "password"},
        {"authorization_grant_type": "client-credentials"},
        {"authorization_grant_type": "openid-hybrid"},
        {"authorization_grant_type": "urn:ietf:params:oauth:grant-type:device_code"},
        {"skip_authorization": True},
        {"token_endpoint_auth_method": "client_secret_basic"},
        {"client_type": "confidential"},
        {
            "client_type": "confidential",
            "token_endpoint_auth_method": "client_secret_basic",
            "client_secret": "",
        },
        {"hash_client_secret": False},
    ],
)
def test_an_unsafe_client_cannot_exist(fields):
    with pytest.raises(IntegrityError):
        factories.public_client(**fields)


def test_a_service_client_has_an_organisation_and_a_person(acme, auditor):
    with pytest.raises(IntegrityError):
        factories.service_client(acme, auditor, secret="x" * 43, organisation=None)


def test_a_service_client_without_a_person_cannot_exist(acme, auditor):
    with pytest.raises(IntegrityError):
        factories.service_client(acme, auditor, secret="x" * 43, user=None)


def test_a_secret_is_stored_as_a_fast_salted_hash(acme, auditor):
    secret = "s" * 64
    one = factories.service_client(acme, auditor, secret=secret)
    two = factories.service_client(acme, auditor, secret=secret)

    assert one.client_secret.startswith("client_secret_sha256$")
    assert one.client_secret != two.client_secret
    assert secret not in one.client_secret


def test_a_token_in_the_clear_cannot_be_stored(acme, auditor):
    factories.token(auditor, acme)

    with pytest.raises(IntegrityError):
        AccessToken.objects.update(token="in the clear")
