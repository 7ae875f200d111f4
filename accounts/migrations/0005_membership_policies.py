"""A membership is written by members of its organisation alone; it is read to find the organisation.

The one policy of 0002 let whoever had not set an organisation write every row.
"""

from django.db import migrations

TABLE = "accounts_membership"
CURRENT = "(SELECT nullif(current_setting('app.organisation', true), '')::bigint)"
VISIBLE = f"organisation_id = {CURRENT} OR {CURRENT} IS NULL"
OF_MEMBERS = f"organisation_id = {CURRENT} AND (SELECT current_setting('app.member', true) = 'on')"

FORWARDS = f"""
DROP POLICY tenant ON {TABLE};
CREATE POLICY seen ON {TABLE} FOR SELECT USING ({VISIBLE});
CREATE POLICY added ON {TABLE} FOR INSERT WITH CHECK ({OF_MEMBERS});
-- A lock asks for the right to change: a token request locks the row before there is an organisation.
CREATE POLICY changed ON {TABLE} FOR UPDATE USING ({VISIBLE}) WITH CHECK ({OF_MEMBERS});
CREATE POLICY removed ON {TABLE} FOR DELETE USING ({OF_MEMBERS});
"""
BACKWARDS = f"""
DROP POLICY seen ON {TABLE};
DROP POLICY added ON {TABLE};
DROP POLICY changed ON {TABLE};
DROP POLICY removed ON {TABLE};
CREATE POLICY tenant ON {TABLE} USING ({VISIBLE}) WITH CHECK ({VISIBLE});
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_endings")]

    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
