import django.db.models.deletion
import django.db.models.functions.text
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import accounts.models
import security.identifiers
from security.row_security import RowSecurity

TABLE = "accounts_membership"
CURRENT = "(SELECT nullif(current_setting('app.organisation', true), '')::bigint)"
# Authentication reads memberships to find the tenant: they are all visible until there is one.
VISIBLE = f"organisation_id = {CURRENT} OR {CURRENT} IS NULL"


def name_memberships(apps, schema_editor):
    """Ids for the rows that are there, in the order in which they were made."""
    Membership = apps.get_model("accounts", "Membership")
    for pk in list(Membership.objects.order_by("pk").values_list("pk", flat=True)):
        Membership.objects.filter(pk=pk).update(public_id=security.identifiers.uuid7())


def secure_memberships(apps, schema_editor):
    schema_editor.execute(f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY")
    schema_editor.execute(f"CREATE POLICY tenant ON {TABLE} USING ({VISIBLE}) WITH CHECK ({VISIBLE})")
    if settings.DATABASE_OPS:
        ops = schema_editor.quote_name(settings.DATABASE_OPS["USER"])
        schema_editor.execute(f"CREATE POLICY operators ON {TABLE} FOR SELECT TO {ops} USING (true)")


def open_memberships(apps, schema_editor):
    for policy in ("tenant", "operators"):
        schema_editor.execute(f"DROP POLICY IF EXISTS {policy} ON {TABLE}")
    schema_editor.execute(f"ALTER TABLE {TABLE} DISABLE ROW LEVEL SECURITY")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial"), ("security", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="membership",
            name="id",
            field=models.BigAutoField(primary_key=True, serialize=False),
        ),
        # One default for all rows would not be unique: first the column, then its values, then the constraint.
        migrations.AddField(
            model_name="membership",
            name="public_id",
            field=models.UUIDField(default=security.identifiers.uuid7, editable=False, null=True),
        ),
        migrations.RunPython(name_memberships, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="membership",
            name="public_id",
            field=models.UUIDField(default=security.identifiers.uuid7, editable=False, unique=True),
        ),
        migrations.AddField(
            model_name="membership",
            name="joined_at",
            field=models.DateTimeField(default=django.utils.timezone.now, editable=False),
        ),
        migrations.AddIndex(
            model_name="membership",
            index=models.Index(fields=["organisation", "-public_id"], name="membership_page"),
        ),
        migrations.CreateModel(
            name="Invitation",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "public_id",
                    models.UUIDField(default=security.identifiers.uuid7, editable=False, unique=True),
                ),
                ("organisation_id", models.BigIntegerField(editable=False)),
                ("email", models.EmailField(max_length=254)),
                ("role", models.CharField(max_length=32, validators=[accounts.models.validate_role])),
                ("token_digest", models.CharField(editable=False, max_length=64, unique=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("expires_at", models.DateTimeField(editable=False)),
                ("accepted_at", models.DateTimeField(editable=False, null=True)),
                ("revoked_at", models.DateTimeField(editable=False, null=True)),
                (
                    "invited_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["organisation_id", "-public_id"], name="invitation_page"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("email", django.db.models.functions.text.Lower("email"))),
                        name="invitation_email_is_lower_case",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("accepted_at", None), ("revoked_at", None)),
                        fields=("organisation_id", "email"),
                        name="one_pending_invitation_per_address",
                    ),
                ],
            },
        ),
        RowSecurity("Invitation"),
        migrations.RunPython(secure_memberships, open_memberships),
    ]
