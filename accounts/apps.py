"""Who is calling: people, organisations, memberships, sign-in."""

from importlib import import_module

from django.apps import AppConfig

from security.key_rotation import Holding


class AccountsConfig(AppConfig):
    name = "accounts"

    scopes = {
        "account:read": "See who you are, your sessions and what you have allowed",
        "account:manage": "End your sessions, and take back what you have allowed",
        "members:manage": "Manage the members of the organisation, and invite to it",
    }
    roles = {"org_admin": "Manages members and clients of the organisation"}
    #: Roles that nobody has in a session without a second factor (accounts.second_factor).
    roles_requiring_mfa = frozenset({"org_admin"})

    #: Ciphertexts in a table that is not ours (accounts.second_factor, security.key_rotation).
    encrypted = (Holding("mfa_authenticator", "data", row="user_id", members=("secret", "seed")),)

    def ready(self) -> None:
        import_module("accounts.receivers")
        import_module("accounts.passwords")  # its system check
