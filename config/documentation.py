"""The documentation pages: Swagger UI from our own origin, for signed-in users.

Not the library's page: that one carries an inline style and script. Ours carries neither, so the strict page
policy of settings.CONTENT_SECURITY_POLICY holds with three sources added, each for what Swagger UI does.
"""

from typing import Any

from csp.constants import SELF
from csp.decorators import csp_update
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse

from accounts.oauth.models import Application


@login_required
@csp_update({"script-src": [SELF], "connect-src": [SELF], "img-src": [SELF, "data:"]})
def documentation(request: HttpRequest) -> HttpResponse:
    """Swagger UI. Its client is the public one whose redirect URI is our page; without one, no sign-in."""
    redirect_uri = settings.PUBLIC_URL + reverse("docs-oauth2-redirect")
    client = Application.objects.filter(client_type="public", redirect_uris=redirect_uri).first()
    options: dict[str, Any] = {
        "document": reverse("schema"),
        "redirectUri": redirect_uri,
        "clientId": client.client_id if client else "",
    }
    return render(request, "config/documentation.html", {"options": options})


@login_required
def document(request: HttpRequest) -> HttpResponseBase:
    """The committed OpenAPI document, which `make check` holds to the code."""
    return FileResponse(settings.OPENAPI_DOCUMENT.open("rb"), content_type="application/yaml")


@csp_update({"script-src": [SELF]})
def oauth2_redirect(request: HttpRequest) -> HttpResponse:
    """Where Swagger UI's sign-in returns to: a page that hands the code to the window that opened it."""
    return render(request, "config/oauth2_redirect.html")
