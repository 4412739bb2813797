"""What every public page of this server needs."""

from support.models import Site


def page_site() -> Site | None:
    """Return the site whose widget our own pages carry: the oldest one. One query."""
    return Site.objects.filter(is_active=True).order_by("pk").first()
