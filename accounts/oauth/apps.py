"""The authorization server as an app of its own: its five swapped models live in one migration."""

from importlib import import_module

from django.apps import AppConfig


class OAuthConfig(AppConfig):
    name = "accounts.oauth"
    label = "oauth"

    def ready(self) -> None:
        for module in ("checks", "revocation"):  # they register themselves
            import_module(f"accounts.oauth.{module}")
