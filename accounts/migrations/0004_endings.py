"""A changed password or a closed account ends the person's sessions, whatever changed the row."""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION accounts_person_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM accounts_session WHERE user_id = NEW.id;
  RETURN NULL;
END $$;

CREATE TRIGGER accounts_person_changed AFTER UPDATE OF password, is_active ON accounts_user FOR EACH ROW
  WHEN (OLD.password IS DISTINCT FROM NEW.password OR (OLD.is_active AND NOT NEW.is_active))
  EXECUTE FUNCTION accounts_person_changed();
"""
BACKWARDS = """
DROP TRIGGER accounts_person_changed ON accounts_user;
DROP FUNCTION accounts_person_changed();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_session")]

    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
