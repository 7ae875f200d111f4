from django.db import migrations, models

from security.row_security import RowSecurity


class Migration(migrations.Migration):
    dependencies = [("security", "0003_contacts")]

    operations = [
        migrations.CreateModel(
            name="StoredAnswer",
            fields=[
                ("organisation_id", models.BigIntegerField(editable=False)),
                (
                    "digest",
                    models.CharField(editable=False, max_length=64, primary_key=True, serialize=False),
                ),
                ("fingerprint", models.CharField(editable=False, max_length=32)),
                ("status", models.PositiveSmallIntegerField(editable=False)),
                ("etag", models.CharField(blank=True, default="", editable=False, max_length=64)),
                ("body", models.TextField(editable=False)),
                ("expires_at", models.DateTimeField(editable=False)),
            ],
            options={
                "indexes": [models.Index(fields=["organisation_id", "expires_at"], name="answers_to_sweep")],
            },
        ),
        RowSecurity("StoredAnswer"),
    ]
