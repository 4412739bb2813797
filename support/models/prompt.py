"""System prompts: what the model is told before the conversation, by version."""

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models, transaction
from django.db.models import Max, Q

from support.models.site import Site


class SystemPrompt(models.Model):
    """One version of a site's system prompt; a version's text never changes.

    Exactly the active version is used for new replies, and each reply remembers its
    version.
    """

    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="prompts")
    version = models.PositiveIntegerField(editable=False)
    content = models.TextField(
        max_length=4000,
        help_text="What the model is told about itself and how to answer. Nothing "
        "secret belongs here: a model may repeat it.",
    )
    comment = models.CharField(max_length=200, blank=True)
    is_active = models.BooleanField(default=False, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["site", "-version"]
        constraints = [
            models.UniqueConstraint(
                fields=["site", "version"], name="prompt_version_unique"
            ),
            models.UniqueConstraint(
                fields=["site"],
                condition=Q(is_active=True),
                name="prompt_one_active_version",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.site} version {self.version}"


@transaction.atomic
def store_prompt(
    site: Site, content: str, comment: str = "", author: User | None = None
) -> SystemPrompt:
    """Store a text as the site's next version, which new replies use from now on.

    Two people who save at once get two versions, the later one active. Four queries.
    """
    Site.objects.select_for_update().get(pk=site.pk)
    versions = SystemPrompt.objects.filter(site=site)
    latest = versions.aggregate(latest=Max("version"))["latest"] or 0
    versions.filter(is_active=True).update(is_active=False)
    return SystemPrompt.objects.create(
        site=site,
        version=latest + 1,
        content=content,
        comment=comment,
        created_by=author,
        is_active=True,
    )


@transaction.atomic
def activate_prompt(prompt: SystemPrompt) -> None:
    """Use a stored version for the new replies of its site. Three queries."""
    Site.objects.select_for_update().get(pk=prompt.site_id)
    versions = SystemPrompt.objects.filter(site_id=prompt.site_id)
    versions.filter(is_active=True).update(is_active=False)
    versions.filter(pk=prompt.pk).update(is_active=True)
