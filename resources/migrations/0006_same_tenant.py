"""No row points to another tenant's row."""

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("resources", "0005_bank_details")]

    operations = [
        pgtrigger.migrations.AddTrigger(
            model_name="approval",
            trigger=pgtrigger.compiler.Trigger(
                name="same_tenant_invoice",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="IF NEW.invoice_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM resources_invoice o WHERE o.id = NEW.invoice_id AND o.organisation_id = NEW.organisation_id) THEN RAISE foreign_key_violation USING MESSAGE = 'no such row in the organisation'; END IF; RETURN NEW;",
                    hash="6b402ee050e11e945b4cb17717ef5d3b61fadc27",
                    operation='INSERT OR UPDATE OF "invoice_id", "organisation_id"',
                    pgid="pgtrigger_same_tenant_invoice_e55df",
                    table="resources_approval",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="invoice",
            trigger=pgtrigger.compiler.Trigger(
                name="same_tenant_vendor",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="IF NEW.vendor_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM resources_vendor o WHERE o.id = NEW.vendor_id AND o.organisation_id = NEW.organisation_id) THEN RAISE foreign_key_violation USING MESSAGE = 'no such row in the organisation'; END IF; RETURN NEW;",
                    hash="36ee072196a65bacc202f504629790b2731c81cf",
                    operation='INSERT OR UPDATE OF "vendor_id", "organisation_id"',
                    pgid="pgtrigger_same_tenant_vendor_98393",
                    table="resources_invoice",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="invoicegroupobjectpermission",
            trigger=pgtrigger.compiler.Trigger(
                name="same_tenant_source",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="IF NEW.source_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM resources_vendorgroupobjectpermission o WHERE o.id = NEW.source_id AND o.organisation_id = NEW.organisation_id) THEN RAISE foreign_key_violation USING MESSAGE = 'no such row in the organisation'; END IF; RETURN NEW;",
                    hash="d3bc9fa7fb897c9fa3559f561922f7d5a0832760",
                    operation='INSERT OR UPDATE OF "source_id", "organisation_id"',
                    pgid="pgtrigger_same_tenant_source_ab633",
                    table="resources_invoicegroupobjectpermission",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="invoiceuserobjectpermission",
            trigger=pgtrigger.compiler.Trigger(
                name="same_tenant_source",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="IF NEW.source_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM resources_vendoruserobjectpermission o WHERE o.id = NEW.source_id AND o.organisation_id = NEW.organisation_id) THEN RAISE foreign_key_violation USING MESSAGE = 'no such row in the organisation'; END IF; RETURN NEW;",
                    hash="1eb2d35a5121fa5b7fb788ebc50b33b9744c6fed",
                    operation='INSERT OR UPDATE OF "source_id", "organisation_id"',
                    pgid="pgtrigger_same_tenant_source_12566",
                    table="resources_invoiceuserobjectpermission",
                    when="BEFORE",
                ),
            ),
        ),
    ]
