from django.db import migrations

from security.row_security import RowSecurity


class Migration(migrations.Migration):
    dependencies = [("resources", "0001_initial")]

    operations = [RowSecurity("Vendor"), RowSecurity("Invoice"), RowSecurity("Approval")]
