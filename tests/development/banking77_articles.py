"""Writes seventy-seven short help articles of a bank, one for each intent of banking77.

They exist to measure retrieval on real customer questions, are our own writing, and
ship with nothing. Written from the names of the intents, before the questions were
read. Usage: `python tests/development/banking77_articles.py FOLDER` writes one
Markdown file for each intent, for `manage.py measure_retrieval FOLDER`.
"""

import sys
from pathlib import Path

ARTICLES = Path(__file__).with_suffix(".txt")


def write_articles(folder: Path) -> int:
    """Write one Markdown file for each intent and return their number."""
    folder.mkdir(parents=True, exist_ok=True)
    text = ARTICLES.read_text(encoding="utf-8").strip().removeprefix("# ")
    blocks = text.split("\n\n# ")
    for block in blocks:
        heading, keywords, body = block.split("\n", 2)
        intent, title = heading.split(" | ")
        front = f"---\ntitle: {title}\ncategory: Bank\n{keywords}\n---\n"
        (folder / f"{intent.strip('?')}.md").write_text(f"{front}\n{body}\n")
    return len(blocks)


if __name__ == "__main__":
    sys.stdout.write(f"{write_articles(Path(sys.argv[1]))} articles\n")
