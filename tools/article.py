"""Write docs/article.md: the story of the page that ``steadynorm explain`` writes, as Markdown."""

from pathlib import Path

from steadynorm.lab.catalogue import committed_records
from steadynorm.pages.explainer import article

FILE = Path(__file__).resolve().parents[1] / "docs" / "article.md"

if __name__ == "__main__":
    FILE.write_text(article(committed_records()), encoding="utf-8")
    print(FILE)
