"""Another default is looked at before it is one; candidates answer old questions."""

from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest
from django.urls import reverse
from kombu.exceptions import OperationalError

from inference.backends.scripted import ScriptedBackend
from inference.failures import explain
from inference.models import (
    Backend,
    BackendEvent,
    Canary,
    CanaryState,
    Price,
    RoutingPolicy,
)
from inference.registry import registry
from inference.rules import end_trial
from support.admin import switching
from support.chat import answering, tryouts
from support.chat.tasks import replay_questions
from support.models import Conversation, Replay, ReplayedCall, ReplayState
from tests.factories import make_backend, make_conversation, make_site, make_turn

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/inference/backend/"
CARD = f"{LIST}switch/"


@pytest.fixture
def first():
    make_site()
    return make_backend("say From first.", name="first", position=10)


@pytest.fixture
def second(first):
    return make_backend("say From second.", name="second", position=20)


def _fail(*_, **__):
    raise OperationalError("no broker")


def save_list(client, *places: tuple[Backend, int, bool]):
    form: dict[str, object] = {
        "form-TOTAL_FORMS": len(places),
        "form-INITIAL_FORMS": len(places),
    }
    for number, (row, position, is_on) in enumerate(places):
        form |= {
            f"form-{number}-id": row.pk,
            f"form-{number}-position": position,
            f"form-{number}-weight": 1,
        } | ({f"form-{number}-is_enabled": "on"} if is_on else {})
    return client.post(LIST, form | {"_save": "Save"})


def default() -> str:
    return Backend.objects.filter(is_enabled=True)[0].name


class TestCard:
    def test_nothing_changes_before_it_is_confirmed(self, admin_client, first, second):
        card = save_list(admin_client, (first, 30, True), (second, 20, True))
        assert urlsplit(card["Location"]).path == CARD
        page = admin_client.get(card["Location"]).content.decode()
        assert "Switch to second?" in page
        assert default() == "first"
        places = parse_qs(urlsplit(card["Location"]).query)
        admin_client.post(CARD, places)
        assert default() == "second"

    def test_switching_the_default_off_has_one(self, admin_client, first, second):
        card = save_list(admin_client, (first, 10, False), (second, 20, True))
        assert urlsplit(card["Location"]).path == CARD
        assert Backend.objects.get(name="first").is_enabled

    def test_switching_all_off_has_one(self, admin_client, first):
        card = save_list(admin_client, (first, 10, False))
        page = admin_client.get(card["Location"]).content.decode()
        assert "No model is left" in page

    def test_another_order_behind_the_default_has_none(
        self, admin_client, first, second
    ):
        saved = save_list(admin_client, (first, 5, True), (second, 7, True))
        assert urlsplit(saved["Location"]).path == LIST
        assert Backend.objects.get(name="second").position == 7

    def test_a_new_backend_before_the_default_waits_for_it(self, admin_client, first):
        form = {
            "name": "newest", "kind": "scripted", "options": '{"scripts": ["echo"]}',
            "is_enabled": "on", "position": 1, "weight": 1, "connect_s": 3,
            "first_token_s": 15, "gap_s": 15,
        }  # fmt: skip
        card = admin_client.post(f"{LIST}add/", form)
        assert urlsplit(card["Location"]).path == CARD
        assert not Backend.objects.get(name="newest").is_enabled
        admin_client.post(CARD, parse_qs(urlsplit(card["Location"]).query))
        assert default() == "newest"

    def test_the_first_of_all_needs_none(self, admin_client):
        form = {
            "name": "only", "kind": "scripted", "options": '{"scripts": ["echo"]}',
            "is_enabled": "on", "position": 1, "weight": 1, "connect_s": 3,
            "first_token_s": 15, "gap_s": 15,
        }  # fmt: skip
        admin_client.post(f"{LIST}add/", form)
        assert default() == "only"

    def test_says_how_many_conversations_stay(self, admin_client, first, second):
        make_conversation()
        Conversation.objects.update(backend="first")
        place = f"set={second.pk}:1:1"
        page = admin_client.get(f"{CARD}?{place}").content.decode()
        assert "1 with first" in page

    @pytest.mark.parametrize("is_off", [True, False])
    def test_says_that_nothing_may_leave_the_house(self, admin_client, first, is_off):
        RoutingPolicy.objects.create(pk=1, is_cloud_off=is_off)
        outside = make_backend(name="outside", position=20)
        Backend.objects.filter(pk=outside.pk).update(kind="openai_compatible")
        page = admin_client.get(f"{CARD}?set={outside.pk}:1:1").content.decode()
        assert ("outside will not be asked" in page) is is_off
        assert ("within two seconds" in page) is not is_off

    @pytest.mark.parametrize(
        ("query", "status"),
        [("", 404), ("set=x", 400), ("set=1:-5:1", 400), ("set=999999:1:1", 404)],
    )
    def test_nonsense_is_refused(self, admin_client, first, query, status):
        assert admin_client.get(f"{CARD}?{query}").status_code == status

    def test_it_is_not_for_all(self, client, first):
        assert client.post(CARD, {"set": f"{first.pk}:1:0"}).status_code == 302
        assert default() == "first"


def ask(content="Hello?", conversation=None):
    turn = make_turn(conversation, content)
    answering.produce(turn.id)
    return turn


def replay(row: Backend, limit_usd="1", num=50) -> Replay:
    asked = tryouts.ask_for_replay(row, num, Decimal(limit_usd), "kim")
    tryouts.run_replay(asked.pk)
    asked.refresh_from_db()
    return asked


class TestTrials:
    LIST = "/admin/inference/canary/"

    @pytest.fixture
    def canary(self, second):
        return Canary.objects.create(candidate=second)

    def act(self, client, action: str, *chosen: Canary):
        form = {"action": action, "_selected_action": [row.pk for row in chosen]}
        return client.post(self.LIST, form, follow=True)

    def test_a_candidate_is_promoted_by_the_card(self, admin_client, first, canary):
        card = self.act(admin_client, "promote", canary)
        assert "Switch to second?" in card.content.decode()
        canary.refresh_from_db()
        assert (default(), canary.state) == ("first", CanaryState.RUNNING)
        admin_client.post(CARD, parse_qs(card.request["QUERY_STRING"]))
        canary.refresh_from_db()
        assert (default(), canary.state) == ("second", CanaryState.PROMOTED)
        assert BackendEvent.objects.filter(
            backend="second", text="promoted: it is asked first from now on"
        ).exists()

    def test_the_others_make_room_where_there_is_none(
        self, admin_client, first, canary
    ):
        third = make_backend(name="third", position=3)
        Backend.objects.filter(name="first").update(position=0)
        card = self.act(admin_client, "promote", canary)
        admin_client.post(CARD, parse_qs(card.request["QUERY_STRING"]))
        names = [row.name for row in Backend.objects.filter(is_enabled=True)]
        assert names == ["second", "first", third.name]

    def test_an_ended_trial_promotes_nobody(self, admin_client, first, canary):
        end_trial(canary, CanaryState.ROLLED_BACK, "too slow")
        page = self.act(admin_client, "promote", canary)
        assert "Choose the trial that is running." in page.content.decode()

    def test_another_switch_leaves_the_trial_alone(self, admin_client, first, canary):
        third = make_backend(name="third", position=30)
        admin_client.post(CARD, {"set": f"{third.pk}:1:1"})
        canary.refresh_from_db()
        assert (default(), canary.state) == ("third", CanaryState.RUNNING)

    def test_one_that_came_first_otherwise_is_promoted_too(
        self, admin_client, first, canary
    ):
        Backend.objects.filter(name="first").delete()
        card = self.act(admin_client, "promote", canary)
        admin_client.post(CARD, parse_qs(card.request["QUERY_STRING"]))
        canary.refresh_from_db()
        assert canary.state == CanaryState.PROMOTED

    def test_who_may_only_look_ends_none(self, client, canary, make_viewer):
        client.force_login(make_viewer("canary"))
        self.act(client, "stop", canary)
        canary.refresh_from_db()
        assert canary.state == CanaryState.RUNNING

    def test_moving_others_promotes_no_default_on_trial(
        self, admin_client, first, canary
    ):
        """Who tries the default itself wants it to get a part of what it got."""
        Backend.objects.filter(name="second").update(position=1)
        second = Backend.objects.get(name="second")
        save_list(admin_client, (first, 15, True), (second, 1, True))
        assert Backend.objects.get(name="first").position == 15
        canary.refresh_from_db()
        assert canary.state == CanaryState.RUNNING

    def test_who_stopped_one_is_written_down(self, admin_client, first, canary):
        page = self.act(admin_client, "stop", canary)
        assert "1 stopped." in page.content.decode()
        canary.refresh_from_db()
        assert (canary.state, canary.reason) == (CanaryState.STOPPED, "by admin")
        assert BackendEvent.objects.filter(text="stopped by staff: by admin").exists()
        assert "0 stopped." in self.act(admin_client, "stop", canary).content.decode()


class TestReplay:
    def test_answers_stand_beside_the_old_ones(self, first, second):
        ask("Hello?")
        ask("Good day?")
        done = replay(second)
        assert (done.state, done.reason) == (ReplayState.DONE, "")
        rows, pairs = switching.compare(done)
        assert [(p.question, p.old, p.new) for p in pairs] == [
            ("Good day?", "From first.", "From second."),
            ("Hello?", "From first.", "From second."),
        ]
        assert [row.name for row in rows][:3] == [
            "Questions", "Failed", "First token, median",
        ]  # fmt: skip

    def test_the_candidate_reads_what_the_first_one_read(self, first, second):
        conversation = make_conversation()
        ask("Hello?", conversation)
        ask("And now?", conversation)
        [old] = registry.use([first])
        assert isinstance(old, ScriptedBackend)
        asked = [request.messages for request in old.requests]
        done = replay(second)
        [_, new] = registry.use([first, second])
        assert isinstance(new, ScriptedBackend)
        assert [request.messages for request in new.requests] == asked[::-1]
        assert done.calls.count() == 2

    def test_no_customer_sees_it_and_no_ledger_has_it(self, first, second):
        turn = ask()
        before = (turn.conversation.messages.count(), turn.attempts.count())
        replay(second)
        assert (turn.conversation.messages.count(), turn.attempts.count()) == before

    def test_private_questions_stay_in_the_house(self, first, second):
        Conversation.objects.filter(pk=ask().conversation_id).update(is_private=True)
        ask("Open?")
        Backend.objects.filter(name="second").update(kind="openai_compatible")
        second.refresh_from_db()
        found, reason = tryouts.find_questions(second, 50)
        assert [turn.question.content for turn in found] == ["Open?"]
        assert reason == "1 in private conversations left out."

    def test_one_of_our_own_may_read_them(self, first, second):
        Conversation.objects.filter(pk=ask().conversation_id).update(is_private=True)
        assert replay(second).calls.count() == 1

    def test_with_the_cloud_off_nothing_is_sent(self, first, second):
        ask()
        Backend.objects.filter(name="second").update(kind="openai_compatible")
        RoutingPolicy.objects.create(pk=1, is_cloud_off=True)
        assert "Nothing may leave" in replay(second).reason
        assert not ReplayedCall.objects.exists()

    def test_drills_are_no_questions(self, first, second):
        ask()
        Conversation.objects.update(is_synthetic=True)
        assert replay(second).calls.count() == 0

    def test_it_ends_at_its_limit(self, first, second):
        Price.objects.create(
            backend=second, input_usd_per_mtok=0, output_usd_per_mtok=200_000
        )
        for _ in range(4):
            ask()
        done = replay(second, limit_usd="1")
        assert done.calls.count() == 2  # of two words each, for 40 cents
        assert "limit of $1 is reached" in done.reason

    @pytest.mark.parametrize("error", ["AccountExhausted", "Misconfigured"])
    def test_it_ends_where_only_a_person_can_help(self, first, second, error):
        ask()
        ask()
        Backend.objects.filter(name="second").update(
            options={"scripts": [f"fail {error}"]}
        )
        done = replay(second)
        assert done.calls.get().error == error
        assert done.reason == explain(error)

    def test_a_failure_is_one_of_its_numbers(self, first, second):
        ask()
        Backend.objects.filter(name="second").update(
            options={"scripts": ["fail Overloaded"]}
        )
        done = replay(second)
        assert done.calls.get().error == "Overloaded"
        rows, _ = switching.compare(done)
        assert rows[1].new == "1"

    def test_a_queue_that_cannot_be_reached_ends_it(
        self, admin_client, monkeypatch, first, second
    ):
        monkeypatch.setattr(replay_questions, "apply_async", _fail)
        url = reverse("admin:inference_backend_replay", args=[second.pk])
        page = admin_client.post(url, {"set": f"{second.pk}:1:1"}, follow=True)
        assert "The queue cannot be reached" in page.content.decode()
        assert Replay.objects.get().state == ReplayState.STOPPED
        tryouts.ask_for_replay(second, 50, Decimal(1), "kim")

    def test_one_at_a_time(self, first, second):
        tryouts.ask_for_replay(second, 50, Decimal(1), "kim")
        with pytest.raises(tryouts.AlreadyRunning):
            tryouts.ask_for_replay(second, 50, Decimal(1), "kim")

    def test_one_whose_worker_is_gone_makes_room(self, first, second):
        tryouts.ask_for_replay(second, 50, Decimal(1), "kim")
        Replay.objects.update(at=Replay.objects.get().at - tryouts.SILENCE * 2)
        tryouts.ask_for_replay(second, 50, Decimal(1), "kim")
        assert Replay.objects.filter(state=ReplayState.STOPPED).count() == 1

    def test_staff_stop_it(self, admin_client, first, second):
        ask()
        asked = tryouts.ask_for_replay(second, 50, Decimal(1), "kim")
        url = reverse("admin:inference_backend_replay", args=[second.pk])
        admin_client.post(url, {"stop": 1, "set": f"{second.pk}:1:1"})
        tryouts.run_replay(asked.pk)
        assert not ReplayedCall.objects.exists()

    def test_the_clock_of_its_worker_does_not_keep_it_running(self, first, second):
        tryouts.ask_for_replay(second, 50, Decimal(1), "kim")
        Replay.objects.update(at=Replay.objects.get().at + tryouts.SILENCE)
        tryouts.stop_replay(second, "Stopped by staff.")
        assert Replay.objects.get().state == ReplayState.STOPPED

    def test_the_card_shows_it(self, admin_client, first, second):
        ask("Are you there?")
        replay(second)
        page = admin_client.get(f"{CARD}?set={second.pk}:1:1").content.decode()
        assert "Are you there?" in page
        assert "From second." in page

    @pytest.mark.parametrize("limit", ["-1", "101", "many"])
    def test_a_limit_is_a_sum(self, admin_client, second, limit):
        url = reverse("admin:inference_backend_replay", args=[second.pk])
        admin_client.post(url, {"limit_usd": limit, "set": f"{second.pk}:1:1"})
        assert not Replay.objects.exists()
