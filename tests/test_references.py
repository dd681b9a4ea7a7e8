"""Whatever the docstrings and the documents cite is an entry of references.bib."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import steadynorm
from steadynorm.pages.explainer import bibliography

ROOT = Path(__file__).resolve().parents[1]
SOURCE = Path(steadynorm.__file__).parent
KNOWN = bibliography.read()
LABELS = {source.label for source in KNOWN.values()} | {
    f"{source.authors[0][1]} et al. {source.fields['year']}" for source in KNOWN.values()
}
NUMBERS = {number for source in KNOWN.values() for number in re.findall(r"\d{4}\.\d{5}", str(source.fields))}
NAME = r"(?:(?:de|van|Rota) )?[A-Z][\w'’ò-]+"
CITATION = re.compile(rf"{NAME}(?:, {NAME})*(?: & {NAME}| et al\.)? (?:19|20)\d\d\b")


def docstrings(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""


def references() -> Iterator[tuple[str, str]]:
    for file in sorted(SOURCE.rglob("*.py")):
        for text in docstrings(file):
            for found in re.findall(r"Reference: (.*?)(?:\n\n|\Z)", text, re.DOTALL):
                yield str(file.relative_to(SOURCE)), re.sub(r"\s+", " ", found)


@pytest.mark.parametrize(("where", "reference"), list(references()))
def test_what_a_docstring_refers_to_is_in_the_bibliography(where, reference):
    cited = CITATION.findall(reference)
    assert cited or re.match(r"torch's|the law of total variance", reference), "a reference must name authors and year"
    assert not [label for label in cited if label not in LABELS]


@pytest.mark.parametrize(
    "file",
    [*sorted(SOURCE.rglob("*.py")), *sorted((ROOT / "docs").rglob("*.md"))],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_every_arxiv_number_is_in_the_bibliography(file):
    assert not set(re.findall(r"arXiv:(\d{4}\.\d{5})", file.read_text("utf-8"))) - NUMBERS
