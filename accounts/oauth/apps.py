"""The authorization server as an app of its own: its five swapped models live in one migration."""

from importlib import import_module

from django.apps import AppConfig


class OAuthConfig(AppConfig):
    name = "accounts.oauth"
    label = "oauth"

    def ready(self) -> None:
        import_module("accounts.oauth.revocation")  # connects its receiver
