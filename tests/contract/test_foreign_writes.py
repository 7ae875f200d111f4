"""What the service role may write of another tenant's rows, whatever the code above it asks for: nothing."""

from contextlib import suppress

import pytest
from django.db import Error, transaction

from security.row_security import TenantModel, tenant
from tests.contract.walk import example, operations
from tests.visibility import row_security_in_force

targets = {
    operation.view.cls.queryset.model: operation
    for operation in operations()
    if "{id}" in operation.route
    and operation.view.cls.queryset is not None
    and operation.view.cls.parent is None
    and issubclass(operation.view.cls.queryset.model, TenantModel)
}


@pytest.mark.asvs("8.2.2", "8.4.1")
@pytest.mark.parametrize("model", targets, ids=lambda model: model._meta.label)
def test_a_foreign_row_is_neither_changed_taken_nor_deleted(model, us, them):
    row = example(targets[model], us).target
    rows = model._base_manager.filter(pk=row.pk)
    with row_security_in_force(), tenant(them.organisation.pk):
        assert rows.update(organisation_id=them.organisation.pk) == 0
        assert rows.update(organisation_id=us.organisation.pk) == 0
        assert rows._raw_delete("default") == 0
        assert list(rows.select_for_update()) == []
    row.refresh_from_db()
    assert row.organisation_id == us.organisation.pk


@pytest.mark.asvs("8.2.2")
@pytest.mark.parametrize("model", targets, ids=lambda model: model._meta.label)
def test_a_row_is_not_given_to_another_tenant(model, us, them):
    """Neither moved there nor made there."""
    row = example(targets[model], us).target
    # Refused, or without effect: a grant stays with its object. By the policy, or by the trigger before it.
    with row_security_in_force(), tenant(us.organisation.pk), suppress(Error), transaction.atomic():
        model._base_manager.filter(pk=row.pk).update(organisation_id=them.organisation.pk)
    row.refresh_from_db()
    assert row.organisation_id == us.organisation.pk

    row.pk = None
    with row_security_in_force(), tenant(them.organisation.pk), pytest.raises(Error), transaction.atomic():
        # Without the RETURNING of other inserts, which asks the policies of reading as well.
        model._base_manager.bulk_create([row], ignore_conflicts=True)
