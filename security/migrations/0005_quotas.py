from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("security", "0004_stored_answers"),
    ]

    operations = [
        migrations.CreateModel(
            name="QuotaUse",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(editable=False, max_length=64)),
                ("holder", models.UUIDField(editable=False)),
                ("at", models.DateTimeField(editable=False)),
            ],
            options={
                "indexes": [models.Index(fields=["name", "holder", "at"], name="quota_of_holder")],
            },
        ),
    ]
