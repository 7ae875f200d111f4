from django.db import migrations

from resources.models import normalise_name
from security.row_security import RowSecurity


def fill_in(apps, schema_editor):
    vendors = apps.get_model("resources", "Vendor").objects
    for vendor in vendors.only("id", "name").iterator():
        vendors.filter(pk=vendor.pk).update(name_normalised=normalise_name(vendor.name))


class Migration(migrations.Migration):
    dependencies = [("resources", "0003_contacts")]

    operations = [
        migrations.RunPython(fill_in, migrations.RunPython.noop, elidable=True),
        RowSecurity("VendorUserObjectPermission", held=True),
        RowSecurity("VendorGroupObjectPermission", held=True),
        RowSecurity("InvoiceUserObjectPermission", held=True),
        RowSecurity("InvoiceGroupObjectPermission", held=True),
        RowSecurity("Vendor", grants=("VendorUserObjectPermission", "VendorGroupObjectPermission")),
        RowSecurity("Invoice", grants=("InvoiceUserObjectPermission", "InvoiceGroupObjectPermission")),
        RowSecurity("Approval"),
    ]
