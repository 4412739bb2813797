"""Keys are moved to a new key of the installation, and none is lost."""

from base64 import urlsafe_b64encode
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from inference.fields import is_under_first_key
from inference.models import Backend
from tests.factories import make_backend

pytestmark = pytest.mark.django_db

OLD, NEW, LOST = (urlsafe_b64encode(byte * 32).decode() for byte in (b"o", b"n", b"l"))
NUM_ROWS = 5


@pytest.fixture(autouse=True)
def _rows(settings):
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    for number in range(NUM_ROWS):
        make_backend(name=f"b{number}", key=f"sk-secret-number-{number}")
    make_backend(name="keyless")
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]


def columns() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT key FROM inference_backend WHERE key <> ''")
        return [key for (key,) in cursor.fetchall()]


def rotate(*args) -> str:
    output = StringIO()
    call_command("rotate_keys", *args, stdout=output)
    return output.getvalue()


@pytest.mark.parametrize("batch", ["1", "2", "100"])
def test_all_keys_are_moved_and_read_as_before(settings, batch):
    assert "5 encrypted anew, 0 were already" in rotate("--batch", batch)
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    keys = Backend.objects.exclude(name="keyless").order_by("name")
    assert [row.key for row in keys] == [f"sk-secret-number-{n}" for n in range(5)]


def test_it_goes_on_where_it_was_interrupted():
    Backend.objects.get(name="b0").save()  # saving a row moves it, too
    assert "4 encrypted anew, 1 were already" in rotate()
    assert "0 encrypted anew, 5 were already" in rotate()
    assert all(map(is_under_first_key, columns()))


def test_one_that_none_can_read_is_named_and_the_others_are_moved(settings):
    settings.FIELD_ENCRYPTION_KEYS = [LOST]
    Backend.objects.filter(name="b2").update(key="sk-from-somewhere-else")
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    with pytest.raises(CommandError, match="the key of b2:"):
        rotate()
    assert sum(map(is_under_first_key, columns())) == NUM_ROWS - 1


def test_a_dump_of_the_database_holds_no_key():
    rotate()
    output = StringIO()
    call_command("dumpdata", stdout=output)
    assert "b0" in output.getvalue()
    assert "sk-secret" not in output.getvalue()


def test_a_batch_has_a_size():
    with pytest.raises(CommandError, match="at least 1"):
        rotate("--batch", "0")
