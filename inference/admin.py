"""The operator's page of backends."""

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.forms import ModelForm

from inference.models import Backend
from inference.registry import check_backend


class BackendForm(ModelForm):
    """Refuses settings that no backend can be made from."""

    def clean(self) -> dict[str, object]:
        """Raise ValidationError with what the backend's code says of the settings."""
        values = super().clean() or {}
        if not self.errors and isinstance(values.get("options"), dict):
            try:
                check_backend(self.instance.__class__(**values))
            except (ValueError, OSError) as error:
                raise ValidationError(str(error)) from error
        return values


@admin.register(Backend)
class BackendAdmin(admin.ModelAdmin):
    """Which models answer, in which order; changes count from the next reply on."""

    form = BackendForm
    list_display = ["name", "kind", "model", "is_enabled", "position"]
    list_editable = ["is_enabled", "position"]
    fields = [
        "name", "kind", "model", "options", "is_enabled", "position",
        "first_token_s", "gap_s",
    ]  # fmt: skip
