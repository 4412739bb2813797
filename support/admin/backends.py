"""The operator's page of backends, with what only the ledger can say of them.

`inference.admin` has the form; this one takes its place, as it also tests, drills,
replays and switches. What takes a model is done by a worker: the pages read rows.
"""

from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseRedirect,
    JsonResponse,
)
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from inference import registry
from inference.admin import BackendAdmin
from inference.backends.faulty import MEANINGS, Fault
from inference.models import Backend, BackendEvent, BackendTest, Drill
from support.admin import switching
from support.admin.backend_status import Status, read_statuses
from support.admin.switching import Place
from support.chat import fire_drills, tryouts
from support.chat.tasks import replay_questions, run_backend_test
from support.models import OPEN_REPLAYS, Replay
from support.monitoring import formats

admin.site.unregister(Backend)

LABELS = {
    "breaker": "Breaker",
    "in_flight": "In flight",
    "engine": "Engine",
    "spill": "Spill",
    "last_success": "Last answer",
    "last_error": "Last error",
    "cost": "Today",
    "proven": "Fallback last proven",
}
_ON_LIST = ("breaker", "in_flight", "last_success", "last_error", "cost", "proven")
_NO_QUEUE = "The queue cannot be reached, so no worker hears of it."
_MAX_LIMIT_USD = Decimal(100)
_DEFAULT_LIMIT_USD = Decimal(1)


@admin.register(Backend)
class OperatorBackendAdmin(BackendAdmin):
    """Add, test, order, enable, weight, switch and drill backends."""

    change_form_template = "support/admin/backend.html"
    change_list_template = "support/admin/backends.html"
    list_display = [
        "name", "what", "is_enabled", "position", "weight", "status",
    ]  # fmt: skip
    actions = ["test_chosen"]

    class Media:
        js = ["support/backend-status.js"]
        css = {"all": ["support/backends.css"]}

    def get_urls(self) -> list[URLPattern]:
        """Return the pages of the form with those of our own before them."""
        view, name = self.admin_site.admin_view, "inference_backend_{}".format
        return [
            path("status/", view(self.status_view), name=name("status")),
            path("switch/", view(self.switch_view), name=name("switch")),
            path("<int:pk>/test/", view(self.test_view), name=name("test")),
            path("<int:pk>/drill/", view(self.drill_view), name=name("drill")),
            path("<int:pk>/replay/", view(self.replay_view), name=name("replay")),
            path("<int:pk>/reset/", view(self.reset_view), name=name("reset")),
            *super().get_urls(),
        ]

    # --- the list and the form

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list, or save it; a change of the default is asked about first."""
        return self._settle(request, super().changelist_view(request, extra_context))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the form with its live state, or save it as the list does."""
        context = dict(extra_context or {})
        if object_id and request.method == "GET":
            row = self.get_object(request, object_id)
            if row is not None:
                context |= self._build_live(row)
        response = super().changeform_view(request, object_id, form_url, context)
        return self._settle(request, response)

    def save_model(
        self, request: HttpRequest, obj: Backend, form: forms.ModelForm, change: bool
    ) -> None:
        """Store all but the place in the order, which is settled with the others'."""
        wanted = (obj.position, obj.is_enabled)
        if change:
            stored = Backend.objects.only("position", "is_enabled").get(pk=obj.pk)
            obj.position, obj.is_enabled = stored.position, stored.is_enabled
        else:
            obj.is_enabled = False
        super().save_model(request, obj, form, change)
        if wanted != (obj.position, obj.is_enabled):
            self._proposed(request).append(Place(obj.pk, *wanted))

    def _proposed(self, request: HttpRequest) -> list[Place]:
        found: list[Place] = request.__dict__.setdefault("proposed_places", [])
        return found

    def _settle(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Move what was moved, or lead to the card if the default would change."""
        places = self._proposed(request)
        if not places:
            return response
        change = switching.plan(places)
        # the first backend of all takes nobody's place
        if not change.is_of_default or change.before is None:
            switching.apply(change)
            return response
        text = "All but the order was saved. Look at what the switch would do first."
        self.message_user(request, text, messages.WARNING)
        return HttpResponseRedirect(switching.build_address(places))

    def _build_live(self, row: Backend) -> dict[str, Any]:
        return {
            "live": [
                (key, LABELS[key], text)
                for key, text in read_statuses([row])[row.name].fields.items()
            ],
            "tests": [_describe_test(test) for test in _read_tests(row)],
            "faults": [(fault.value, MEANINGS[fault]) for fault in Fault],
            "drills": Drill.objects.filter(backend=row.name)[:5],
            "events": BackendEvent.objects.filter(backend=row.name)[:10],
            "status_url": f"{reverse('admin:inference_backend_status')}?id={row.pk}",
        }

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Return the list, each row with its live state."""
        changelist = super().get_changelist_instance(request)
        statuses = read_statuses(changelist.result_list)
        for row in changelist.result_list:
            row.live = statuses[row.name]
        return changelist

    @admin.display(description="What it is")
    def what(self, row: Backend) -> str:
        """Return kind, model and key in a few words."""
        model = row.model.rpartition("/")[2]
        key = self.key_state(row)
        parts = [row.get_kind_display(), model, "" if key == "none" else f"key {key}"]
        return ", ".join(filter(None, parts))

    @admin.display(description="Now")
    def status(self, row: Backend) -> str:
        """Return how a backend is doing; the page's script keeps it up to date."""
        found: Status = row.__dict__["live"]
        lines = format_html_join(
            "",
            '<dt>{}</dt><dd data-status="{}:{}">{}</dd>',
            ((LABELS[key], row.name, key, found.fields[key]) for key in _ON_LIST),
        )
        return format_html('<dl class="backend-status">{}</dl>', lines)

    @admin.action(description="Test the chosen backends", permissions=["change"])
    def test_chosen(self, request: HttpRequest, chosen: QuerySet[Backend]) -> None:
        """Begin a test of each."""
        who = request.user.get_username()
        unheard = [str(row) for row in chosen if not _begin_test(row, who)]
        if unheard:
            text = f"{_NO_QUEUE} Not asked: {', '.join(unheard)}."
            self.message_user(request, text, messages.ERROR)
        else:
            text = "Each is asked now; its page shows what it said."
            self.message_user(request, text)

    # --- pages of our own

    def status_view(self, request: HttpRequest) -> HttpResponse:
        """Answer how backends are doing, for the script that refreshes pages."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = Backend.objects.defer("key", "options")
        if request.GET.get("id", "").isdecimal():
            rows = rows.filter(pk=int(request.GET["id"]))
        statuses = read_statuses(list(rows))
        found = {
            f"{name}:{key}": text
            for name, status in statuses.items()
            for key, text in status.fields.items()
        }
        tests = (
            [
                _describe_test(test)
                for test in BackendTest.objects.filter(backend__in=statuses)[:5]
            ]
            if "id" in request.GET
            else []
        )
        return JsonResponse({"fields": found, "tests": tests})

    def test_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Begin a test of a backend."""
        row = self._find(request, pk)
        if _begin_test(row, request.user.get_username()):
            self.message_user(request, f"{row} is asked now: see below.")
        else:
            self.message_user(request, _NO_QUEUE, messages.ERROR)
        return _back_to(row)

    def drill_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Begin a fire drill of a backend."""
        row = self._find(request, pk)
        try:
            fault = Fault(request.POST.get("fault", ""))
            fire_drills.begin(row.name, fault, request.user.get_username())
        except fire_drills.DrillRefused as error:
            self.message_user(request, str(error), messages.ERROR)
        except ValueError:
            return HttpResponseBadRequest("There is no such fault.")
        else:
            text = f"{row} is made to fail for one question of nobody's: see below."
            self.message_user(request, text)
        return _back_to(row)

    def reset_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Trust a backend again, in all workers."""
        row = self._find(request, pk)
        registry.reset_breaker(row.name)
        self.message_user(request, f"{row} is trusted again.")
        return _back_to(row)

    def replay_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask a backend the latest questions again, or stop doing so."""
        row = self._find(request, pk)
        if "stop" in request.POST:
            tryouts.stop_replay(row, "Stopped by staff.")
            return _back_to_card(request, row)
        try:
            limit_usd = Decimal(request.POST.get("limit_usd") or _DEFAULT_LIMIT_USD)
            is_sound = Decimal(0) <= limit_usd <= _MAX_LIMIT_USD
        except InvalidOperation:
            is_sound = False
        if not is_sound:
            text = f"The limit must be between $0 and ${_MAX_LIMIT_USD}."
            self.message_user(request, text, messages.ERROR)
            return _back_to_card(request, row)
        who = request.user.get_username()
        try:
            replay = tryouts.ask_for_replay(row, tryouts.MAX_QUESTIONS, limit_usd, who)
        except tryouts.AlreadyRunning as error:
            self.message_user(request, str(error), messages.WARNING)
        else:
            if not _publish(replay_questions, replay.pk, row.queue):
                tryouts.stop_replay(row, _NO_QUEUE)
                self.message_user(request, _NO_QUEUE, messages.ERROR)
        return _back_to_card(request, row)

    def switch_view(self, request: HttpRequest) -> HttpResponse:
        """Show what another default would do; carry it out when that is confirmed."""
        self._check_may_change(request)
        values = request.POST if request.method == "POST" else request.GET
        try:
            change = switching.plan(switching.read_places(values.getlist("set")))
        except ValueError:
            return HttpResponseBadRequest("The places of the backends make no sense.")
        if not change.places:
            raise Http404("no such backend")
        if request.method == "POST":
            switching.apply(change)
            text = f"{change.after or 'Nobody'} is asked first from now on."
            self.message_user(request, text, messages.SUCCESS)
            return HttpResponseRedirect(reverse("admin:inference_backend_changelist"))
        context = self.admin_site.each_context(request) | {
            "title": f"Switch to {change.after}?"
            if change.after
            else "Switch all off?",
            "opts": self.model._meta,
            "media": self.media,
            "change": change,
            "effect": switching.count_effect(change),
            "default_limit_usd": _DEFAULT_LIMIT_USD,
            "query": request.META.get("QUERY_STRING", ""),
        }
        if change.after is not None:
            context |= _build_replay(change.after)
        return render(request, "support/admin/switch.html", context)

    def _find(self, request: HttpRequest, pk: int) -> Backend:
        """Return the row of a POST by who may change it; raises what becomes 4xx."""
        self._check_may_change(request)
        if request.method != "POST":
            raise Http404("this is for buttons")
        return get_object_or_404(Backend, pk=pk)

    def _check_may_change(self, request: HttpRequest) -> None:
        if not self.has_change_permission(request):
            raise PermissionDenied


def _begin_test(row: Backend, who: str) -> bool:
    """Ask a worker for a test; return whether the queue took it."""
    test = BackendTest.objects.create(backend=row.name, asked_by=who)
    if _publish(run_backend_test, test.pk, row.queue):
        return True
    test.is_passed, test.problem = False, _NO_QUEUE
    test.save()
    return False


def _publish(task: Any, pk: int, queue: str) -> bool:
    try:
        task.apply_async((pk,), queue=queue, retry=False)
    except (OperationalError, RedisError, OSError):
        return False
    return True


def _read_tests(row: Backend) -> QuerySet[BackendTest]:
    return BackendTest.objects.filter(backend=row.name)[:5]


def _describe_test(test: BackendTest) -> dict[str, str]:
    """Return a test in words."""
    verdict = {True: "passed", False: "failed", None: "running"}[test.is_passed]
    said = test.text or test.problem
    if test.is_passed is None and timezone.now() - test.at > tryouts.SILENCE:
        verdict, said = "failed", "No worker has answered."
    tokens = formats.NONE
    if test.completion_tokens is not None:
        tokens = f"{test.prompt_tokens} read, {test.completion_tokens} written"
    cost = formats.NONE
    if test.is_passed:
        cost = "unpriced" if test.cost_usd is None else formats.usd(test.cost_usd)
    return {
        "at": date_format(timezone.localtime(test.at), "j M, H:i:s"),
        "verdict": verdict,
        "said": said,
        "tokens": tokens,
        "ttft": formats.duration(test.ttft_ms),
        "speed": formats.rate(test.tokens_per_s),
        "cost": cost,
    }


def _build_replay(row: Backend) -> dict[str, Any]:
    """Return the latest replay on a backend, compared with the old replies."""
    replay = Replay.objects.filter(backend=row.name).first()
    if replay is None:
        return {"replay": None}
    rows, pairs = switching.compare(replay)
    return {
        "replay": replay,
        "is_replaying": replay.state in OPEN_REPLAYS,
        "comparison": rows,
        "pairs": pairs,
    }


def _back_to(row: Backend) -> HttpResponse:
    address = reverse("admin:inference_backend_change", args=[row.pk])
    return HttpResponseRedirect(f"{address}#live")


def _back_to_card(request: HttpRequest, row: Backend) -> HttpResponse:
    """Return to the card that the button was on, or to the backend."""
    try:
        places = switching.read_places(request.POST.getlist("set"))
    except ValueError:
        places = []
    if not places:
        return _back_to(row)
    return HttpResponseRedirect(f"{switching.build_address(places)}#replay")
