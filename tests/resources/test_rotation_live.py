"""manage.py rotate_keys beside readers and writers, stopped twice: no read fails and no write is lost."""

import os
import secrets
import signal
import subprocess
import sys
import threading
from itertools import cycle

import pytest
from django.db import connection
from django.utils import timezone

from deploy.local.postgres import ROOT
from resources.models import Vendor
from security.key_rotation import count_stale, holdings
from security.row_security import tenant
from tests import factories
from tests.live.service import with_database

OLD, NEW = "old:" + secrets.token_urlsafe(32), "new:" + secrets.token_urlsafe(32)
ROWS = 300
BATCH = 20


def iban(number):
    return f"DE{number:020}"


@pytest.fixture
def vendors(acme, settings):
    """Under the old key; the new one is there, and is what is written with."""
    settings.ENCRYPTION_KEYS = [OLD]
    clerk = factories.member("clerk", acme)
    rows = [
        Vendor(organisation_id=acme.pk, name=f"V {n}", created_by=clerk, tax_id=f"TAX {n}")
        for n in range(ROWS)
    ]
    for n, row in enumerate(rows):
        row.set_account(iban(n))
    Vendor.objects.bulk_create(rows)
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    return rows


@pytest.fixture
def load(acme, vendors):
    """Two readers of the even rows and two writers of the odd ones; pk → what was written last."""
    written, counts, failures = {}, {"reads": 0, "writes": 0}, []
    over = threading.Event()

    def read(vendor, number):
        found = Vendor.objects.get(pk=vendor.pk)
        assert (found.iban.decrypt(), found.tax_id.decrypt()) == (iban(number), f"TAX {number}")
        counts["reads"] += 1

    def write(vendor, number):
        found = Vendor.objects.select_for_update().get(pk=vendor.pk)
        value = iban(secrets.randbelow(10**20))
        found.change_bank(value, user_id=vendor.created_by_id, now=timezone.now())
        written[vendor.pk] = value
        counts["writes"] += 1

    def work(act, mine):
        try:
            for number in cycle(mine):
                if over.is_set():
                    return
                with tenant(acme.pk):
                    act(vendors[number], number)
        except Exception as error:  # noqa: BLE001  whatever it is, the test is to know
            failures.append(error)
        finally:
            connection.close()

    threads = [
        threading.Thread(target=work, args=(act, range(start, ROWS, 4)))
        for act, start in ((read, 0), (write, 1), (read, 2), (write, 3))
    ]
    for thread in threads:
        thread.start()

    def stop():
        over.set()
        for thread in threads:
            thread.join()

    yield stop, written, counts, failures
    stop()


def start():
    name = connection.settings_dict["NAME"]
    urls = {v: with_database(url, name) for v, url in os.environ.items() if v.startswith("DATABASE_")}
    return subprocess.Popen(
        [sys.executable, "manage.py", "rotate_keys", "--batch", str(BATCH)],
        cwd=ROOT,
        env={**os.environ, **urls, "ENCRYPTION_KEYS": f"{NEW},{OLD}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left():
    return sum(count_stale(holding) for holding in holdings())


@pytest.mark.django_db(transaction=True)
def test_it_is_stopped_twice_and_ends_beside_readers_and_writers(vendors, load, settings):
    stop_load, written, counts, failures = load
    before = left()
    for stop, status in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL), (None, 0)):
        process = start()
        if stop is not None:
            for _ in range(5):  # batches
                process.stdout.readline()
            process.send_signal(stop)
        _, errors = process.communicate()
        assert process.returncode == status, errors
        assert left() < before
        before = left() or before
    stop_load()

    assert left() == 0
    assert failures == []
    assert min(counts.values()) > 0
    settings.ENCRYPTION_KEYS = [NEW]  # the old key is not needed any more
    for number, vendor in enumerate(vendors):
        vendor.refresh_from_db()
        assert vendor.iban.decrypt() == written.get(vendor.pk, iban(number))
        assert vendor.tax_id.decrypt() == f"TAX {number}"
