"""The admin's own behaviour."""

import pytest
from django.contrib.admin.models import LogEntry

from inference.models import Backend
from support.models import Site, SystemPrompt, store_prompt
from tests.factories import make_backend, make_site

pytestmark = pytest.mark.django_db


def active(site):
    return SystemPrompt.objects.get(site=site, is_active=True)


class TestSystemPrompts:
    def test_saving_makes_a_new_active_version(self, admin_client):
        site = make_site()
        first = active(site)
        admin_client.post(
            f"/admin/support/systemprompt/{first.pk}/change/",
            {"site": site.pk, "content": "Be brief.", "comment": ""},
        )
        assert (active(site).version, active(site).content) == (2, "Be brief.")
        first.refresh_from_db()
        assert first.content == "Answer from the articles."

    def test_an_old_version_can_be_used_again(self, admin_client):
        site = make_site()
        first = active(site)
        data = {"site": site.pk, "content": "Be brief.", "comment": ""}
        admin_client.post("/admin/support/systemprompt/add/", data)
        admin_client.post(
            "/admin/support/systemprompt/",
            {"action": "activate", "_selected_action": [first.pk]},
        )
        assert active(site) == first

    def test_two_versions_of_a_site_are_not_used_at_once(self, admin_client):
        site = make_site()
        first, second = active(site), store_prompt(site, "Be brief.")
        page = admin_client.post(
            "/admin/support/systemprompt/",
            {"action": "activate", "_selected_action": [first.pk, second.pk]},
            follow=True,
        ).content.decode()
        assert "Choose one version of a site." in page
        assert active(site) == second

    def test_the_log_is_about_the_new_version(self, admin_client):
        site = make_site()
        url = f"/admin/support/systemprompt/{active(site).pk}/change/"
        data = {"site": site.pk, "content": "Be brief.", "comment": ""}
        admin_client.post(url, data)
        assert LogEntry.objects.get().object_id == str(active(site).pk)
        assert active(site).created_by.username == "admin"

    def test_a_version_cannot_be_deleted(self, admin_client):
        prompt = active(make_site())
        url = f"/admin/support/systemprompt/{prompt.pk}/delete/"
        assert admin_client.post(url, {"post": "yes"}).status_code == 403


class TestSites:
    def test_an_origin_with_a_path_is_refused(self, admin_client):
        site = make_site()
        data = {
            "key": site.key, "name": "Shop", "bot_name": "Fern", "greeting": "Hi",
            "allowed_origins": "https://shop.example/path", "is_active": "on",
        }  # fmt: skip
        response = admin_client.post(f"/admin/support/site/{site.pk}/change/", data)
        assert "is not an origin" in response.content.decode()
        assert Site.objects.get().allowed_origins == ""


class TestBackends:
    def save(self, admin_client, row, **values):
        data = {
            "name": row.name, "kind": row.kind, "model": "", "options": "{}",
            "is_enabled": "on", "position": 10, "first_token_s": 15, "gap_s": 15,
            "connect_s": 3, "weight": 1,
        }  # fmt: skip
        url = f"/admin/inference/backend/{row.pk}/change/"
        return admin_client.post(url, data | values)

    def test_a_good_script_is_saved(self, admin_client):
        row = make_backend()
        self.save(admin_client, row, options='{"scripts": ["say hi"]}')
        assert Backend.objects.get().options == {"scripts": ["say hi"]}

    @pytest.mark.parametrize(
        ("values", "error"),
        [
            ({"options": '{"scripts": ["dance"]}'}, "no verb"),
            ({"options": '{"speed": 1}'}, "unknown options"),
            ({"options": "[]"}, "Write a JSON object"),
            ({"kind": "llama_cpp", "model": "/no/such.gguf"}, "/no/such.gguf"),
        ],
    )
    def test_settings_that_cannot_work_are_refused(self, admin_client, values, error):
        row = make_backend()
        page = self.save(admin_client, row, **values).content.decode()
        assert error in page
        assert Backend.objects.get().options == row.options
