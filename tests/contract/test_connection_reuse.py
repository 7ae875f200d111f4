"""Thousands of mixed requests of two tenants over few connections never show a foreign row."""

import random
import threading
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.http import HttpResponse
from django.urls import path

from config import urls
from security.models import AuditEvent
from security.policy import exempt_from_policy
from tests import factories
from tests.clients import Api

THREADS = 4
REQUESTS = 10_000


def look(request):
    """A view that forgot everything: no token, no filter."""
    return HttpResponse(str(AuditEvent.objects.count()))


def fail(request):
    AuditEvent.objects.count()
    raise RuntimeError("in the middle of it")


def die(request):
    """The connection is cut while the request's transaction is open."""
    connection.connection.close()
    raise OperationalError("cut")


@pytest.mark.django_db(transaction=True)
def test_no_request_inherits_the_tenant_of_the_one_before(settings):
    routes = [("look", look), ("fail", fail), ("die", die)]
    extra = [path(name, exempt_from_policy(view, reason="a test")) for name, view in routes]
    settings.ROOT_URLCONF = type("urls", (), {**vars(urls), "urlpatterns": [*extra, *urls.urlpatterns]})
    tokens, marks = [], []
    for name in ("one", "two"):
        organisation = factories.organisation()
        auditor = factories.member("auditor", organisation)
        # On a busy machine the requests take longer than a token lives.
        tokens.append(factories.token(auditor, organisation, lifetime=timedelta(hours=1)))
        marks.append(f"test:{name}:mark")
        AuditEvent.objects.create(event=marks[-1], organisation_id=organisation.pk)
    wrong, seen = [], {"sent": 0, "reads": 0, "looks": 0}
    lock = threading.Lock()

    def run(seed):
        chance = random.Random(seed)  # noqa: S311  the same mix in every run
        apis = [Api(token) for token in tokens]
        stranger = Api("nonsense")
        sent = reads = looks = 0
        while sent < REQUESTS // THREADS:
            sent += 1
            who = chance.randrange(2)
            kind = chance.random()
            if kind < 0.55:
                items = apis[who].get(f"/v1/audit-events?event={marks[who]}").json()["items"]
                foreign = apis[who].get(f"/v1/audit-events?event={marks[1 - who]}").json()["items"]
                sent += 1
                reads += 2
                if len(items) != 1 or foreign:
                    wrong.append(("read", items, foreign))
            elif kind < 0.7:
                answer = apis[who].get("/look")
                looks += answer.status_code == 200  # without Valkey in time, 503
                if answer.status_code == 200 and answer.content != b"0":
                    wrong.append(("look", answer.content))
            elif kind < 0.8:
                stranger.get("/v1/audit-events")
            elif kind < 0.88:
                apis[who].get("/v1/audit-events?unheard_of=1")
            elif kind < 0.96:
                apis[who].get("/fail")
            else:
                apis[who].get("/die")
        with lock:
            seen["sent"] += sent
            seen["reads"] += reads
            seen["looks"] += looks
        connection.close()

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert seen["sent"] >= REQUESTS
    assert seen["reads"] > REQUESTS / 2
    assert seen["looks"] > REQUESTS / 12
