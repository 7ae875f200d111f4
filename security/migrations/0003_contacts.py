from django.db import migrations

from security.database_roles import refuse_rows
from security.row_security import RowSecurity


class Migration(migrations.Migration):
    dependencies = [
        ("security", "0002_row_security"),
        ("guardian", "0003_remove_groupobjectpermission_guardian_gr_content_ae6aec_idx_and_more"),
    ]

    operations = [
        RowSecurity("AuditEvent", anyone_appends=True),
        # Grants are in a table of each model's own (security.object_permissions).
        migrations.RunPython(refuse_rows("guardian_userobjectpermission"), migrations.RunPython.noop),
        migrations.RunPython(refuse_rows("guardian_groupobjectpermission"), migrations.RunPython.noop),
    ]
