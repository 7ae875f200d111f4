"""``python -m benchmarks.contact_pages``: the first page of a contact's invoices, out of a million.

Run by ``make bench`` against throw-away servers. For each number of shared invoices it calls the API in this
process, and prints the median and range of the time that its SQL takes (authentication included), the number
of statements, and the plan's nodes. It ends with 1 where the median is over the bound, a read costs more than
two statements, or a plan scans a table in sequence.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import django

INVOICES = 1_000_000
VENDORS = 100_000
#: The oldest invoices of all belong to vendors of their own: a page has to find them behind all others.
OLD_INVOICES = 50_000
OLD_VENDORS = 5_000
PAGE = 50
ROUNDS = 200
MAX_MILLISECONDS = 5.0
#: name → which vendors are shared, and with whom; each has ten invoices.
SHARES = {
    "10": ("user", "v.id <= 1"),
    "1k": ("user", "v.id <= 100"),
    "100k": ("user", "v.id <= 10000"),
    "50k, all of them old": ("user", f"v.id > {VENDORS}"),
    "1k, through a group": ("group", "v.id <= 100"),
}
TABLES = (
    "resources_invoice",
    *(
        f"resources_{what}{holder}objectpermission"
        for what in ("vendor", "invoice")
        for holder in ("user", "group")
    ),
)

UUID = "(lpad(to_hex({0}), 8, '0') || '-0000-7000-8000-' || lpad(to_hex({1}), 12, '0'))::uuid"
VENDOR_ROWS = f"""
INSERT INTO resources_vendor (id, public_id, organisation_id, name, name_normalised, contact_email, country,
                              iban_last4, iban_index, iban_token, verification, created_by_id, created_at,
                              version)
SELECT n, {UUID.format("n", 1)}, %(organisation)s, 'Vendor ' || n, 'vendor ' || n, 'a@vendor.example', 'DE',
       '', '', '', 'verified', %(clerk)s, now(), 1
  FROM generate_series(1, {VENDORS + OLD_VENDORS}) n
"""
INVOICE_ROWS = f"""
INSERT INTO resources_invoice (id, public_id, organisation_id, vendor_id, number, number_normalised, amount,
                               currency, issue_date, due_date, internal_note, status, created_by_id,
                               created_at, version)
SELECT n, {UUID.format("n", 2)}, %(organisation)s,
       CASE WHEN n <= {OLD_INVOICES} THEN {VENDORS} + 1 + n %% {OLD_VENDORS} ELSE 1 + n %% {VENDORS} END,
       'N' || n, 'N' || n, 1000, 'EUR', '2026-11-01', '2026-12-01', '', 'draft', %(clerk)s, now(), 1
  FROM generate_series(1, {INVOICES}) n
"""
PERMISSION = (
    "(SELECT p.id FROM auth_permission p JOIN django_content_type c ON c.id = p.content_type_id "
    "WHERE c.app_label = 'resources' AND p.codename = '{0}')"
)
GRANT_ROWS = f"""
WITH shared AS (
  INSERT INTO resources_vendor{{holder}}objectpermission
    (content_object_id, permission_id, {{holder}}_id, organisation_id, position, can_view{{columns}})
  SELECT v.id, {PERMISSION.format("view_vendor")}, %s, v.organisation_id, v.public_id, true{{values}}
    FROM resources_vendor v WHERE {{which}} RETURNING id, content_object_id, {{holder}}_id)
INSERT INTO resources_invoice{{holder}}objectpermission
  (content_object_id, permission_id, {{holder}}_id, organisation_id, position, can_view, source_id)
SELECT i.id, {PERMISSION.format("view_invoice")}, s.{{holder}}_id, i.organisation_id, i.public_id, true, s.id
  FROM shared s JOIN resources_invoice i ON i.vendor_id = s.content_object_id
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contact_pages", description="Pages' SQL.")
    parser.add_argument("--bound", type=float, default=MAX_MILLISECONDS, help="of a median, in milliseconds")
    bound = parser.parse_args().bound
    os.environ["LOG_LEVEL"] = "ERROR"
    django.setup()
    from django.core.management import call_command

    from security.database_roles import owner

    with owner():
        call_command("migrate", verbosity=0)
        tokens = load()
    print(f"First page of {PAGE} out of {INVOICES:,} invoices; milliseconds of SQL, {ROUNDS} rounds.\n")
    print(f"{'shared invoices':<22} {'median':>7} {'least':>7} {'most':>7}  statements  plan")
    within = [measure(name, token, bound) for name, token in tokens.items()]
    return 0 if all(within) else 1


def load() -> dict[str, str]:
    """A million invoices of one organisation, and a token for a contact of each kind of share."""
    from django.contrib.auth.models import Group
    from django.db import connection

    from security.scopes import CONTACT_ROLE
    from tests import factories

    organisation = factories.organisation("Benchmark")
    clerk = factories.member("clerk", organisation)
    holders: dict[str, Any] = {}
    tokens = {}
    for name, (holder, _) in SHARES.items():
        contact = factories.member(CONTACT_ROLE, organisation)
        holders[name] = contact
        if holder == "group":
            holders[name] = Group.objects.create(name=name)
            contact.groups.add(holders[name])
        tokens[name] = factories.token(contact, organisation, lifetime=timedelta(hours=1))
    with connection.cursor() as cursor:
        # The rows come in bulk, so what the triggers would write row by row is written as well.
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for statement in (VENDOR_ROWS, INVOICE_ROWS):
            cursor.execute(statement, {"organisation": organisation.pk, "clerk": clerk.pk})
        cursor.execute("ANALYZE")
        for name, (holder, which) in SHARES.items():
            person = holder == "user"
            statement = GRANT_ROWS.format(
                holder=holder,
                which=which,
                columns=", public_id, created_at" if person else "",
                values=", gen_random_uuid(), now()" if person else "",
            )
            cursor.execute(statement, [holders[name].pk])
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        cursor.execute("ANALYZE")
    return tokens


def measure(name: str, token: str, bound: float) -> bool:
    """Print one line; whether it is within the bounds. ``bound`` is in milliseconds."""
    from tests.clients import Api

    api = Api(token, HTTP_HOST="localhost")
    milliseconds, statements = [], set()
    for _ in range(ROUNDS):
        with timed_sql() as spent:
            answer = api.get(f"/v1/invoices?limit={PAGE}")
        if answer.status_code != 200 or not answer.json()["items"]:
            raise RuntimeError(f"{name}: {answer.status_code}, and no invoice")
        milliseconds.append(sum(duration for _, _, duration in spent) * 1000)
        statements.add(len(spent))
        sql, parameters, _ = spent[-1]
    nodes = sorted(set(plan_nodes(token, sql, parameters)))
    median = statistics.median(milliseconds)
    within = median < bound and max(statements) <= 2 and "Seq Scan" not in nodes
    print(
        f"{name:<22} {median:>7.2f} {min(milliseconds):>7.2f} {max(milliseconds):>7.2f}  "
        f"{max(statements):>10}  {', '.join(nodes)}{'' if within else '   OUT OF BOUNDS'}",
        flush=True,
    )
    return within


@contextmanager
def timed_sql() -> Iterator[list[tuple[str, Any, float]]]:
    """(statement, parameters, seconds) of everything that the block sends."""
    from django.db import connection

    spent: list[tuple[str, Any, float]] = []

    def wrapper(execute: Callable[..., Any], sql: str, params: Any, many: Any, context: Any) -> Any:
        started = time.perf_counter()
        result = execute(sql, params, many, context)
        spent.append((sql, params, time.perf_counter() - started))
        return result

    with connection.execute_wrapper(wrapper):
        yield spent


def plan_nodes(token: str, sql: str, parameters: Any) -> Iterator[str]:
    """The node types of the plan under the caller's row security."""
    from django.db import connection, transaction
    from django.test import RequestFactory
    from rest_framework.request import Request

    from accounts.oauth.authentication import BearerAuthentication

    with transaction.atomic(), connection.cursor() as cursor:
        request = RequestFactory().get("/", HTTP_AUTHORIZATION=f"Bearer {token}")
        BearerAuthentication().authenticate(Request(request))
        cursor.execute("EXPLAIN (FORMAT JSON) " + sql, parameters)
        answer = cursor.fetchone()[0]
    todo = [part["Plan"] for part in (json.loads(answer) if isinstance(answer, str) else answer)]
    while todo:
        node = todo.pop()
        yield node["Node Type"]
        todo += node.get("Plans", [])


if __name__ == "__main__":
    sys.exit(main())
