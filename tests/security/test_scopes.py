"""security.scopes."""

from django.apps import apps

from security.scopes import SERVICE_ROLE, DenyAll, all_roles, all_scopes


def test_every_app_contributes_its_scopes_and_roles():
    scopes, roles = all_scopes(), all_roles()

    for config in apps.get_app_configs():
        assert getattr(config, "scopes", {}).items() <= scopes.items()
        assert getattr(config, "roles", {}).items() <= roles.items()
    assert {"audit:read", "account:read"} <= scopes.keys()
    assert {"auditor", "org_admin"} <= roles.keys()


def test_every_scope_has_words_for_the_consent_page():
    assert all(words and words[0].isupper() for words in all_scopes().values())


def test_no_membership_can_carry_the_service_role():
    assert SERVICE_ROLE not in all_roles()


def test_the_default_permission_denies():
    assert DenyAll().has_permission(None, None) is False
