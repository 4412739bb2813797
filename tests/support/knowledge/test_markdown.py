import pytest

from support.knowledge.markdown import render_markdown
from support.knowledge.passages import cut_passages


def test_headings_carry_the_anchors_of_the_passages():
    body = "## Über uns & mehr\n\nText.\n\n## A **bold** one\n\nText."
    html = render_markdown(body)
    anchors = [passage.anchor for passage in cut_passages(body)]
    assert anchors == ["über-uns-mehr", "a-bold-one"]
    assert all(f'<h2 id="{anchor}">' in html for anchor in anchors)


@pytest.mark.parametrize(
    ("body", "forbidden"),
    [
        ("<script>alert(1)</script>", "<script"),
        ("<img src=x onerror=alert(1)>", "<img"),
        ("[x](javascript:alert(1))", "<a"),
        ("![x](data:text/html;base64,PHNjcmlwdD4=)", 'src="data'),
        ("## <b onclick=x>h</b>", "<b"),
        ("<iframe src=//a.b></iframe>", "<iframe"),
    ],
)
def test_nothing_active_passes(body, forbidden):
    assert forbidden not in render_markdown(body)


def test_links_do_not_vouch_for_others():
    assert 'rel="noopener noreferrer nofollow"' in render_markdown("[x](https://a.b)")
