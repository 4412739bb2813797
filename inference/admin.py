"""The operator's pages of backends; those of money are in admin_money.py."""

from contextlib import suppress
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

from inference import admin_money  # noqa: F401 - registers its pages
from inference.fields import UnreadableSecret
from inference.models import Backend
from inference.models.backend import shown_end
from inference.registry import check_backend, describe_need


class BackendForm(forms.ModelForm):
    """Takes a key and never shows it; refuses what no backend can be made from."""

    new_key = forms.CharField(
        label="New key",
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Stored encrypted and never shown again. Empty keeps the key.",
    )
    remove_key = forms.BooleanField(label="Remove the key", required=False)

    def clean(self) -> dict[str, Any]:
        """Raise ValidationError with what the backend's code says of the settings."""
        values = super().clean() or {}
        if not self.errors and isinstance(values.get("options"), dict):
            columns = {
                name: value for name, value in values.items() if name in self._columns
            }
            row = Backend(**columns, key=self._read_key(values))
            try:
                check_backend(row)
            except (ValueError, OSError, ImportError) as error:
                raise ValidationError(str(error)) from error
        return values

    def save(self, commit: bool = True) -> Any:
        """Store the key that was entered, if any, with the rest."""
        if self.cleaned_data["new_key"] or self.cleaned_data["remove_key"]:
            self.instance.key = self.cleaned_data["new_key"]
        return super().save(commit)

    @property
    def _columns(self) -> set[str]:
        return {field.name for field in Backend._meta.fields}

    def _read_key(self, values: dict[str, Any]) -> str:
        """Return the key that the row will have; raises ValidationError.

        A stored key is sent to no other place than it was entered for: who may edit
        a row could otherwise read it on a server of his own.
        """
        new_key, is_removed = str(values["new_key"]), bool(values["remove_key"])
        if new_key and is_removed:
            raise ValidationError({"remove_key": "Enter a new key or remove the old."})
        if new_key or is_removed:
            return new_key
        try:
            stored = str(Backend.objects.get(pk=self.instance.pk).key)
        except Backend.DoesNotExist:
            return ""
        except UnreadableSecret as error:
            raise ValidationError({"new_key": str(error)}) from error
        if stored and {"kind", "endpoint"} & set(self.changed_data):
            raise ValidationError(
                {"new_key": "The key was for another endpoint: enter it again."}
            )
        return stored


@admin.register(Backend)
class BackendAdmin(admin.ModelAdmin):
    """Which models answer, in which order; changes count from the next reply on."""

    form = BackendForm
    list_display = [
        "name", "kind", "model", "key_state", "is_enabled", "position", "weight",
    ]  # fmt: skip
    list_editable = ["is_enabled", "position", "weight"]
    readonly_fields = ["key_state"]
    fieldsets = [
        (
            None,
            {
                "fields": ["name", "kind", "model", "options"],
                "description": "docs/models.md lists all options of llama.cpp.",
            },
        ),
        (
            "Access",
            {
                "fields": [
                    "endpoint", "key_state", "new_key", "remove_key", "is_in_house",
                    "region",
                ],
                "description": "For models behind an API. What visitors ask is sent "
                "there.",
            },
        ),
        (
            "Order",
            {
                "fields": ["is_enabled", "position", "weight", "target_ttft_s"],
                "description": "The backend with the lowest position is asked first; "
                "the next one follows when it fails, or is foreseen to be late.",
            },
        ),
        (
            "Patience and ceilings",
            {
                "fields": [
                    "connect_s", "first_token_s", "gap_s", "max_requests_per_minute",
                    "max_tokens_per_minute",
                ],
                "description": "A backend that is silent for longer than these seconds "
                "has failed; each has its own. At a ceiling the next one is asked.",
            },
        ),
    ]  # fmt: skip

    @method_decorator(sensitive_post_parameters("new_key"))
    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show or save the form; error reports leave out the key."""
        return super().changeform_view(request, object_id, form_url, extra_context)

    def save_model(
        self, request: HttpRequest, obj: Backend, form: forms.ModelForm, change: bool
    ) -> None:
        """Store a row; warn if its model will not fit the memory of this machine.

        It may run on another one, so this is no error.
        """
        super().save_model(request, obj, form, change)
        with suppress(ValueError, OSError):  # said by the form already
            fits, sentence = describe_need(obj)
            if not fits:
                self.message_user(request, sentence, messages.WARNING)

    @admin.display(description="Key")
    def key_state(self, row: Backend) -> str:
        """Return whether there is a key, and never more of it than its end."""
        try:
            end = shown_end(row.key)
            return f"set, ends in {end}" if end else "set" if row.key else "none"
        except UnreadableSecret:
            return "cannot be read: enter it again, or bring back the old setting"
