import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import security.identifiers


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Vendor",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "public_id",
                    models.UUIDField(default=security.identifiers.uuid7, editable=False, unique=True),
                ),
                ("organisation_id", models.BigIntegerField(editable=False)),
                ("name", models.CharField(max_length=200)),
                ("contact_email", models.EmailField(max_length=254)),
                (
                    "country",
                    models.CharField(help_text="ISO 3166-1 alpha-2, of the vendor's bank.", max_length=2),
                ),
                (
                    "verification",
                    models.CharField(
                        choices=[
                            ("unverified", "Unverified"),
                            ("verified", "Verified"),
                            ("mismatch", "Mismatch"),
                            ("unknown", "Unknown"),
                        ],
                        default="unverified",
                        editable=False,
                        max_length=16,
                    ),
                ),
                ("bank_changed_at", models.DateTimeField(editable=False, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("version", models.PositiveIntegerField(default=1, editable=False)),
                (
                    "bank_changed_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Invoice",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "public_id",
                    models.UUIDField(default=security.identifiers.uuid7, editable=False, unique=True),
                ),
                ("organisation_id", models.BigIntegerField(editable=False)),
                ("number", models.CharField(max_length=64)),
                ("number_normalised", models.CharField(editable=False, max_length=64)),
                ("amount", models.BigIntegerField(help_text="Minor units of the organisation's currency.")),
                ("currency", models.CharField(editable=False, max_length=3)),
                ("issue_date", models.DateField()),
                ("due_date", models.DateField()),
                ("internal_note", models.CharField(blank=True, default="", max_length=2000)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("draft", "Draft"),
                            ("submitted", "Submitted"),
                            ("approved", "Approved"),
                            ("released", "Released"),
                            ("rejected", "Rejected"),
                            ("void", "Void"),
                        ],
                        default="draft",
                        editable=False,
                        max_length=16,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("version", models.PositiveIntegerField(default=1, editable=False)),
                (
                    "created_by",
                    models.ForeignKey(
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "released_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "vendor",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="invoices",
                        to="resources.vendor",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Approval",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("organisation_id", models.BigIntegerField(editable=False)),
                ("at", models.DateTimeField(auto_now_add=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="approvals",
                        to="resources.invoice",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("invoice", "user"), name="one_approval_per_person")
                ],
            },
        ),
        migrations.AddIndex(
            model_name="vendor",
            index=models.Index(fields=["organisation_id", "-public_id"], name="vendor_page"),
        ),
        migrations.AddConstraint(
            model_name="vendor",
            constraint=models.UniqueConstraint(
                fields=("organisation_id", "name"), name="vendor_name_is_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="vendor",
            constraint=models.CheckConstraint(
                condition=models.Q(("country__regex", "^[A-Z]{2}$")), name="vendor_country_is_iso"
            ),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(fields=["organisation_id", "-public_id"], name="invoice_page"),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.UniqueConstraint(
                fields=("vendor", "number_normalised"), name="invoice_number_is_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gte", 1), ("amount__lte", 99999999999)),
                name="invoice_amount_in_range",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(("due_date__gte", models.F("issue_date"))),
                name="invoice_due_not_before_issue",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("released_by__isnull", False), ("status", "released")),
                    models.Q(models.Q(("status", "released"), _negated=True), ("released_by__isnull", True)),
                    _connector="OR",
                ),
                name="invoice_released_by_somebody",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(("released_by", models.F("created_by")), _negated=True),
                name="invoice_releaser_is_not_creator",
            ),
        ),
    ]
