"""The tests run as the service role on a real PostgreSQL and Valkey (`make test` starts both)."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import TransactionTestCase
from django.test.utils import setup_databases, teardown_databases
from psycopg import sql

from config import environment
from security import audit
from security.database_roles import owner
from tests import answers, asvs, factories, visibility
from tests.clients import Api
from tests.live.service import Service, with_database

WATCH = pytest.StashKey[answers.Watch]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    """In the gate, a requirement whose test was skipped is not met (tests.asvs)."""
    report = yield
    if asvs.is_unproven(item, report):
        report.outcome, report.longrepr = "failed", f"{item.nodeid} proves a requirement, and did not run."
    return report


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_blocker: Any, django_db_modify_db_settings: None
) -> Iterator[int]:
    """Create and migrate the process's test database as its owner; test as the service role.

    Gives how many people there were before any test.
    """
    with django_db_blocker.unblock():
        with owner():
            created = setup_databases(verbosity=0, interactive=False)
            visibility.add_policy()
            people = get_user_model().objects.count()
        connection.close()
    yield people
    with django_db_blocker.unblock(), owner():
        teardown_databases(created, verbosity=0)


@pytest.fixture(scope="session", autouse=True)
def watched(request: pytest.FixtureRequest) -> Iterator[answers.Watch]:
    """Every answer of the run is looked at (tests.answers)."""
    with answers.watch() as seen:
        request.config.stash[WATCH] = seen
        yield seen


@pytest.fixture(autouse=True)
def _no_answer_had_a_fault(request: pytest.FixtureRequest, watched: answers.Watch) -> Iterator[None]:
    """A fault that the test's own code has caught, in a thread or a retry, is one all the same."""
    watched.faults.clear()
    watched.broken = request.node.get_closest_marker("broken") is not None
    yield
    found, watched.faults = watched.faults, []
    if found:
        pytest.fail("\n".join(found[:10]), pytrace=False)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    seen = config.stash.get(WATCH, None)
    if seen is not None and seen.answers:
        each = seen.seconds / seen.answers * 1e6
        terminalreporter.write_line(f"{seen.answers} answers were looked at, {each:.0f} µs each.")


@pytest.fixture(scope="session", autouse=True)
def _flush_as_owner() -> Iterator[None]:
    """Between tests with real transactions, tables are emptied by the owner: the service role cannot."""
    flush = TransactionTestCase._fixture_teardown

    def flush_as_owner(self: TransactionTestCase) -> None:
        with owner():
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE security_auditevent DISABLE TRIGGER USER")
            flush(self)
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE security_auditevent ENABLE TRIGGER USER")

    TransactionTestCase._fixture_teardown = flush_as_owner
    yield
    TransactionTestCase._fixture_teardown = flush


@pytest.fixture(autouse=True)
def _fresh_audit_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a refusal is a repeat must not depend on other tests."""
    monkeypatch.setattr(audit, "windows", audit.RepeatWindows())


@pytest.fixture(autouse=True)
def _see_everything(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test arranges and asserts is of every tenant (tests.visibility)."""
    marked = request.node.get_closest_marker("django_db") is not None
    if not marked and not {"db", "transactional_db"} & set(request.fixturenames):
        yield
        return
    request.getfixturevalue("_django_db_helper")
    visibility.see_everything(on=True)
    yield
    if not connection.needs_rollback and connection.connection is not None:
        visibility.see_everything(on=False)


@pytest.fixture
def acme(db: None) -> Any:
    return factories.organisation("Acme Test")


@pytest.fixture
def auditor(acme: Any) -> Any:
    return factories.member("auditor", acme)


@pytest.fixture
def api(acme: Any, auditor: Any) -> Api:
    """The auditor of Acme, with every scope."""
    return Api(factories.token(auditor, acme))


@contextmanager
def _database() -> Iterator[dict[str, str]]:
    """An empty database beside the one of the transactional tests, as environment variables."""
    name = f"live_{secrets.token_hex(6)}"
    owner_url = environment.secret("DATABASE_OWNER_URL")
    urls = {"DATABASE_URL": environment.secret("DATABASE_URL"), "DATABASE_OWNER_URL": owner_url}
    if "DATABASE_OPS_URL" in os.environ:
        urls["DATABASE_OPS_URL"] = os.environ["DATABASE_OPS_URL"]
    with psycopg.connect(owner_url, autocommit=True) as owner_connection:
        owner_connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield {variable: with_database(url, name) for variable, url in urls.items()}
        owner_connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def live_database() -> Iterator[dict[str, str]]:
    """The database of ``live``. Who seeds it again changes the passwords of the demo's people."""
    with _database() as variables:
        yield variables


@pytest.fixture
def own_database() -> Iterator[dict[str, str]]:
    """A database of one test's own, for what it migrates and seeds."""
    with _database() as variables:
        yield variables


@pytest.fixture(scope="session")
def live(live_database: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The seeded service, served over HTTPS."""
    service = Service(tmp_path_factory.mktemp("live"), live_database)
    service.prepare()
    try:
        yield service.start()
    finally:
        service.stop()
