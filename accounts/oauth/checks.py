"""Start-up checks of the authorization server: what the library leaves open by default has to be closed.

Threat: a setting lost in a merge, or put back to its default because it "was in the way", and the server
runs on with a weaker protocol that no test of a fork's notices. Guarantee: each setting that this service's
security rests on is looked at when it starts; one that is not as it has to be ends start-up, with what to
do. The library's own checks are warnings, and run on request only.

oauth.E001 to E013. RFC 9700. ASVS 10.4.1, 10.4.3, 10.4.4, 10.4.5, 10.4.8, 10.4.11.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import get_hasher
from django.core.checks import CheckMessage, Error, Tags, register
from oauth2_provider.settings import oauth2_settings

from accounts.oauth.backends import OAuthBackend
from accounts.oauth.hashers import ClientSecretHasher
from accounts.oauth.scopes import ApplicationScopes
from accounts.oauth.validators import OAuthValidator
from security.policy import walk_routes

GATES = tuple(
    f"COMPLIANT_BCP_RFC9700_{name}"
    for name in (
        "IMPLICIT_GRANT",
        "PASSWORD_GRANT",
        "PKCE_METHOD",
        "ACCESS_TOKEN_TRANSPORT",
        "AUTHZ_RESPONSE_ISS",
        "TOKEN_STORAGE",
        "REFRESH_TOKEN",
        "REDIRECT_URI_SCHEME",
        "REDIRECT_URI_MATCHING",
        "PKCE_REQUIRED",
    )
)
GRANT_TYPES = {"authorization_code", "client_credentials", "refresh_token"}
MAX_ACCESS_SECONDS = 600
MAX_REFRESH_SECONDS = 86_400
MAX_CODE_SECONDS = 60
MAX_FAMILY_LIFETIME = timedelta(days=30)

#: id, setting, whether its value is as it has to be, what it has to be.
RULES: tuple[tuple[str, str, Callable[[Any], bool], str], ...] = (
    *(("oauth.E001", gate, lambda value: value is True, "True") for gate in GATES),
    ("oauth.E002", "REFRESH_TOKEN_REUSE_PROTECTION", lambda value: value is True, "True"),
    ("oauth.E002", "ROTATE_REFRESH_TOKEN", lambda value: value is True, "True"),
    ("oauth.E002", "REFRESH_TOKEN_GRACE_PERIOD_SECONDS", lambda value: value == 0, "0"),
    (
        "oauth.E003",
        "ACCESS_TOKEN_EXPIRE_SECONDS",
        lambda value: _is_within(value, MAX_ACCESS_SECONDS),
        f"a number of seconds up to {MAX_ACCESS_SECONDS}",
    ),
    (
        "oauth.E003",
        "REFRESH_TOKEN_EXPIRE_SECONDS",
        lambda value: _is_within(value, MAX_REFRESH_SECONDS),
        f"a number of seconds up to {MAX_REFRESH_SECONDS}",
    ),
    (
        "oauth.E003",
        "AUTHORIZATION_CODE_EXPIRE_SECONDS",
        lambda value: _is_within(value, MAX_CODE_SECONDS),
        f"a number of seconds up to {MAX_CODE_SECONDS}",
    ),
    ("oauth.E004", "ALLOWED_REDIRECT_URI_SCHEMES", lambda value: list(value) == ["https"], '["https"]'),
    ("oauth.E004", "ALLOW_URI_WILDCARDS", lambda value: value is False, "False"),
    ("oauth.E005", "DEFAULT_SCOPES", lambda value: list(value) == [], "[]"),
    (
        "oauth.E006",
        "SCOPES_BACKEND_CLASS",
        lambda value: issubclass(value, ApplicationScopes),
        "accounts.oauth.scopes.ApplicationScopes",
    ),
    (
        "oauth.E007",
        "OIDC_ISS_ENDPOINT",
        lambda value: value == settings.PUBLIC_URL,
        "PUBLIC_URL: the issuer is not what the Host header says",
    ),
    ("oauth.E007", "OIDC_ENABLED", lambda value: value is False, "False"),
    (
        "oauth.E008",
        "OAUTH2_GRANT_TYPES_SUPPORTED",
        lambda value: set(value) == GRANT_TYPES,
        f"{', '.join(sorted(GRANT_TYPES))}",
    ),
    ("oauth.E008", "OAUTH2_RESPONSE_TYPES_SUPPORTED", lambda value: list(value) == ["code"], '["code"]'),
    (
        "oauth.E009",
        "CLIENT_SECRET_HASHER",
        lambda value: isinstance(get_hasher(value), ClientSecretHasher),
        "client_secret_sha256: a slow hash lets anyone burn the CPU by sending wrong secrets",
    ),
    ("oauth.E010", "PKCE_REQUIRED", lambda value: value is True, "True"),
    (
        "oauth.E011",
        "OAUTH2_VALIDATOR_CLASS",
        lambda value: issubclass(value, OAuthValidator),
        "accounts.oauth.validators.OAuthValidator",
    ),
    (
        "oauth.E011",
        "OAUTH2_BACKEND_CLASS",
        lambda value: issubclass(value, OAuthBackend),
        "accounts.oauth.backends.OAuthBackend",
    ),
    ("oauth.E011", "REQUEST_APPROVAL_PROMPT", lambda value: value == "force", '"force"'),
)


@register(Tags.security)
def check_oauth(**kwargs: Any) -> list[CheckMessage]:
    """oauth.E001 to E011: a setting; E012: the family's lifetime; E013: a view of the library's."""
    return [*_settings(), *_family(), *_views()]


def _settings() -> Iterator[CheckMessage]:
    for check_id, name, is_right, wanted in RULES:
        try:
            fits = is_right(getattr(oauth2_settings, name))
        except (TypeError, ValueError, ImportError):
            fits = False
        if not fits:
            yield Error(
                f'OAUTH2_PROVIDER["{name}"] is not as it has to be.',
                hint=f"Set it to {wanted}. docs/oauth.md says what it is for.",
                id=check_id,
            )


def _family() -> Iterator[CheckMessage]:
    lifetime = settings.REFRESH_FAMILY_LIFETIME
    if not isinstance(lifetime, timedelta) or not timedelta(0) < lifetime <= MAX_FAMILY_LIFETIME:
        yield Error(
            "REFRESH_FAMILY_LIFETIME is not a time after which everybody has to sign in again.",
            hint=f"Give a timedelta of at most {MAX_FAMILY_LIFETIME.days} days.",
            id="oauth.E012",
        )


def _views() -> Iterator[CheckMessage]:
    for route, view in walk_routes():
        served = getattr(view, "view_class", None) or getattr(view, "cls", None)
        if getattr(served, "__module__", "").startswith("oauth2_provider."):
            yield Error(
                f"/{route} is a view of django-oauth-toolkit's.",
                hint="Mount accounts.oauth.urls: among the library's are client registration for any "
                "signed-in user and a device flow that fails.",
                id="oauth.E013",
            )


def _is_within(value: Any, most: int) -> bool:
    return isinstance(value, int) and 0 < value <= most
