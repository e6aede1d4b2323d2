"""Every relative link of the documentation leads somewhere, and every page below docs/ can be reached from its index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"
PAGES = sorted({*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("examples/*/README.md")})


def prose(page: Path) -> str:
    """The page without its code, in which brackets are no links and `#` begins no heading."""
    text = re.sub(r"^( *)```.*?^\1```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", lambda code: code[0].replace("[", "").replace("]", ""), text)


def links(page: Path) -> list[tuple[Path, str]]:
    """The file and the anchor of each relative link, inline or by reference; an anchor alone is of the page itself."""
    text = prose(page)
    found = re.findall(r"\]\(([^)\s]+)[^)]*\)", text) + re.findall(r"^\[[^\]]+\]:\s*(\S+)", text, flags=re.MULTILINE)
    relative = [target for target in found if not re.match(r"[a-z][a-z0-9+.-]*:", target)]
    pairs = [target.partition("#") for target in relative]
    return [((page.parent / path).resolve() if path else page, anchor) for path, _, anchor in pairs]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of the page's headings: lower case, no punctuation, `-` for a blank."""
    made: list[str] = []
    text = re.sub(r"^( *)```.*?^\1```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#+ +(.*?)\s*$", text, flags=re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        made.append(anchor if anchor not in made else f"{anchor}-{made.count(anchor)}")
    return set(made)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    broken = [
        f"{target}#{anchor}"
        for target, anchor in links(page)
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target))
    ]
    assert broken == []


def test_every_page_can_be_reached_from_the_index() -> None:
    reached: set[Path] = set()
    to_read = [INDEX]
    while to_read:
        page = to_read.pop()
        if page in reached:
            continue
        reached.add(page)
        to_read += [target for target, _ in links(page) if target.suffix == ".md" and DOCS in target.parents]
    assert sorted(str(page.relative_to(DOCS)) for page in set(DOCS.rglob("*.md")) - reached) == []


def test_the_readme_links_to_the_index() -> None:
    assert INDEX in {target for target, _ in links(ROOT / "README.md")}


def test_a_missing_page_and_a_missing_heading_are_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `b`, c\n[x](gone.md) [y](#a-b-c) [z](#gone) `[no](link.md)`\n```\n[no](link.md)\n```\n")
    assert links(page) == [(tmp_path / "gone.md", ""), (page, "a-b-c"), (page, "gone")]
    assert anchors(page) == {"a-b-c"}
