"""The lab's own server process: the product's application, started as always, then without some layers.

Two routes are added that a careless developer might have written. They are there in every play.
"""

import os

from config.wsgi import application  # the start-up checks have passed when this returns

from django.apps import apps  # isort: skip  # needs the application
from django.http import HttpRequest, HttpResponse  # isort: skip
from django.urls import clear_url_caches, path  # isort: skip

import config.urls  # isort: skip
from lab.layers import remove  # isort: skip

__all__ = ["application"]


def forgetful_report(request: HttpRequest) -> HttpResponse:
    """Signed in, and no filter: every row of a tenant's table that the database shows."""
    from rest_framework.request import Request

    from accounts.oauth.authentication import BearerAuthentication

    if BearerAuthentication().authenticate(Request(request)) is None:
        return HttpResponse(status=401)
    model = apps.get_model("security", "AuditEvent")
    return HttpResponse("\n".join(str(row.organisation_id) for row in model.objects.all()))


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("could not connect to db.internal with hunter2")


config.urls.urlpatterns += [path("lab/report", forgetful_report), path("lab/broken", broken)]
clear_url_caches()
remove([name for name in os.environ.get("LAB_WITHOUT", "").split(",") if name])
