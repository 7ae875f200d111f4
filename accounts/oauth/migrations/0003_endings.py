"""A changed password or a closed account ends the person's tokens, whatever changed the row."""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION oauth_end_tokens(person bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE oauth_refreshtoken SET revoked = now(), updated = now() WHERE user_id = person AND revoked IS NULL;
  UPDATE oauth_refreshtoken SET access_token_id = NULL WHERE user_id = person AND access_token_id IS NOT NULL;
  DELETE FROM oauth_accesstoken WHERE user_id = person;
  DELETE FROM oauth_grant WHERE user_id = person;
END $$;

CREATE FUNCTION oauth_person_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM oauth_end_tokens(NEW.id);
  RETURN NULL;
END $$;

CREATE TRIGGER oauth_person_changed AFTER UPDATE OF password, is_active ON accounts_user FOR EACH ROW
  WHEN (OLD.password IS DISTINCT FROM NEW.password OR (OLD.is_active AND NOT NEW.is_active))
  EXECUTE FUNCTION oauth_person_changed();
"""
BACKWARDS = """
DROP TRIGGER oauth_person_changed ON accounts_user;
DROP FUNCTION oauth_person_changed();
DROP FUNCTION oauth_end_tokens(bigint);
"""


class Migration(migrations.Migration):
    dependencies = [("oauth", "0002_sender_constraint"), ("accounts", "0001_initial")]

    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
