from django.db import migrations

REFUSE = """
CREATE FUNCTION accounts_refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN RAISE EXCEPTION 'the audit log is only added to'; END$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON accounts_auditrecord
FOR EACH ROW EXECUTE FUNCTION accounts_refuse_change();
"""
ALLOW = """
DROP TRIGGER append_only ON accounts_auditrecord;
DROP FUNCTION accounts_refuse_change();
"""


def _on_postgresql(statements):
    def run(apps, editor):
        if editor.connection.vendor == "postgresql":
            editor.execute(statements)

    return run


class Migration(migrations.Migration):
    """The models refuse changes everywhere; PostgreSQL does so whoever asks."""

    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunPython(_on_postgresql(REFUSE), _on_postgresql(ALLOW))]
