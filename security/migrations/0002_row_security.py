from django.db import migrations

from security.row_security import RowSecurity


class Migration(migrations.Migration):
    dependencies = [("security", "0001_initial")]

    operations = [RowSecurity("AuditEvent", anyone_appends=True)]
