"""The endpoints of the authorization server, and no others of the library's."""

from django.urls import path

from accounts.oauth.introspection import IntrospectTokenView
from accounts.oauth.pushed_requests import PushedRequestView
from accounts.oauth.views import AuthorizeView, RevokeTokenView, TokenView
from security.policy import exempt_from_policy

app_name = "oauth2_provider"
urlpatterns = [
    path(
        "authorize",
        exempt_from_policy(AuthorizeView.as_view(), reason="a page: session, CSRF token and consent"),
        name="authorize",
    ),
    path(
        "token",
        exempt_from_policy(TokenView.as_view(), reason="RFC 6749 token endpoint: authenticates clients"),
        name="token",
    ),
    path(
        "par",
        exempt_from_policy(PushedRequestView.as_view(), reason="RFC 9126: authenticates clients"),
        name="par",
    ),
    path(
        "revoke",
        exempt_from_policy(RevokeTokenView.as_view(), reason="RFC 7009: authenticates clients"),
        name="revoke-token",
    ),
    path(
        "introspect",
        exempt_from_policy(IntrospectTokenView.as_view(), reason="RFC 7662: authenticates clients"),
        name="introspect",
    ),
]
