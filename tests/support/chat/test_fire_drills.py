"""Rehearsed failures: the fallback fires, is written down, and touches nothing else."""

from datetime import UTC, datetime, time, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from inference import registry
from inference.backends.faulty import Fault
from inference.backends.scripted import ScriptedBackend
from inference.models import Backend, Drill, RoutingPolicy
from inference.routing.breaker import BreakerState
from support.chat import answering, drills, fire_drills
from support.chat.ledger import call_closed
from support.models import Attempt, Conversation, Turn
from support.monitoring import selectors
from support.monitoring.periods import PERIODS, build_window
from tests.factories import make_backend, make_conversation, make_site, make_turn

pytestmark = pytest.mark.django_db(transaction=True)

MIDWAY = {Fault.CUT, Fault.HANG_MIDWAY}


@pytest.fixture(autouse=True)
def _site():
    make_site()


@pytest.fixture
def chain():
    """A cloud that is first, and a backend of our own behind it."""
    waits = {"first_token_s": 0.1, "gap_s": 0.1}
    make_backend("say from cloud", name="cloud", position=10, **waits)
    make_backend("say from home", name="home", position=20)


def carry_out(backend="cloud", fault=Fault.REFUSE) -> Drill:
    drill = fire_drills.begin(backend, fault)
    answering.produce(Turn.objects.get(conversation=drill.conversation).id)
    drill.refresh_from_db()
    return drill


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_proves_the_fallback(chain, fault):
    drill = carry_out(fault=fault)
    assert (drill.is_proven, drill.answered_by) == (True, "home")
    assert 0 <= drill.fallback_ms <= drill.took_ms
    assert drill.shown.endswith("from home")
    assert ("vanish" in drill.shown) == (fault in MIDWAY)
    assert drill.cost_usd == 0


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.WRONG_KEY, "AuthenticationFailed"),
        (Fault.RATE_LIMIT, "Overloaded"),
        (Fault.HANG, "Timeout"),
        (Fault.HANG_MIDWAY, "Timeout"),
        (Fault.SLOW, "Timeout"),
        (Fault.CUT, "Interrupted"),
        (Fault.EMPTY, "InvalidResponse"),
    ],
)
def test_the_ledger_has_the_failure_as_a_real_one(chain, fault, error):
    carry_out(fault=fault)
    booked = Attempt.objects.order_by("number").values_list("backend", "error")
    assert list(booked) == [("cloud", error), ("home", "")]


def test_the_failure_calls_nobody(chain):
    carry_out()
    [real] = registry.registry.use([Backend.objects.get(name="cloud")])
    assert isinstance(real, ScriptedBackend)
    assert real.requests == []


def test_no_breaker_learns_of_it(chain):
    for _ in range(4):
        carry_out(fault=Fault.WRONG_KEY)
    standings = registry.read_breakers(["cloud", "home"])
    states = {standing.state for standing in standings.values()}
    assert states == {BreakerState.CLOSED}


def test_a_backend_that_comes_later_is_drilled_too(chain):
    drill = carry_out("home")
    assert (drill.is_proven, drill.answered_by) == (True, "cloud")


def test_a_fallback_that_fails_too_is_not_proven(chain):
    Backend.objects.filter(name="home").update(options={"scripts": ["fail Timeout"]})
    Backend.objects.filter(name="home").update(options={"scripts": ["fail Overloaded"]})
    drill = carry_out()
    assert drill.is_proven is False
    assert drill.answered_by == ""
    assert "The turn failed" in drill.report


def test_a_report_says_what_was_rehearsed_and_who_was_asked(chain):
    report = carry_out(fault=Fault.SERVER_ERROR).report
    assert "Rehearsed at cloud: the server fails (500)." in report
    assert "2. home completed" in report


@pytest.mark.parametrize("backend", ["nobody", "off", "alone"])
def test_what_proves_nothing_is_refused(backend):
    make_backend(name="alone")
    make_backend(name="off", is_enabled=False)
    with pytest.raises(fire_drills.DrillRefused, match=backend):
        fire_drills.begin(backend, Fault.REFUSE)
    assert not Conversation.objects.exists()


def test_with_the_cloud_off_nobody_there_is_drilled_nor_asked(chain):
    Backend.objects.filter(name="cloud").update(kind="openai_compatible")
    RoutingPolicy.objects.create(pk=1, is_cloud_off=True)
    with pytest.raises(fire_drills.DrillRefused):
        fire_drills.begin("cloud", Fault.REFUSE)


def test_who_begins_too_many_is_told_when_to_go_on(chain, settings):
    settings.MESSAGES_PER_MINUTE = 1  # ten of an address
    for _ in range(10):
        fire_drills.begin("cloud", Fault.REFUSE, "sam")
    with pytest.raises(fire_drills.DrillRefused, match="Try again in"):
        fire_drills.begin("cloud", Fault.REFUSE, "sam")
    assert Drill.objects.count() == Conversation.objects.count() == 10
    fire_drills.begin("cloud", Fault.REFUSE, "kim")


def test_other_conversations_fail_at_nothing(chain):
    fire_drills.begin("cloud", Fault.REFUSE)
    turn = make_turn()
    answering.produce(turn.id)
    turn.refresh_from_db()
    assert turn.reply.content == "from cloud"


class TestFigures:
    def test_monitoring_does_not_count_it(self, chain):
        carry_out()
        window = build_window(PERIODS["day"], timezone.now() + timedelta(seconds=1))
        assert selectors.read_calls(window).total().num_calls == 0
        assert sum(map(sum, (c.values() for c in selectors.count_turns(window)))) == 0

    def test_metrics_do_not_hear_of_it(self, chain):
        heard = []

        def hear(**values):
            heard.append(values)

        call_closed.connect(hear)
        try:
            carry_out()
        finally:
            call_closed.disconnect(hear)
        assert heard == []

    @pytest.mark.parametrize("page", ["conversation", "turn"])
    def test_lists_of_staff_leave_it_out(self, chain, admin_client, page):
        carry_out()
        shown = admin_client.get(f"/admin/support/{page}/").content.decode()
        assert "0 " in shown.split('class="paginator"')[1]
        shown = admin_client.get(f"/admin/support/{page}/?drills=yes").content.decode()
        assert "1 " in shown.split('class="paginator"')[1]


class TestNight:
    NOW = datetime(2026, 11, 23, 3, 30, tzinfo=UTC)

    @pytest.fixture(autouse=True)
    def _three_o_clock(self, chain):
        RoutingPolicy.objects.create(pk=1, drills_at=time(3, 0))

    def test_each_backend_has_its_drill_once_a_night(self):
        begun = fire_drills.run_nightly(self.NOW)
        assert sorted(drill.backend for drill in begun) == ["cloud", "home"]
        assert fire_drills.run_nightly(self.NOW) == []
        assert len(fire_drills.run_nightly(self.NOW + timedelta(days=1))) == 2

    def test_nothing_limits_how_many_backends_that_may_be(self, settings):
        settings.MESSAGES_PER_MINUTE = 1
        for number in range(10):
            make_backend(name=f"another {number}")
        assert len(fire_drills.run_nightly(self.NOW)) == 12

    def test_ten_nights_show_every_fault(self):
        for number in range(len(Fault)):
            fire_drills.run_nightly(self.NOW + timedelta(days=number))
        seen = Drill.objects.filter(backend="cloud").values_list("fault", flat=True)
        assert set(seen) == set(Fault)

    @pytest.mark.parametrize("minutes", [-31, 30, 600])
    def test_not_at_other_hours(self, minutes):
        assert fire_drills.run_nightly(self.NOW + timedelta(minutes=minutes)) == []

    def test_not_without_an_hour(self):
        RoutingPolicy.objects.update(drills_at=None)
        assert fire_drills.run_nightly(self.NOW) == []


class TestForsaken:
    LATER = timedelta(minutes=6)

    def test_one_that_nobody_took_is_ended(self, chain):
        drill = fire_drills.begin("cloud", Fault.REFUSE)
        fire_drills.close_forsaken(timezone.now() + self.LATER)
        drill.refresh_from_db()
        assert (drill.is_proven, drill.report) == (
            False,
            "No worker answered the question.",
        )

    def test_one_whose_end_was_not_written_down_is(self, chain):
        drill = carry_out()
        Drill.objects.update(is_proven=None)
        fire_drills.close_forsaken(timezone.now() + self.LATER)
        drill.refresh_from_db()
        assert drill.is_proven is True

    def test_one_under_way_is_left_alone(self, chain):
        drill = fire_drills.begin("cloud", Fault.REFUSE)
        fire_drills.close_forsaken(timezone.now())
        drill.refresh_from_db()
        assert drill.is_proven is None


def test_a_conversation_with_a_visitor_records_nothing(django_assert_num_queries):
    turn = make_turn(make_conversation())
    with django_assert_num_queries(0):
        drills.record(turn)


class TestCommand:
    @pytest.fixture
    def run(self, monkeypatch):
        """The command, with a worker that answers as soon as the command waits."""

        def answer(seconds):
            for drill in Drill.objects.filter(is_proven=None):
                answering.produce(Turn.objects.get(conversation=drill.conversation).id)

        monkeypatch.setattr("support.management.commands.drill.time.sleep", answer)

        def call(*args):
            output = StringIO()
            call_command("drill", *args, stdout=output)
            return output.getvalue()

        return call

    def test_says_who_answered_and_what_was_seen(self, chain, run):
        said = run("cloud", "cut")
        assert "cloud, cut: proven: home answered, first word after" in said
        assert "they vanish, the dots are back" in said

    def test_fails_where_the_fallback_does(self, chain, run):
        Backend.objects.filter(name="home").update(
            options={"scripts": ["fail Overloaded"]}
        )
        with pytest.raises(CommandError, match="not proven"):
            run("cloud", "refuse")

    def test_says_why_there_is_nothing_to_drill(self, run):
        with pytest.raises(CommandError, match="cannot be drilled"):
            run("nobody", "refuse")

    def test_says_that_no_worker_is_there(self, chain, settings, monkeypatch):
        settings.TURN_DEADLINE_S = -100
        with pytest.raises(CommandError, match="Does one run"):
            call_command("drill", "cloud", "refuse", stdout=StringIO())
        assert Drill.objects.get().is_proven is False
