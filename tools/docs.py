"""Build the course as a site (``make docs``): the guides of docs/ and every solved notebook with its pictures, for reading without a network.

Writes build/site; open build/site/index.html. MkDocs with the Material theme and mkdocs-jupyter does the work; nothing is fetched when a page is read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build"


def assemble(folder: Path) -> list[dict[str, object]]:
    """Copy what the site is made of into ``folder``; the navigation."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder)
    for source, name in (
        ("README.md", "index.md"),
        ("ARCHITECTURE.md", "architecture.md"),
        ("CONTRIBUTING.md", "contributing.md"),
    ):
        text = (
            (ROOT / source)
            .read_text()
            .replace("ARCHITECTURE.md", "architecture.md")
            .replace("CONTRIBUTING.md", "contributing.md")
        )
        (folder / name).write_text(text.replace("[CHANGELOG.md](CHANGELOG.md)", "CHANGELOG.md"))
    (folder / "course").mkdir()
    course: list[dict[str, str]] = []
    for book in sorted((ROOT / "notebooks" / "solved").glob("[0-9][0-9]-*.ipynb")):
        shutil.copy(book, folder / "course")
        course.append({book.stem.replace("-", " "): f"course/{book.name}"})
    guides = [{page.stem.replace("-", " "): page.name} for page in sorted((ROOT / "docs").glob("*.md"))]
    return [
        {"Start": "index.md"},
        {"Course": course},
        {"Guides": guides},
        {"Architecture": "architecture.md"},
        {"Contributing": "contributing.md"},
    ]


def main() -> int:
    folder = OUT / "docs"
    settings = {
        "site_name": "halab",
        "docs_dir": str(folder),
        "site_dir": str(OUT / "site"),
        "use_directory_urls": False,  # pages open from the disk
        "theme": {
            "name": "material",
            "font": False,  # the reader's own fonts: nothing is fetched
            "palette": [
                {"media": "(prefers-color-scheme: light)", "scheme": "default"},
                {"media": "(prefers-color-scheme: dark)", "scheme": "slate"},
            ],
        },
        "plugins": ["search", {"mkdocs-jupyter": {"include": ["course/*.ipynb"], "execute": False, "include_requirejs": False}}],
        "markdown_extensions": ["tables", "admonition"],
        "nav": assemble(folder),
    }
    config = OUT / "mkdocs.yml"
    config.write_text(yaml.safe_dump(settings, sort_keys=False))
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--config-file", str(config)], env=quiet, check=False
    )
    if done.returncode == 0:
        print(f"{OUT.relative_to(ROOT)}/site/index.html", file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
