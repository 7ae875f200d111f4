"""The controls as a Django app. Importing a control's module registers its system check."""

from importlib import import_module

from django.apps import AppConfig

from security.scopes import CONTACT_ROLE

CONTROLS_WITH_CHECKS = (
    "client_ip",
    "database_roles",
    "encryption",
    "field_access",
    "identifiers",
    "key_rotation",
    "keyring",
    "masking",
    "object_permissions",
    "page_limits",
    "policy",
    "quotas",
    "row_security",
    "strict_input",
    "throttling",
)


class SecurityConfig(AppConfig):
    name = "security"

    #: Scopes that this app contributes: name → the words shown on the consent page.
    scopes = {"audit:read": "Read the audit trail of the organisation"}
    #: Roles that this app contributes: name → what the role is for.
    roles = {
        "auditor": "Reads everything, changes nothing",
        CONTACT_ROLE: "An outsider: sees what was shared with them, and nothing else",
    }

    def ready(self) -> None:
        for control in CONTROLS_WITH_CHECKS:
            import_module(f"security.{control}")
