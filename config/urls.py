"""Every route of the service. What is not API is exempted by name, with the reason beside it."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpResponseBase
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from accounts import staff
from accounts.invitations import InvitationPage, InvitationViewSet
from accounts.me import GrantViewSet, MeViewSet, SessionViewSet
from accounts.members import MemberViewSet
from accounts.oauth.metadata import ResourceMetadataView, ServerMetadataView
from config.documentation import document, documentation, oauth2_redirect
from security import errors
from security.audit_trail import AuditEventViewSet
from security.availability import live, ready
from security.page_limits import uncounted
from security.policy import exempt_from_policy
from security.routes import resource


def read(view: Callable[..., HttpResponseBase]) -> Callable[..., Any]:
    """``view`` for GET and HEAD: any other method is 405, and not asked for a form's token before."""
    return csrf_exempt(require_safe(view))  # GET and HEAD change nothing, and no other method gets in


urlpatterns = [
    path("v1/me", MeViewSet.as_view({"get": "retrieve"}), name="me"),
    path("v1/", include(resource("me/sessions", SessionViewSet))),
    path("v1/", include(resource("me/grants", GrantViewSet))),
    path("v1/", include(resource("members", MemberViewSet))),
    path("v1/", include(resource("invitations", InvitationViewSet))),
    path("v1/", include(resource("audit-events", AuditEventViewSet))),
    path("v1/", include("resources.urls")),
    path("oauth/", include("accounts.oauth.urls")),
    path(
        ".well-known/oauth-authorization-server",
        exempt_from_policy(read(ServerMetadataView.as_view()), reason="public metadata, RFC 8414"),
    ),
    path(
        ".well-known/oauth-protected-resource",
        exempt_from_policy(read(ResourceMetadataView.as_view()), reason="public metadata, RFC 9728"),
    ),
    path("", include("accounts.urls")),
    path(
        "invitation/<str:organisation>/<str:token>",
        exempt_from_policy(InvitationPage.as_view(), reason="a page: the link's token, and the form's"),
        name="invitation",
    ),
    path("docs", exempt_from_policy(read(documentation), reason="a page, for signed-in users"), name="docs"),
    path(
        "docs/openapi.yaml", exempt_from_policy(read(document), reason="for signed-in users"), name="schema"
    ),
    path(
        "docs/oauth2-redirect",
        exempt_from_policy(read(oauth2_redirect), reason="static; where Swagger UI's sign-in returns"),
        name="docs-oauth2-redirect",
    ),
    path(
        "problems/<slug:slug>",
        exempt_from_policy(uncounted(read(errors.problem_page)), reason="explains the error types"),
    ),
    path("healthz", exempt_from_policy(uncounted(read(live)), reason="liveness; tells nothing")),
    path("readyz", exempt_from_policy(uncounted(read(ready)), reason="readiness; tells nothing")),
]

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.page_not_found
handler500 = errors.server_error

if settings.ADMIN:
    urlpatterns += [path("admin/", staff.site.urls)]
