"""The one way to store and delete articles: passages and index follow."""

from django.db import transaction

from support.knowledge.index import open_index
from support.knowledge.passages import CutPassage, cut_passages
from support.knowledge.vocabulary import PassageText
from support.models import Article, Passage

# What a customer can read: a change of it is a new version.
_READ_FIELDS = ("title", "summary", "body", "category", "is_published")

# Beyond any real position, while passages change places under a unique constraint.
_OUT_OF_THE_WAY = 1_000_000


@transaction.atomic
def save_article(article: Article) -> None:
    """Store an article, cut it into passages and index them, or nothing of it.

    Raises ValidationError if a field is missing, too long or taken.
    """
    article.full_clean()
    stored = Article.objects.filter(pk=article.pk).first() if article.pk else None
    if stored is not None:
        is_changed = any(
            getattr(stored, name) != getattr(article, name) for name in _READ_FIELDS
        )
        article.version = stored.version + is_changed
    article.save()
    _cut_again(article)
    index_article(article)


@transaction.atomic
def delete_article(article: Article) -> None:
    """Delete an article with its passages and their index entries."""
    open_index().remove(article.passages.values_list("id", flat=True))
    article.delete()


def index_article(article: Article) -> None:
    """Put the passages of an article into the index; take out an unpublished one's."""
    index = open_index()
    passages = [as_text(passage) for passage in article.passages.all()]
    if article.is_published:
        index.add(passages)
    else:
        index.remove(passage.passage_id for passage in passages)


def as_text(passage: Passage) -> PassageText:
    """Return what is searched of a passage; one query unless its article is loaded."""
    article = passage.article
    return PassageText(
        passage_id=passage.pk,
        title=article.title,
        heading=passage.heading,
        text=passage.text,
        keywords=article.keywords,
        summary=article.summary,
    )


def _cut_again(article: Article) -> None:
    """Make the stored passages those of the body; unchanged ones keep their rows."""
    unused = {
        (passage.heading, passage.anchor, passage.text): passage
        for passage in article.passages.all()
    }
    kept: list[Passage] = []
    new: list[Passage] = []
    for position, cut in enumerate(cut_passages(article.body)):
        passage = unused.pop((cut.heading, cut.anchor, cut.text), None)
        if passage is None:
            new.append(_build_passage(article, position, cut))
        else:
            passage.position = position
            kept.append(passage)
    kept_ids = [passage.pk for passage in kept]
    gone = article.passages.exclude(pk__in=kept_ids)
    open_index().remove(gone.values_list("id", flat=True))
    gone.delete()
    _move(kept)
    Passage.objects.bulk_create(new)


def _move(passages: list[Passage]) -> None:
    """Store the passages' positions, which are unique within the article."""
    for offset in (_OUT_OF_THE_WAY, -_OUT_OF_THE_WAY):
        for passage in passages:
            passage.position += offset
        Passage.objects.bulk_update(passages, ["position"])


def _build_passage(article: Article, position: int, cut: CutPassage) -> Passage:
    return Passage(
        article=article,
        position=position,
        heading=cut.heading,
        anchor=cut.anchor,
        text=cut.text,
    )
