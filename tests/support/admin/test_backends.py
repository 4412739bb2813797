"""The operator's page of backends: tests, live state, drills, and who changed what."""

import json
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from kombu.exceptions import OperationalError

from inference.models import (
    Backend,
    BackendTest,
    Budget,
    Drill,
    EventKind,
    Price,
    RoutingPolicy,
)
from inference.models.history import BackendEvent
from support.admin.backend_status import read_statuses
from support.chat import tryouts
from support.chat.tasks import run_backend_test
from support.models import AttemptOutcome, Conversation
from tests.factories import (
    make_attempt,
    make_backend,
    make_conversation,
    make_site,
    make_turn,
    past,
)

pytestmark = pytest.mark.django_db

KEY = "sk-live-9f8e7d6c5b4a3210wxyz"


def page_of(row: Backend, name: str = "change") -> str:
    return reverse(f"admin:inference_backend_{name}", args=[row.pk])


@pytest.fixture
def row():
    make_site()
    return make_backend("say Yes.", name="cloud", key=KEY)


class TestTest:
    def run(self, admin_client, row) -> BackendTest:
        admin_client.post(page_of(row, "test"))
        test = BackendTest.objects.get()
        assert test.is_passed is None
        tryouts.run_test(test.pk)
        test.refresh_from_db()
        return test

    def test_a_real_call_shows_tokens_time_and_cost(self, admin_client, row):
        Price.objects.create(
            backend=row, input_usd_per_mtok=0, output_usd_per_mtok=1_000
        )
        test = self.run(admin_client, row)
        assert (test.is_passed, test.text) == (True, "Yes.")
        assert (test.completion_tokens, str(test.cost_usd)) == (1, "0.00100000")
        page = admin_client.get(page_of(row)).content.decode()
        assert "passed" in page
        assert "$0.001" in page

    @pytest.mark.parametrize(
        ("script", "cause"),
        [
            ("fail AuthenticationFailed", "It refuses the key"),
            ("fail Unavailable", "could not be reached"),
            ("finish stop", "It answered nothing."),
        ],
    )
    def test_a_failure_is_said_in_words(self, admin_client, row, script, cause):
        Backend.objects.update(options={"scripts": [script]})
        test = self.run(admin_client, row)
        assert test.is_passed is False
        assert cause in test.problem

    def test_one_that_is_switched_off_is_tested_before_it_is_used(
        self, admin_client, row
    ):
        Backend.objects.update(is_enabled=False)
        assert self.run(admin_client, row).is_passed is True

    def test_with_the_cloud_off_nothing_is_sent(self, admin_client, row):
        Backend.objects.update(kind="openai_compatible", model="m")
        RoutingPolicy.objects.create(pk=1, is_cloud_off=True)
        test = self.run(admin_client, row)
        assert "Nothing may leave the house" in test.problem

    def test_two_workers_ask_once(self, admin_client, row):
        test = self.run(admin_client, row)
        BackendTest.objects.update(text="first")
        tryouts.run_test(test.pk)
        assert BackendTest.objects.get().text == "first"

    def test_its_call_is_in_no_conversation(self, admin_client, row):
        self.run(admin_client, row)
        assert not Conversation.objects.exists()

    def test_the_action_tests_each(self, admin_client, row):
        data = {"action": "test_chosen", "_selected_action": [row.pk]}
        admin_client.post(reverse("admin:inference_backend_changelist"), data)
        assert BackendTest.objects.get().backend == "cloud"

    def test_who_may_only_look_tests_nothing(self, client, row, make_viewer):
        client.force_login(make_viewer("backend"))
        data = {"action": "test_chosen", "_selected_action": [row.pk]}
        client.post(reverse("admin:inference_backend_changelist"), data)
        assert not BackendTest.objects.exists()
        assert client.post(page_of(row, "test")).status_code == 403

    def test_a_queue_that_cannot_be_reached_is_said_to_be(
        self, admin_client, row, monkeypatch
    ):
        def fail(*_, **__):
            raise OperationalError("no broker")

        monkeypatch.setattr(run_backend_test, "apply_async", fail)
        data = {"action": "test_chosen", "_selected_action": [row.pk]}
        url = reverse("admin:inference_backend_changelist")
        page = admin_client.post(url, data, follow=True).content.decode()
        assert "The queue cannot be reached" in page
        assert "Not asked: cloud." in page
        assert BackendTest.objects.get().is_passed is False

    def test_one_that_nobody_took_is_not_running_for_ever(self, admin_client, row):
        BackendTest.objects.create(
            backend="cloud", asked_by="kim", at=past(tryouts.SILENCE.seconds + 1)
        )
        page = admin_client.get(page_of(row)).content.decode()
        assert "No worker has answered." in page

    @pytest.mark.parametrize("name", ["test", "drill", "reset", "replay"])
    def test_a_button_is_no_link_and_not_for_all(self, admin_client, client, row, name):
        assert admin_client.get(page_of(row, name)).status_code == 404
        assert client.post(page_of(row, name)).status_code == 302
        assert not BackendTest.objects.exists()


class TestLive:
    def read(self, row) -> dict[str, str]:
        return read_statuses([row])[row.name].fields

    def test_counts_what_is_in_flight(self, row):
        running = {"outcome": AttemptOutcome.RUNNING, "finished_at": None}
        make_attempt(make_turn(), backend="cloud", **running)
        make_attempt(make_turn(), backend="cloud", **running, started_at=past(3600))
        assert self.read(row)["in_flight"] == "1"

    def test_says_the_last_answer_and_the_last_error(self, row):
        turn = make_turn()
        make_attempt(turn, backend="cloud", ttft_ms=120, started_at=past(10))
        make_attempt(
            turn, backend="cloud", outcome=AttemptOutcome.FAILED, error="Timeout",
            error_detail="first_token deadline", started_at=past(7200),
        )  # fmt: skip
        found = self.read(row)
        assert "first word in 120 ms" in found["last_success"]
        assert found["last_error"].startswith("Timeout, 2")

    def test_sets_the_cost_of_today_against_its_budget(self, row):
        Budget.objects.create(backend=row, limit_usd=10)
        make_attempt(make_turn(), backend="cloud", cost_usd="0.25")
        make_attempt(make_turn(), backend="cloud", cost_usd=None)
        assert self.read(row)["cost"] == "$0.250 and 1 unpriced call of $10.00, 2 calls"

    def test_unpriced_is_not_zero(self, row):
        make_attempt(make_turn(), backend="cloud", cost_usd=None)
        assert self.read(row)["cost"] == "1 unpriced call, 1 call"

    def test_others_that_are_proven_often_do_not_hide_it(self, row):
        drill = {"fault": "cut", "is_proven": True, "took_ms": 5, "answered_by": "x"}
        Drill.objects.create(backend="cloud", **drill)
        home = make_backend(name="home")
        rows = [Drill(backend="home", **drill) for _ in range(200)]
        Drill.objects.bulk_create(rows)
        found = read_statuses([row, home])
        assert "(cut → x)" in found["cloud"].fields["proven"]

    def test_each_backend_costs_two_queries_more(self, row, django_assert_num_queries):
        other = make_backend(name="other")
        with django_assert_num_queries(8):
            read_statuses([row])
        with django_assert_num_queries(10):
            read_statuses([row, other])

    def test_says_when_the_fallback_was_last_proven(self, row):
        assert self.read(row)["proven"] == "never"
        drill = {"backend": "cloud", "fault": "cut", "took_ms": 5}
        Drill.objects.create(**drill, is_proven=False)
        at = timezone.now() - timedelta(days=2)
        Drill.objects.create(**drill, is_proven=True, answered_by="home", at=at)
        assert self.read(row)["proven"] == "2\xa0days ago (cut → home)"

    def test_a_drill_is_no_traffic(self, row):
        conversation = make_conversation()
        Conversation.objects.update(is_synthetic=True)
        make_attempt(make_turn(conversation), backend="cloud", cost_usd=1)
        found = self.read(row)
        assert found["cost"] == "$0, 0 calls"
        assert found["last_success"] == "none in 7 days"

    def test_says_that_it_spills(self, row):
        row.target_ttft_s = 2.0
        BackendEvent.objects.create(backend="cloud", kind=EventKind.SPILL_BEGAN)
        assert "spills since" in self.read(row)["spill"]

    def test_a_script_can_read_it(self, admin_client, row):
        url = reverse("admin:inference_backend_status")
        found = json.loads(admin_client.get(url).content)
        assert found["fields"]["cloud:in_flight"] == "0"
        assert json.loads(admin_client.get(f"{url}?id={row.pk}").content)["tests"] == []
        assert admin_client.get(f"{url}?id=²").status_code == 200

    def test_it_is_for_staff(self, client, row):
        assert client.get(reverse("admin:inference_backend_status")).status_code == 302


class TestDrillButton:
    def test_begins_a_drill(self, admin_client, row):
        make_backend(name="home", position=20)
        admin_client.post(page_of(row, "drill"), {"fault": "cut"})
        drill = Drill.objects.get()
        assert (drill.backend, drill.fault, drill.asked_by) == ("cloud", "cut", "admin")

    def test_says_why_it_cannot(self, admin_client, row):
        answer = admin_client.post(page_of(row, "drill"), {"fault": "cut"}, follow=True)
        assert "cannot be drilled" in answer.content.decode()

    def test_refuses_another_fault(self, admin_client, row):
        answer = admin_client.post(page_of(row, "drill"), {"fault": "flood"})
        assert answer.status_code == 400


class TestHistory:
    def change(self, admin_client, row, **values) -> str:
        data = {
            "name": "cloud", "kind": "scripted", "model": "", "endpoint": "",
            "options": '{"scripts": ["say Yes."]}', "is_enabled": "on", "position": 10,
            "weight": 1, "connect_s": 3, "first_token_s": 15, "gap_s": 15,
        } | values  # fmt: skip
        answer = admin_client.post(page_of(row), data | {"_continue": 1}, follow=True)
        return answer.content.decode()

    def test_says_who_changed_what_before_and_after(self, admin_client, row):
        page = self.change(admin_client, row, gap_s=30)
        assert "<strong>admin</strong> did <em>update</em>" in page
        assert "<del>15.0</del> → <ins>30.0</ins>" in page

    def test_a_key_is_in_it_by_its_end_alone(self, admin_client, row):
        page = self.change(admin_client, row, new_key="sk-test-0000111122223333abcd")
        assert "<del>wxyz</del> → <ins>abcd</ins>" in page
        assert "fernet" not in page
        assert "sk-" not in page

    def test_a_row_whose_key_cannot_be_read_has_one_too(self, row, settings):
        settings.FIELD_ENCRYPTION_KEYS = [
            "b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIhISE="
        ]
        row = Backend.objects.get()
        row.weight = 5
        row.save()
        assert Backend.objects.get().weight == 5

    def test_other_pages_have_it_as_well(self, admin_client, row):
        policy = RoutingPolicy.load()
        policy.save()
        url = reverse("admin:inference_routingpolicy_change", args=[1])
        data = {"rung": "apology", "_continue": 1}
        page = admin_client.post(url, data, follow=True).content.decode()
        assert "<del>model</del> → <ins>apology</ins>" in page


class TestPolicy:
    def test_the_list_is_the_one_row(self, admin_client):
        url = reverse("admin:inference_routingpolicy_changelist")
        page = admin_client.get(url, follow=True)
        assert page.status_code == 200
        assert RoutingPolicy.objects.count() == 1


class TestPrivate:
    def switch(self, client, conversation, value):
        url = f"/admin/support/conversation/{conversation.pk}/private/"
        return client.post(url, {"is_private": value}, follow=True)

    def test_staff_keep_a_conversation_in_the_house(self, admin_client):
        conversation = make_conversation()
        page = self.switch(admin_client, conversation, "yes").content.decode()
        conversation.refresh_from_db()
        assert conversation.is_private
        assert "never sent out of the house" in page
        self.switch(admin_client, conversation, "no")
        conversation.refresh_from_db()
        assert not conversation.is_private

    def test_not_without_the_right_to_change(self, client, django_user_model):
        user = django_user_model.objects.create_user("kim", password="x", is_staff=True)
        client.force_login(user)
        conversation = make_conversation()
        assert self.switch(client, conversation, "yes").status_code == 403
        conversation.refresh_from_db()
        assert not conversation.is_private
