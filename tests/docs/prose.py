"""Holds the worst forms of our prose at zero: `python -m tests.docs.prose`, a step of `make lint`.

It reads the Python, SQL and Markdown that git tracks: messages, comments, docstrings, pages, names of tests.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FORMS = {
    r"\bcan not\b": "cannot",
    r"(?-i:\bis none\b)": "is not one; None if there is no …",
    r'"""(Give|Say)\b': "Return …, Return True if …",
    r'"""(Tell|Let)\b': "Print …, Make …, Start …",
    r"(?<!there )\bis no (?!longer\b|(more|sooner|later) than\b)[a-z]": "is not a …",
    r"\bgoes on\b": "continues",
    r"\bso (many|much)\b(?!.* that\b)": "the number itself: N, this many",
    r"\bfor ever\b": "forever",
    r"\bany more\b": "no longer",
    r"\b(becomes?|became) of\b": "what happens to, what happened to",
    r"\btakes its time\b": "imported lazily: X is slow to import",
    r"\bdear(er|est)?\b": "expensive",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\btaken for dead\b": "considered dead",
    r"(?<!['\"])\b(some|no|every)body\b(?!  )": "name the actor: another transaction, no other worker, all users",
    r"\bwhoever\b|(^|\(|[.:;] |, (and|but) |(#|--|\"\"\") ?)who [a-z]+s\b(?!.*\?)": "name the actor: a caller that …",
}
"""Regular expressions, in any case, and what to write instead."""


def findings(name: str, text: str) -> list[str]:
    """Return a line for each form that `text`, the file `name`, should not have."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.replace("_", " ") if line.lstrip().startswith(("def test_", "async def test_")) else line.strip()
        for form, plain in FORMS.items():
            if match := re.search(form, words, re.IGNORECASE):
                found.append(f"{name}:{number}: {match[0].strip()!r} → {plain}")
    return found


def main(folders: list[str]) -> int:
    listed = ["git", "ls-files", "--", *(folders or ["*.py", "*.sql", "*.md", "Makefile"])]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    texts = {name: (ROOT / name).read_text() for name in names if name.endswith((".py", ".sql", ".md", "Makefile"))}
    found = [line for name, text in texts.items() if name != "tests/docs/prose.py" for line in findings(name, text)]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
