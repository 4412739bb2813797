"""The tables of the passage index on Postgres, and indexes for the admin's searches.

SQLite has its index since 0002, and scans for the rest. Articles that are there
already are put into the new tables by `manage.py index_articles`.
"""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

# As it was when this migration was written: knowledge.index.PostgresIndex may move on.
_CREATE = """
    CREATE TABLE support_passage_search (
        passage_id bigint PRIMARY KEY,
        num_stems integer NOT NULL
    );
    CREATE TABLE support_passage_stem (
        stem text COLLATE "C" NOT NULL,
        passage_id bigint NOT NULL
            REFERENCES support_passage_search ON DELETE CASCADE,
        frequency double precision NOT NULL,
        PRIMARY KEY (stem, passage_id)
    );
    CREATE INDEX support_passage_stem_passage ON support_passage_stem (passage_id);
"""
# pg_trgm belongs to Postgres and may be installed by the owner of a database
_CREATE_TRIGRAMS = """
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX support_message_content_trigrams
        ON support_message USING gin (upper(content) gin_trgm_ops);
    CREATE INDEX support_article_trigrams ON support_article USING gin
        (upper(title) gin_trgm_ops, upper(body) gin_trgm_ops,
         upper(keywords) gin_trgm_ops);
"""
_DROP = """
    DROP INDEX support_article_trigrams;
    DROP INDEX support_message_content_trigrams;
    DROP TABLE support_passage_stem;
    DROP TABLE support_passage_search;
"""


def create(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(_CREATE)
        schema_editor.execute(_CREATE_TRIGRAMS)


def drop(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(_DROP)


class Migration(migrations.Migration):
    dependencies = [("support", "0002_passage_search")]

    operations = [migrations.RunPython(create, drop)]
