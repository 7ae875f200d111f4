import django.utils.timezone
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

import security.identifiers
from security.database_roles import grant_rights, make_append_only


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="AuditEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "public_id",
                    models.UUIDField(default=security.identifiers.uuid7, editable=False, unique=True),
                ),
                ("occurred_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("event", models.CharField(max_length=64)),
                ("organisation_id", models.BigIntegerField(editable=False, null=True)),
                ("actor", models.UUIDField(editable=False, null=True)),
                ("client_id", models.CharField(blank=True, default="", editable=False, max_length=255)),
                ("address", models.GenericIPAddressField(editable=False, null=True)),
                ("request_id", models.UUIDField(editable=False, null=True)),
                ("target_type", models.CharField(blank=True, default="", editable=False, max_length=64)),
                ("target_id", models.UUIDField(editable=False, null=True)),
                ("detail", models.JSONField(default=dict, editable=False)),
                ("count", models.PositiveIntegerField(default=1, editable=False)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["organisation_id", "-public_id"], name="audit_by_organisation")
                ],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="auditevent",
            trigger=pgtrigger.compiler.Trigger(
                name="append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="a2a03fb71e330e7b0f9a56e524a3232593106494",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_append_only_85aac",
                    table="security_auditevent",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="auditevent",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'the audit trail is append-only';",
                    hash="3a6748f8221fd63587d4ba3f5d3c2c649b5c6ccc",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_2f541",
                    table="security_auditevent",
                    when="BEFORE",
                ),
            ),
        ),
        migrations.RunPython(grant_rights, migrations.RunPython.noop),
        migrations.RunPython(make_append_only("security_auditevent"), migrations.RunPython.noop),
    ]
