"""Write docs/api.md, the API reference, from the docstrings: `python -m tests.docs.api`, or `make docs-api`."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, get_origin, is_typeddict

from sqlalchemy import MetaData
from sqlalchemy.dialects import postgresql

import pgjobs
from pgjobs import admin, hooks, metrics, tables, testing
from pgjobs.tracing import options as traces

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
WIDTH = 100  # characters of a signature in one line
TABLES = tables.make_tables("pgjobs", MetaData())
DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
HEAD = """\
# API reference

What programs may import, from the docstrings of the source (`make docs-api` writes this page). Everything else in the
package may change without notice. The guides in the [index](index.md) show how the parts work together.

`Seconds` in a signature is a number of seconds or a `timedelta`. Every error below is a `PgjobsError`.
"""
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def page() -> str:
    """Return the text of docs/api.md."""
    names = [name for name in pgjobs.__all__ if not name.startswith("_")]
    errors = [name for name in names if is_error(getattr(pgjobs, name))]
    classes = [name for name in names if name not in errors and is_type(getattr(pgjobs, name))]
    functions = [name for name in names if name not in errors and name not in classes]
    parts = [
        HEAD,
        "## pgjobs: functions",
        *(entry(pgjobs, name) for name in functions),
        "## pgjobs: classes",
        *(entry(pgjobs, name) for name in classes),
        "## pgjobs: errors",
        *(entry(pgjobs, name) for name in errors),
        "## pgjobs.admin",
        prose(admin.__doc__),
        *(entry(admin, name) for name in sorted(admin.__all__, key=lambda name: (not name.islower(), name))),
        "## pgjobs.hooks",
        prose(hooks.__doc__),
        *(entry(hooks, name) for name in sorted(hooks.__all__, key=lambda name: (not name.islower(), name))),
        "## pgjobs.metrics",
        prose(metrics.__doc__),
        *(entry(metrics, name) for name in sorted(metrics.__all__, key=lambda name: (not name.islower(), name))),
        "## pgjobs.otel",
        prose(ast.get_docstring(parsed("pgjobs.otel"))),  # it is not imported: that would switch traces on
        entry(traces, "configure"),
        "## pgjobs.testing",
        prose(testing.__doc__),
        *(entry(testing, name) for name in sorted(testing.__all__, key=lambda name: (not name.islower(), name))),
        "## pgjobs.tables",
        prose(tables.__doc__),
        "\n\n".join(["### tables.make_tables", *described("pgjobs.tables", "make_tables")]),
        *(table(name) for name in tables.Tables._fields),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def is_error(value: object) -> bool:
    """Return True if the value is a class of exceptions that a caller catches."""
    return isinstance(value, type) and issubclass(value, pgjobs.PgjobsError)


def is_type(value: object) -> bool:
    """Return True if the value is a class, or an alias of a type."""
    return isinstance(value, type) or get_origin(value) is not None


def entry(module: ModuleType, name: str) -> str:
    """Return the section of a public name. One that another section describes refers to it."""
    value = getattr(module, name)
    if module is admin and getattr(pgjobs, name, None) is value:
        return f"### admin.{name}\n\nThe same as `pgjobs.{name}`."
    title = f"### {'admin.' if module is admin else ''}{name}"
    if get_origin(value) is not None:
        return "\n\n".join([title, *alias(name)])
    return "\n\n".join([title, *described(value.__module__, name)])


def alias(name: str) -> list[str]:
    """Return the definition and the docstring of an alias of a type that pgjobs exports."""
    imports = [node for node in ast.walk(parsed("pgjobs")) if isinstance(node, ast.ImportFrom)]
    module = next(node.module for node in imports if any(each.name == name for each in node.names))
    assert module is not None
    fields = documented(parsed(module).body)
    value, meaning = next((each.value, text) for each, text in fields if ast.unparse(each.target) == name)
    assert value is not None
    return [code(f"{name} = {ast.unparse(value)}"), prose(meaning)]


def documented(body: list[ast.stmt]) -> Iterator[tuple[ast.AnnAssign, str]]:
    """Yield the annotated names of a module or class that have a docstring behind them, with it."""
    for each, behind in pairwise(body):
        if isinstance(each, ast.AnnAssign) and isinstance(behind, ast.Expr) and isinstance(behind.value, ast.Constant):
            yield each, inspect.cleandoc(str(behind.value.value))


def options(kind: Any) -> Iterator[str]:
    """Yield the keys of a TypedDict with their docstrings, those of its bases first."""
    found = definitions(kind.__module__, kind.__name__)[-1]
    assert isinstance(found, ast.ClassDef)
    for base in map(ast.unparse, found.bases):
        if base != "TypedDict":
            yield from options(getattr(import_module(kind.__module__), base))
    for each, text in documented(found.body):
        yield f"- `{ast.unparse(each.target)}: {ast.unparse(each.annotation)}`: {' '.join(text.split())}"


def described(module: str, name: str) -> list[str]:
    """Return the signature and the docstring of a definition, and those of a class's public methods."""
    found = definitions(module, name)
    *_, last = found
    shown = [each for each in found if is_overload(each)] or [last]
    if not isinstance(last, ast.ClassDef):
        return [code("\n".join(signature(each) for each in shown)), prose(ast.get_docstring(last))]
    if is_typeddict(kind := getattr(import_module(module), name)):
        return [code(f"class {name}(TypedDict): ..."), prose(ast.get_docstring(last)), "\n".join(options(kind))]
    fields = [ast.unparse(each) for each in last.body if isinstance(each, ast.AnnAssign) and is_public(each.target)]
    base = ", ".join(ast.unparse(each) for each in last.bases)
    title = f"class {name}({base}):" if base else f"class {name}:"
    parts = [code("\n    ".join([title, *fields]) if fields else f"{title} ...")]
    made = next((each for each in last.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None)
    if made is not None and any("init=False" in ast.unparse(each) for each in last.decorator_list):
        parts = [code(signature(made).replace("def __init__", name, 1).removesuffix(" -> None"))]
    parts.append(prose(ast.get_docstring(last)))
    for method in last.body:
        if not isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) or method.name.startswith("_"):
            continue
        if ast.get_docstring(method):
            parts += [f"#### {name}.{method.name}", code(signature(method)), prose(ast.get_docstring(method))]
    return parts


@cache
def parsed(module: str) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(inspect.getsource(import_module(module)))


def definitions(module: str, name: str) -> list[Definition]:
    """Return the definitions of a name in a module: its overloads, and last the one that is called."""
    found = [node for node in ast.walk(parsed(module)) if isinstance(node, Definition) and node.name == name]
    if not found:
        raise LookupError(f"{module} does not define {name}")
    return found


def is_overload(node: Definition) -> bool:
    return any(ast.unparse(each).endswith("overload") for each in node.decorator_list)


def is_public(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and not target.id.startswith("_")


def signature(node: Definition) -> str:
    """Return the line of a definition, broken at its parameters if it is long."""
    assert not isinstance(node, ast.ClassDef)
    if any(ast.unparse(each) == "property" for each in node.decorator_list):
        return f"{node.name}: {ast.unparse(node.returns) if node.returns else 'Any'}"
    kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    parts = [spaced(part) for part in split(ast.unparse(node.args)) if part != "self"]
    line = f"{kind} {node.name}({', '.join(parts)}){result}"
    if len(line) <= WIDTH:
        return line
    separator = ",\n    "
    return f"{kind} {node.name}(\n    {separator.join(parts)},\n){result}"


def spaced(parameter: str) -> str:
    """Put spaces around the `=` of a parameter with a type.

    >>> spaced("b: int=2"), spaced("c=3")
    ('b: int = 2', 'c=3')

    """
    name, colon, rest = parameter.partition(": ")
    return f"{name}{colon}{rest.replace('=', ' = ', 1)}" if colon else parameter


def split(arguments: str) -> list[str]:
    """Split parameters at the commas between them.

    >>> split("a: dict[int, str], /, b: int=2")
    ['a: dict[int, str]', '/', 'b: int=2']

    """
    parts, depth = [""], 0
    for character in arguments:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def code(text: str) -> str:
    """Return a block of Python that is not run as an example, with the quotes of our style."""
    text = text.replace("'", '"')
    return f"```py\n{text}\n```"


def prose(docstring: str | None) -> str:
    """Return a docstring as Markdown: examples and `Raises:` become blocks and lists."""
    if not docstring:
        raise LookupError("a public name has no docstring")
    text = inspect.cleandoc(docstring)
    text = re.sub(r"(?:^|(?<=\n))(Args|Raises):\n((?: {4}.*\n?)+)", lambda found: as_list(found[1], found[2]), text)
    text = re.sub(r"(?:^|(?<=\n))((?: {4}.*\n?|\n(?= {4}))+)", lambda found: block(found[1]), text.strip())
    text = re.sub(r"(?:^|\n)>>> .*(?:\n.+)*", lambda found: f"\n```pycon\n{found[0].strip()}\n```", text)
    return re.sub(r"\n{3,}", "\n\n", text)


def as_list(title: str, section: str) -> str:
    """Return a section of a docstring as a list; a line with a deeper indent continues the item before it."""
    items = re.sub(r"\n +", " ", inspect.cleandoc("\n" + section)).splitlines()
    lines = [re.sub(r"^(\w+):", r"- `\1`:", item) for item in items]
    return f"{title}:\n\n" + "\n".join(lines) + "\n"


def block(indented: str) -> str:
    text = inspect.cleandoc("\n" + indented)
    return f"\n```py\n{text.strip()}\n```\n"


def table(name: str) -> str:
    """Return the section of a table: what a row is, and its columns."""
    body = definitions("pgjobs.tables", "Tables")[-1].body
    at = next(i for i, each in enumerate(body) if isinstance(each, ast.AnnAssign) and ast.unparse(each.target) == name)
    meaning: Any = body[at + 1]
    columns = [(each.name, each.type.compile(dialect=DIALECT).lower()) for each in getattr(TABLES, name).columns]
    rows = "\n".join(f"| `{column}` | {kind} |" for column, kind in columns)
    owner = "tables" if hasattr(tables, name) else "make_tables(…)"
    return f"### {owner}.{name}\n\n{meaning.value.value}\n\n| column | type |\n| --- | --- |\n{rows}"


if __name__ == "__main__":
    PAGE.write_text(page())
