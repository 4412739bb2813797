from pathlib import Path

import pytest
from django.conf import settings

from support.knowledge.importing import read_articles, store_articles

SAMPLES = Path(settings.BASE_DIR) / "support" / "sample_articles"


@pytest.fixture
def sample_articles(db):
    store_articles(read_articles(SAMPLES))
