"""security.availability. What users see of an outage is in tests/live/test_availability.py."""

import threading

import psycopg
import pytest
from django.conf import settings as django_settings
from django.db import IntegrityError, InterfaceError, OperationalError, connection

from security.availability import AvailabilityMiddleware, close_dead_connections
from tests.clients import Api


@pytest.fixture
def middleware():
    return AvailabilityMiddleware(lambda request: None)


@pytest.mark.asvs("16.5.2")
@pytest.mark.parametrize("outage", [OperationalError, InterfaceError])
def test_a_database_outage_is_503_and_says_nothing(rf, middleware, outage):
    response = middleware.process_exception(rf.get("/"), outage("hunter2"))

    assert response.status_code == 503
    assert response["Retry-After"]
    assert b"hunter2" not in response.content


@pytest.mark.parametrize("other", [IntegrityError, ValueError])
def test_every_other_exception_goes_on(rf, middleware, other):
    assert middleware.process_exception(rf.get("/"), other()) is None


def backend_of_a_new_thread(then):
    """Run ``then`` with a connection of its own, open before; its result."""
    result = []

    def run():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()
        try:
            result.append(then(pid))
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return result[0]


def terminate(pid):
    """As the server does when it shuts down: a farewell, then the end of the connection."""
    service = django_settings.DATABASES["default"]
    parameters = {
        "user": service["USER"],
        "password": service["PASSWORD"],
        "dbname": connection.settings_dict["NAME"],
    }
    host = {"host": service["HOST"], "port": service["PORT"] or None}
    with psycopg.connect(**parameters, **host, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_the_server_closed_is_replaced_before_it_is_used():
    def after_restart(pid):
        terminate(pid)
        close_dead_connections()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return cursor.fetchone()[0] != pid

    assert backend_of_a_new_thread(after_restart)


@pytest.mark.django_db(transaction=True)
def test_without_looking_it_would_fail():
    def after_restart(pid):
        terminate(pid)
        with pytest.raises(OperationalError), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return True

    assert backend_of_a_new_thread(after_restart)


@pytest.mark.django_db(transaction=True)
def test_a_living_connection_is_kept():
    def look(pid):
        close_dead_connections()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return cursor.fetchone()[0] == pid

    assert backend_of_a_new_thread(look)


@pytest.mark.django_db
def test_health_tells_nothing():
    assert Api().get("/healthz").json() == {"status": "ok"}
    assert Api().get("/readyz").json() == {"status": "ok"}
