"""Who is calling: people, organisations, memberships, sign-in."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"

    scopes = {
        "account:read": "See who you are and what your role is",
        "members:manage": "Manage the members of the organisation, and invite to it",
    }
    roles = {"org_admin": "Manages members and clients of the organisation"}
