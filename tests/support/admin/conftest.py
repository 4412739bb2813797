"""People with few rights."""

import pytest
from django.contrib.auth.models import Permission


@pytest.fixture
def make_viewer(django_user_model):
    """Return what makes staff who may look at one kind of row, and no more."""

    def make(model: str):
        user = django_user_model.objects.create_user("kim", password="x", is_staff=True)
        user.user_permissions.add(Permission.objects.get(codename=f"view_{model}"))
        return user

    return make
