"""The key of a backend at rest and in memory."""

from base64 import urlsafe_b64encode

import pytest
from django.core import serializers
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from chatbot.settings import _check_fernet_keys, _local_secret
from inference.fields import UnreadableSecret
from inference.models import Backend
from tests.factories import make_backend

pytestmark = pytest.mark.django_db

KEY = "sk-very-secret"
# no random ones: they are part of a test's name
OLD, NEW = (urlsafe_b64encode(byte * 32).decode() for byte in (b"o", b"n"))


def read_column() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT key FROM inference_backend")
        return cursor.fetchone()[0]


def write_column(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE inference_backend SET key = %s", [text])


def test_a_key_is_encrypted_in_the_database_and_read_back():
    make_backend(key=KEY)
    assert KEY not in read_column()
    assert read_column().startswith("fernet:")
    assert Backend.objects.get().key == KEY


def test_no_key_is_stored_as_nothing():
    make_backend()
    assert read_column() == ""
    assert Backend.objects.get().key == ""


def test_a_row_in_memory_does_not_hold_the_key():
    row = make_backend(key=KEY)
    assert KEY not in repr(vars(row))
    assert KEY not in str(Backend.objects.values())


def test_the_same_key_never_looks_the_same():
    make_backend(key=KEY)
    before = read_column()
    Backend.objects.get().save()
    assert read_column() != before


def test_an_update_without_loading_encrypts_too():
    make_backend()
    Backend.objects.update(key=KEY)
    assert KEY not in read_column()
    assert Backend.objects.get().key == KEY


def test_a_deferred_key_is_read_when_asked_for():
    make_backend(key=KEY)
    assert Backend.objects.defer("key").get().key == KEY


@pytest.mark.parametrize("format", ["json", "xml"])
def test_a_dump_holds_the_key_encrypted_and_can_be_loaded(format):
    dump = serializers.serialize(format, [make_backend(key=KEY)])
    Backend.objects.all().delete()
    assert KEY not in dump
    for loaded in serializers.deserialize(format, dump):
        loaded.save()
    assert Backend.objects.get().key == KEY


def test_an_older_key_still_decrypts_and_saving_moves_on(settings):
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    make_backend(key=KEY)
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    row = Backend.objects.get()
    assert row.key == KEY
    row.save()
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert Backend.objects.get().key == KEY


def test_a_wrong_key_raises_and_does_not_show_what_is_stored(settings):
    make_backend(key=KEY)
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    row = Backend.objects.get()
    with pytest.raises(UnreadableSecret, match="FIELD_ENCRYPTION_KEYS") as caught:
        _ = row.key
    assert "fernet:" not in str(caught.value)


def test_reading_a_row_that_cannot_be_read_again_raises(settings):
    make_backend(key=KEY)
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    row = Backend.objects.get()
    row.refresh_from_db(fields=["weight"])
    with pytest.raises(UnreadableSecret):
        row.refresh_from_db()


def test_saving_a_row_that_cannot_be_read_keeps_what_it_has(settings):
    make_backend(key=KEY)
    before, usual = read_column(), settings.FIELD_ENCRYPTION_KEYS
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    Backend.objects.get().save()
    assert read_column() == before
    settings.FIELD_ENCRYPTION_KEYS = usual
    assert Backend.objects.get().key == KEY


@pytest.mark.parametrize("planted", ["sk-in-plain-text", "fernet:tampered", "fernet:é"])
def test_what_was_not_encrypted_here_is_not_read(planted):
    make_backend(key=KEY)
    write_column(planted)
    row = Backend.objects.get()
    with pytest.raises(UnreadableSecret):
        _ = row.key


@pytest.mark.parametrize("key", ["", "short", "x" * 44, NEW + NEW])
def test_a_malformed_encryption_key_stops_the_start_and_is_not_shown(key):
    with pytest.raises(ImproperlyConfigured, match="number 2 is not 32") as caught:
        _check_fernet_keys([NEW, key])
    assert not key or key not in str(caught.value)


def test_a_local_secret_is_made_once_for_its_owner_alone(tmp_path):
    path = tmp_path / "var" / "secret"
    first = _local_secret("KEY", path, lambda: "first")
    assert (first, _local_secret("KEY", path, lambda: "second")) == ("first", "first")
    assert path.stat().st_mode & 0o777 == 0o600
