from pathlib import Path

import pytest
from django.conf import settings

from support.knowledge.importing import read_articles
from support.knowledge.measuring import build_corpus

SAMPLES = Path(settings.BASE_DIR) / "support" / "sample_articles"


@pytest.fixture(scope="session")
def samples():
    """The sample articles, searchable without a database."""
    return build_corpus(read_articles(SAMPLES))
