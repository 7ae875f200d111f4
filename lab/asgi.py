"""The lab's own server process: the product's application, started as always, then without some layers.

Some routes are added that a careless developer might have written. They are there in every play; but the
forgotten one only if the start-up check lets it pass, which would end the process.
"""

import logging
import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from config.asgi import application  # the start-up checks have passed when this returns

from django.apps import apps  # isort: skip  # needs the application
from django.db import connection  # isort: skip
from django.http import HttpRequest, HttpResponse  # isort: skip
from django.urls import clear_url_caches, path  # isort: skip
from rest_framework.response import Response  # isort: skip
from rest_framework.views import APIView  # isort: skip

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


def concatenated(request: HttpRequest) -> HttpResponse:
    """A statement made of what the caller sent."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM django_migrations WHERE name = '{request.GET['name']}'")
    return HttpResponse(status=204)


def talkative(request: HttpRequest) -> HttpResponse:
    """Logs what the caller sent, as it is."""
    logging.getLogger("lab").warning(
        "search: " + request.GET["search"], extra={"password": request.GET["password"]}
    )
    return HttpResponse(status=204)


class Undeclared(APIView):
    """No rule, and nothing else that says who may call it."""

    def get(self, request: object) -> Response:
        return Response({"balance": 1_000_000})


def old_version() -> Any:
    """Who am I, as an old version of the API has it, which ended years ago."""
    from accounts.me import MeViewSet
    from security.inventory import Deprecated

    ended = Deprecated(since=datetime(2019, 1, 1, tzinfo=UTC), sunset=datetime(2020, 1, 1, tzinfo=UTC))
    rules = {"retrieve": replace(MeViewSet.rules["retrieve"], deprecated=ended)}
    return type("OldMeViewSet", (MeViewSet,), {"rules": rules}).as_view({"get": "retrieve"})  # type: ignore[attr-defined]  # of the base


def forgotten() -> Any:
    """A route with a rule, and in no document: no gateway knows it, nobody reviewed it."""
    from accounts.me import MeViewSet

    return MeViewSet.as_view({"get": "retrieve"})


def forgotten_is_noticed() -> bool:
    """Whether the start-up check names the route that nobody documented."""
    from security import inventory

    return any("/v1/lab-forgotten" in message.msg for message in inventory.check_inventory())


remove([name for name in os.environ.get("LAB_WITHOUT", "").split(",") if name])
routes = config.urls.urlpatterns
routes.append(path("v1/lab-forgotten", forgotten()))
clear_url_caches()
if forgotten_is_noticed():
    routes.pop()
routes += [
    path("lab/report", forgetful_report),
    path("lab/broken", broken),
    path("lab/concatenated", concatenated),
    path("lab/talkative", talkative),
    path("lab/undeclared", Undeclared.as_view()),
    path("v1/lab-old", old_version()),
]
clear_url_caches()
