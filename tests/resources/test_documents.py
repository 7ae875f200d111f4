"""docs/accounts-payable.md says what is so."""

import re

from django.conf import settings

from deploy.local.postgres import ROOT
from resources import models, views
from tests.test_docs import cells, tags_of

PAGE = ROOT / "docs" / "accounts-payable.md"


def test_the_transitions_are_those_of_the_model():
    told = {action.strip("`"): states for action, states in cells(PAGE, "The life of an invoice")}

    assert {action: set(re.findall(r"`(\w+)`", states)) for action, states in told.items()} == {
        action: {str(state) for state in states} for action, states in models.Invoice.TRANSITIONS.items()
    }


def test_each_rule_names_tests_that_there_are():
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "resources").glob("test_*.py"))

    for rule, shown_by in cells(PAGE, "Rules between fields, rows and people"):
        named = re.findall(r"`(test_\w+)`", shown_by)
        assert named, rule
        for name in named:
            assert f"def {name}(" in tests


def test_the_limits_are_those_of_the_code():
    told = dict(re.findall(r"`([A-Z_]+) = ([\d/]+)`", PAGE.read_text()))

    assert told == {
        "TWO_APPROVERS_FROM": str(models.TWO_APPROVERS_FROM),
        "BANK_COOLING_OFF": str(int(models.BANK_COOLING_OFF.total_seconds())),
        "PRESENT": str(int(views.PRESENT.max_age.total_seconds())),
        "QUOTA_REVEAL": settings.QUOTAS["reveal"],
        "MAX_AMOUNT": str(models.MAX_AMOUNT),
        "MAX_SAME_ACCOUNT": str(models.MAX_SAME_ACCOUNT),
    }


def test_the_events_are_those_of_the_code():
    transitions = set(re.findall(r'_transition\(request, "(\w+)"', (ROOT / "resources/views.py").read_text()))
    told = {tag for tag, _ in cells(PAGE, "Events")}

    assert set(re.findall(r"`([^`]+)`", " ".join(told))) == tags_of("resources") - {
        "invoices:invoice:<done>"
    } | {f"invoices:invoice:{done}" for done in transitions}
