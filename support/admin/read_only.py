"""What staff may look at and not touch."""

from django.http import HttpRequest


class ReadOnly:
    """Takes the rights to add, change and delete; visitors and workers write these."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Refuse."""
        return False
