from django.db import migrations

from security.key_rotation import Rotation


class Migration(migrations.Migration):
    dependencies = [("accounts", "0007_encryption"), ("mfa", "0003_authenticator_type_uniq")]

    operations = [Rotation("mfa_authenticator", "data", members=("secret", "seed"))]
