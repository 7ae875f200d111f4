"""A contact's request sees the contact's own membership, and no longer everybody's in the organisation.

The pages of members admit no contact; this holds without them.
"""

from django.db import migrations

TABLE = "accounts_membership"
CURRENT = "(SELECT nullif(current_setting('app.organisation', true), '')::bigint)"
MEMBER = "(SELECT current_setting('app.member', true) = 'on')"
PERSON = "(SELECT nullif(current_setting('app.user', true), '')::bigint)"
BEFORE = f"organisation_id = {CURRENT} OR {CURRENT} IS NULL"
VISIBLE = f"{CURRENT} IS NULL OR (organisation_id = {CURRENT} AND ({MEMBER} OR user_id = {PERSON}))"

ALTER = """
ALTER POLICY seen ON {table} USING ({visible});
ALTER POLICY changed ON {table} USING ({visible});
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0008_key_rotation")]

    operations = [
        migrations.RunSQL(
            ALTER.format(table=TABLE, visible=VISIBLE), ALTER.format(table=TABLE, visible=BEFORE)
        )
    ]
