"""What mkdocs asks while it builds the site: pages that lie elsewhere, links, the navigation, equations."""

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from tools.site import reference

from steadynorm.lab.catalogue import committed_records
from steadynorm.pages.explainer import render

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
# Where in the site lies what is not below docs/. README is the start page.
MOVED = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
# Folders whose first page is a list of the others.
LISTED = {
    "trouble": ("Trouble", "What you see, what causes it, what to call. Pages are named by what people search for."),
    "tools": ("Tools", "Each takes any `nn.Module`, changes it in place or not at all, and returns a report."),
    "examples": ("Examples", "Scripts of at most 60 lines, which the tests run."),
    "notebooks": ("Notebooks", "The tests run them from top to bottom."),
    "decisions": ("Decisions", "What was decided, and why."),
}
LINK = re.compile(r"(?<=\]\()[^)\s]+(?=\))")
TEX = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
TAG = re.compile(r"\\tag\{([^}]*)\}")


def on_config(config: MkDocsConfig) -> None:
    """Write the navigation: pages of a folder by their names, with short titles."""
    tools = [*_listed("tools"), {"The doctor's rules": "doctor.md"}, {"Distributed tests": "testing-distributed.md"}]
    reference_pages = [{title: f"api/{page}.md"} for page, (title, _) in reference.PAGES.items()]
    config.nav = [
        {"Start": "index.md"},
        {"Trouble": _listed("trouble")},
        {"Tools": tools},
        {"Methods": ["methods.md", *_listed("methods"), {"Masks": "masks.md"}]},
        {"Coming from": "coming-from.md"},
        {"The article": [{"The explorable page": "explained.html"}, {"The text": "article.md"}]},
        {"Evidence": ["results.md", "benchmarks.md", {"Claims": [{"All": "claims/README.md"}, *_listed("claims")]}]},
        {"Examples": [{"Notebooks": _listed("notebooks")}, {"Scripts": _listed("examples")}]},
        {"Reference": reference_pages},
        {"Contributing": ["contributing.md", "architecture.md", "kernels.md", *_listed("decisions"), "releasing.md"]},
        {"Changelog": "changelog.md"},
    ]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie elsewhere, and those that are made."""
    made = {page: (ROOT / name).read_text("utf-8") for name, page in MOVED.items()}
    made |= {f"{folder}/index.md": _index(folder) for folder in LISTED}
    made |= {f"{folder}/{f.stem}.md": _shown(f) for folder in ("examples", "notebooks") for f in _pages(folder)}
    made |= {f"api/{page}.md": text for page, text in reference.pages().items()}
    made |= {"explained.html": render(committed_records()), "references.bib": (ROOT / "references.bib").read_text()}
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links to where the site has the file: in the repository README is above docs/, here beside its pages."""
    here = page.file.src_uri
    source = next((name for name, moved in MOVED.items() if moved == here), f"docs/{here}")

    def moved(found: re.Match[str]) -> str:
        path, hash_, anchor = found[0].partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return found[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path)).removeprefix("docs/")
        target = f"{target}/index.md" if target in LISTED else MOVED.get(target, target)
        return f"{posixpath.relpath(target, posixpath.dirname(here) or '.')}{hash_}{anchor}"

    parts = re.split(r"(```.*?```)", markdown, flags=re.DOTALL)  # code is left as it is
    return "".join(part if part.startswith("```") else LINK.sub(moved, part) for part in parts)


def on_page_content(html: str, **_: Any) -> str:
    """Write equations in MathML, which browsers draw by themselves: nothing is fetched. Anchors are no links."""
    html = re.sub(r'<a href="" (id="[^"]+")></a>', r"<span \1></span>", html)
    return TEX.sub(lambda found: _mathml(_plain(found[2]), block=found[1] == "div"), html)


def _mathml(tex: str, block: bool) -> str:
    tag = TAG.search(tex)
    equation = convert(TAG.sub("", tex).strip(), display="block" if block else "inline")
    if not block:
        return equation
    number = f"({tag[1]})" if tag else ""
    return (
        f'<div class="equation" tabindex="0" role="group" aria-label="Equation">{equation}<span>{number}</span></div>'
    )


def _plain(html: str) -> str:
    return html.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _pages(folder: str) -> Iterator[Path]:
    """Yield the pages of a folder below docs/, or the scripts and notebooks of one that is not."""
    within = DOCS / folder if (DOCS / folder).is_dir() else ROOT / folder
    files = (file for file in sorted(within.glob("*.*")) if file.suffix in (".md", ".py", ".ipynb"))
    return (file for file in files if file.name != "README.md")


def _title(file: Path) -> str:
    if file.suffix != ".md":
        return file.stem.replace("_", " ").capitalize()
    return next(line for line in file.read_text("utf-8").splitlines() if line.startswith("# "))[2:]


def _listed(folder: str) -> list[Any]:
    first = [f"{folder}/index.md"] if folder in LISTED else []
    return [*first, *({_title(file).partition(":")[0]: f"{folder}/{file.stem}.md"} for file in _pages(folder))]


def _index(folder: str) -> str:
    title, lead = LISTED[folder]
    return f"# {title}\n\n{lead}\n\n" + "".join(f"- [{_title(f)}]({f.stem}.md)\n" for f in _pages(folder))


def _shown(file: Path) -> str:
    """Return a script, or the cells of a notebook without outputs, as it is committed, as Markdown."""
    text = file.read_text("utf-8")
    if file.suffix == ".py":
        return f"# {_title(file)}\n\n```python\n{text}```\n"
    cells = ((cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"])
    return "\n\n".join(text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in cells) + "\n"
