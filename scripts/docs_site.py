"""MkDocs hook: the repository's pages outside `docs/` as pages of the site.

Links in the pages are written for the repository's own view, where `../studies/README.md` is a file. Here each such
link is resolved in the repository and rewritten to the page or file of the site that stands for it. A link to any other
page is left as it is, and the strict build names it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# A page of the repository, and its place in the site.
PAGES_OUTSIDE = {
    "README.md": "index.md",
    "studies/README.md": "studies.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "report.md",
    "CHANGELOG.md": "changelog.md",
}
# Other linked files, such as example studies, are copied into this folder of the site.
FILES_OUTSIDE = "repository"
# No colon: an address with a scheme is left alone. A fragment is outside of the group, and stays.
_LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[)#])")
# Code is copied as it is: `](` in a program is no link.
_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages outside `docs/`, and the files that any page links to."""
    for path, uri in PAGES_OUTSIDE.items():
        # A generated file may stand anywhere in the site, whereas MkDocs reads pages from one folder alone.
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    linked = {path for page in files.documentation_pages() for path in _linked_files(page)}
    for path in sorted(linked):
        files.append(File.generated(config, f"{FILES_OUTSIDE}/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the page's links from paths of the repository to paths of the site."""
    path = _path_in_repository(page.file)
    start = posixpath.dirname(page.file.src_uri)
    parts, end = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [_rewritten(markdown[end : fence.start()], path, start), fence[0]]
        end = fence.end()
    return "".join([*parts, _rewritten(markdown[end:], path, start)])


def _rewritten(prose: str, path: str, start: str) -> str:
    def rewrite(link: re.Match[str]) -> str:
        # A page or file without a place in the site keeps its link, and the strict build reports it.
        uri = _site_uri(_resolved(path, link[1]))
        return posixpath.relpath(uri, start or ".") if uri else link[1]

    return _LINK.sub(rewrite, prose)


def _linked_files(page: File) -> Iterator[str]:
    """Yield the paths of files, not pages, outside `docs/` that a page links to."""
    path = _path_in_repository(page)
    for link in _LINK.findall(_FENCE.sub("", page.content_string)):
        target = _resolved(path, link)
        if (_site_uri(target) or "").startswith(f"{FILES_OUTSIDE}/"):
            yield target


def _path_in_repository(page: File) -> str:
    return next((path for path, uri in PAGES_OUTSIDE.items() if uri == page.src_uri), f"docs/{page.src_uri}")


def _resolved(path: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), link))


def _site_uri(path: str) -> str | None:
    """Return where a file of the repository stands in the site; None for a page or file that has no place there."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path in PAGES_OUTSIDE:
        return PAGES_OUTSIDE[path]
    # A page that is missing in the table above must not be copied as a plain file: its links would break.
    is_file = not path.endswith(".md") and (ROOT / path).is_file()
    return f"{FILES_OUTSIDE}/{path}" if is_file else None
