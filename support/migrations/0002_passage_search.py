"""The table of the passage index; on SQLite, where it is FTS5."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

# As it was when this migration was written: knowledge.index.SqliteIndex may move on.
_CREATE = (
    "CREATE VIRTUAL TABLE support_passage_search USING "
    "fts5(title, heading, text, keywords, summary, tokenize = 'unicode61')"
)


def create_table(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute(_CREATE)


def drop_table(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("DROP TABLE support_passage_search")


class Migration(migrations.Migration):
    dependencies = [("support", "0001_initial")]

    operations = [migrations.RunPython(create_table, drop_table)]
