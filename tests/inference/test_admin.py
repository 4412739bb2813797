"""The operator's pages: keys go in and never come out."""

from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.fernet import Fernet
from django.contrib.admin.models import LogEntry

from inference.models import Backend, Price
from tests.factories import make_backend
from tests.inference.toy_models import dense

pytestmark = pytest.mark.django_db

KEY = "sk-very-secret"
URL = "https://api.example.com/v1"
ADMIN = "/admin/inference/backend/"


@pytest.fixture
def post(admin_client):
    """Return a function that saves a backend's form and returns the page's text."""

    def save(row: Backend | None = None, **values) -> str:
        data = {
            "name": "cloud", "kind": "scripted", "model": "", "endpoint": URL,
            "options": '{"scripts": ["echo"]}', "is_enabled": "on", "position": 10,
            "first_token_s": 15, "gap_s": 15, "connect_s": 3, "weight": 1,
        }  # fmt: skip
        address = f"{ADMIN}{row.pk}/change/" if row else f"{ADMIN}add/"
        return admin_client.post(address, data | values, follow=True).content.decode()

    return save


@pytest.fixture
def cloud():
    return make_backend(name="cloud", endpoint=URL, key=KEY)


def stored() -> str:
    return Backend.objects.get().key


class TestKey:
    def test_a_new_backend_takes_a_key(self, post):
        post(new_key=KEY)
        assert stored() == KEY

    def test_no_page_shows_it(self, post, admin_client):
        pages = [post(new_key=KEY)]
        row = Backend.objects.get()
        pages.append(post(row, new_key=KEY, _continue="yes"))
        pages += [
            admin_client.get(ADMIN + path).content.decode()
            for path in ("", f"{row.pk}/change/", f"{row.pk}/history/",
                         f"{row.pk}/delete/")
        ]  # fmt: skip
        sealed = vars(row)["key"].removeprefix("fernet:")
        assert [page for page in pages if KEY in page or sealed in page] == []
        assert "New key" in pages[3]

    def test_a_refused_form_does_not_show_what_was_typed(self, post, cloud):
        page = post(cloud, new_key="sk-other", options='{"scripts": ["dance"]}')
        assert "no verb" in page
        assert "sk-other" not in page
        assert stored() == KEY

    def test_the_log_of_changes_does_not_hold_it(self, post, cloud):
        post(cloud, new_key="sk-other")
        entry = LogEntry.objects.get()
        assert "New key" in entry.change_message
        assert "sk-" not in entry.change_message + entry.object_repr

    def test_an_empty_field_keeps_it(self, post, cloud):
        post(cloud, position=20)
        assert Backend.objects.get().position == 20
        assert stored() == KEY

    def test_a_typed_one_replaces_it(self, post, cloud):
        post(cloud, new_key="sk-other")
        assert stored() == "sk-other"

    def test_it_can_be_removed(self, post, cloud):
        post(cloud, remove_key="on")
        assert stored() == ""

    def test_it_is_not_both_entered_and_removed(self, post, cloud):
        page = post(cloud, new_key="sk-other", remove_key="on")
        assert "Enter a new key or remove the old." in page
        assert stored() == KEY

    def test_the_list_keeps_it(self, admin_client, cloud):
        form = {
            "form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": cloud.pk,
            "form-0-position": 77, "form-0-weight": 1, "form-0-is_enabled": "on",
            "_save": "Save",
        }  # fmt: skip
        admin_client.post(ADMIN, form)
        assert Backend.objects.get().position == 77
        assert stored() == KEY

    def test_it_does_not_follow_to_another_endpoint(self, post, cloud):
        page = post(cloud, endpoint="https://thief.example.com/v1")
        assert "The key was for another endpoint" in page
        assert Backend.objects.get().endpoint == URL

    def test_another_endpoint_takes_its_own_key(self, post, cloud):
        post(cloud, endpoint="https://api.example.org/v1", new_key="sk-other")
        assert Backend.objects.get().endpoint == "https://api.example.org/v1"
        assert stored() == "sk-other"

    @pytest.mark.parametrize(
        ("key", "state"),
        [(KEY, "set"), ("sk-of-sixteen-abcd", "set, ends in abcd"), ("", "none")],
    )
    def test_the_page_says_whether_there_is_one(self, admin_client, key, state):
        row = make_backend(key=key)
        page = admin_client.get(f"{ADMIN}{row.pk}/change/").content.decode()
        assert f'<div class="readonly">{state}</div>' in page


class TestUnreadableKey:
    @pytest.fixture(autouse=True)
    def _lock(self, cloud, settings):
        settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]

    @pytest.mark.parametrize("path", ["", "{}/change/"])
    def test_the_pages_open_and_say_so(self, admin_client, cloud, path):
        page = admin_client.get(ADMIN + path.format(cloud.pk))
        assert page.status_code == 200
        assert "cannot be read" in page.content.decode()

    def test_a_new_one_mends_it(self, post, cloud):
        post(cloud, new_key="sk-other")
        assert stored() == "sk-other"

    def test_it_can_be_removed(self, post, cloud):
        post(cloud, remove_key="on")
        assert stored() == ""

    def test_saving_without_one_is_refused(self, post, cloud):
        assert "enter the key again" in post(cloud)

    def test_the_list_still_switches_it_off(self, admin_client, cloud):
        form = {
            "form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": cloud.pk,
            "form-0-position": 10, "form-0-weight": 1, "_save": "Save",
        }  # fmt: skip
        card = admin_client.post(ADMIN, form)
        places = parse_qs(urlsplit(card["Location"]).query)
        admin_client.post(f"{ADMIN}switch/", places)
        assert not Backend.objects.get().is_enabled


class TestPrices:
    def test_a_price_is_saved_and_listed(self, admin_client, cloud):
        data = {
            "backend": cloud.pk, "model": "gpt-x", "input_usd_per_mtok": "0.15",
            "cached_input_usd_per_mtok": "", "output_usd_per_mtok": "0.6",
            "valid_from_0": "2026-11-01", "valid_from_1": "00:00:00",
        }  # fmt: skip
        address = "/admin/inference/price/"
        page = admin_client.post(f"{address}add/", data, follow=True).content.decode()
        assert Price.objects.get().cached_input_usd_per_mtok is None
        assert "gpt-x on cloud" in page

    def test_a_negative_price_is_refused(self, admin_client):
        data = {"model": "gpt-x", "input_usd_per_mtok": "-1"}
        admin_client.post("/admin/inference/price/add/", data)
        assert not Price.objects.exists()


class TestMemory:
    def test_a_model_that_will_not_fit_is_saved_with_a_warning(self, post, tmp_path):
        file = dense()
        file.set(block_count=10_000)
        path = file.write(tmp_path / "deep.gguf")
        options = '{"num_cells": 16000000, "kv_type_k": "f16"}'
        page = post(kind="llama_cpp", model=str(path), options=options, endpoint="")
        assert "deep.gguf needs about" in page
        assert "It does not fit" in page
        assert Backend.objects.get().model == str(path)

    def test_one_that_fits_is_saved_in_silence(self, post):
        page = post(kind="llama_cpp", options="{}", endpoint="")
        assert "of memory" not in page
        assert Backend.objects.exists()

    def test_a_wrong_option_is_refused_with_what_is_allowed(self, post):
        page = post(kind="llama_cpp", options='{"kv_type_k": "q9"}', endpoint="")
        assert "kv_type_k must be one of auto, f16, q8_0, q4_0" in page
        assert not Backend.objects.exists()
