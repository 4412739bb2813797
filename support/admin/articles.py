"""Help articles."""

from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

from support.knowledge.articles import delete_article, save_article
from support.models import Article


@admin.register(Article)
class ArticleAdmin(admin.ModelAdmin):
    """The texts that the answers come from."""

    list_display = ["title", "category", "is_published", "version", "updated_at"]
    list_filter = ["category", "is_published", "language"]
    search_fields = ["title", "body", "keywords"]
    prepopulated_fields = {"slug": ["title"]}
    readonly_fields = ["version", "created_at", "updated_at"]
    view_on_site = True

    def save_model(
        self, request: HttpRequest, obj: Article, form: ModelForm, change: bool
    ) -> None:
        """Store the article with its passages."""
        save_article(obj)

    def delete_model(self, request: HttpRequest, obj: Article) -> None:
        """Delete the article with its passages and their index."""
        delete_article(obj)

    def delete_queryset(
        self, request: HttpRequest, queryset: QuerySet[Article]
    ) -> None:
        """Delete the chosen articles one by one, for the index's sake."""
        for article in queryset:
            delete_article(article)
