"""accounts.models."""

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from accounts.models import Membership, Organisation, User
from tests import factories

pytestmark = pytest.mark.django_db


def test_an_address_is_kept_in_lower_case_and_found_in_any():
    user = User.objects.create_user("Alice@Example.COM", "x" * 12, name="Alice")

    assert user.email == "alice@example.com"
    assert User.objects.get_by_natural_key(" ALICE@example.com") == user


def test_the_database_refuses_another_case():
    with pytest.raises(IntegrityError):
        User.objects.create(email="Alice@example.com", name="Alice")


@pytest.mark.parametrize("email", ["", "nobody", "a@b", "x" * 250 + "@b.example"])
def test_what_is_no_address_is_refused(email):
    with pytest.raises(ValidationError):
        User.objects.create_user(email, "x" * 12, name="Alice")


def test_a_person_has_one_role_in_an_organisation(acme):
    user = factories.member("auditor", acme)

    with pytest.raises(IntegrityError):
        Membership.objects.create(user=user, organisation=acme, role="org_admin")


@pytest.mark.parametrize("role", ["", "service", "superuser", "Auditor"])
def test_a_role_has_to_exist(acme, role):
    with pytest.raises(ValidationError):
        Membership(user=factories.member("auditor", acme), organisation=acme, role=role).full_clean()


@pytest.mark.parametrize("currency", ["", "eu", "E R", "eur"])
def test_a_currency_is_three_capitals(currency):
    with pytest.raises(IntegrityError):
        Organisation.objects.create(name="X", currency=currency)


def test_names_in_logs_tell_nothing(acme):
    assert str(factories.member("auditor", acme)).count("-") == 4


@pytest.mark.asvs("6.3.2")
def test_the_migrations_make_nobody(django_db_setup):
    """Guardian's AnonymousUser neither."""
    assert django_db_setup == 0
