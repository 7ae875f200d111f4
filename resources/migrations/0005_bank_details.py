from django.conf import settings
from django.db import migrations, models

import security.encryption
from security.key_rotation import Rotation


class Migration(migrations.Migration):
    dependencies = [
        ("resources", "0004_contacts_row_security"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="vendor",
            name="iban",
            field=security.encryption.EncryptedField(),
        ),
        migrations.AddField(
            model_name="vendor",
            name="iban_index",
            field=models.CharField(default="", editable=False, max_length=43),
        ),
        migrations.AddField(
            model_name="vendor",
            name="iban_last4",
            field=models.CharField(default="", editable=False, max_length=4),
        ),
        migrations.AddField(
            model_name="vendor",
            name="iban_token",
            field=models.CharField(default="", editable=False, max_length=48),
        ),
        migrations.AddField(
            model_name="vendor",
            name="tax_id",
            field=security.encryption.EncryptedField(),
        ),
        migrations.AddIndex(
            model_name="vendor",
            index=models.Index(fields=["organisation_id", "iban_index"], name="vendor_account"),
        ),
        migrations.AddConstraint(
            model_name="vendor",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("iban__isnull", True), ("iban_index", ""), ("iban_last4", ""), ("iban_token", "")
                    ),
                    models.Q(
                        ("iban__isnull", False),
                        models.Q(("iban_last4", ""), _negated=True),
                        models.Q(("iban_index", ""), _negated=True),
                        models.Q(("iban_token", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="vendor_account_is_whole",
            ),
        ),
        Rotation("resources_vendor", "iban", "tax_id"),
    ]
