"""Who talks in the widget, as far as we know: a browser that holds a secret."""

from django.db import models

from support.models.ids import new_id
from support.models.site import Site


class Visitor(models.Model):
    """One browser on one site; only the hash of its renewal secret is stored."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="visitors")
    renewal_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"visitor {self.id}"
