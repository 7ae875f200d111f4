"""The authorization server as an app of its own: its five swapped models live in one migration."""

from django.apps import AppConfig


class OAuthConfig(AppConfig):
    name = "accounts.oauth"
    label = "oauth"
