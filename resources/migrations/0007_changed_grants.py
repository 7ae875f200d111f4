"""A grant on a vendor that is changed takes the grants on its invoices along."""

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("resources", "0006_same_tenant")]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name="vendorgroupobjectpermission",
            name="share_invoices",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="vendoruserobjectpermission",
            name="share_invoices",
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="vendorgroupobjectpermission",
            trigger=pgtrigger.compiler.Trigger(
                name="share_invoices",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="IF TG_OP = 'UPDATE' THEN IF (OLD.content_object_id, OLD.group_id, OLD.can_view) IS NOT DISTINCT FROM (NEW.content_object_id, NEW.group_id, NEW.can_view) THEN RETURN NULL; END IF; DELETE FROM resources_invoicegroupobjectpermission WHERE source_id = NEW.id; END IF; PERFORM 1 FROM resources_vendor WHERE id = NEW.content_object_id FOR UPDATE; INSERT INTO resources_invoicegroupobjectpermission (content_object_id, permission_id, group_id, source_id) SELECT i.id, (SELECT p.id FROM auth_permission p JOIN django_content_type c ON c.id = p.content_type_id WHERE c.app_label = 'resources' AND c.model = 'invoice' AND p.codename = 'view_invoice'), NEW.group_id, NEW.id FROM resources_invoice i WHERE i.vendor_id = NEW.content_object_id AND NEW.can_view FOR SHARE OF i ON CONFLICT DO NOTHING; RETURN NULL;",
                    hash="5ac94f75b1086005291f2c441bbda25188ac9bce",
                    operation='INSERT OR UPDATE OF "content_object_id", "group_id", "permission_id"',
                    pgid="pgtrigger_share_invoices_e605f",
                    table="resources_vendorgroupobjectpermission",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="vendoruserobjectpermission",
            trigger=pgtrigger.compiler.Trigger(
                name="share_invoices",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="IF TG_OP = 'UPDATE' THEN IF (OLD.content_object_id, OLD.user_id, OLD.can_view) IS NOT DISTINCT FROM (NEW.content_object_id, NEW.user_id, NEW.can_view) THEN RETURN NULL; END IF; DELETE FROM resources_invoiceuserobjectpermission WHERE source_id = NEW.id; END IF; PERFORM 1 FROM resources_vendor WHERE id = NEW.content_object_id FOR UPDATE; INSERT INTO resources_invoiceuserobjectpermission (content_object_id, permission_id, user_id, source_id) SELECT i.id, (SELECT p.id FROM auth_permission p JOIN django_content_type c ON c.id = p.content_type_id WHERE c.app_label = 'resources' AND c.model = 'invoice' AND p.codename = 'view_invoice'), NEW.user_id, NEW.id FROM resources_invoice i WHERE i.vendor_id = NEW.content_object_id AND NEW.can_view FOR SHARE OF i ON CONFLICT DO NOTHING; RETURN NULL;",
                    hash="7f7db2765622af3f829748ed62963aaab18ef38d",
                    operation='INSERT OR UPDATE OF "content_object_id", "user_id", "permission_id"',
                    pgid="pgtrigger_share_invoices_a7026",
                    table="resources_vendoruserobjectpermission",
                    when="AFTER",
                ),
            ),
        ),
    ]
