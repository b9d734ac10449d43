"""The docs say what the code does: help texts, issue codes, error classes, exceptions, links, code."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from extract import errors
from extract.client.classify import RULES
from extract.errors import ErrorClass
from extract.verbatim import KINDS, Verbatim

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))

FAMILIES = (
    "api|budget|check|edit|evidence|internal|media|model|output|parse|policy|prompt|redact|schema|semantic|source|table"
    "|untrusted|verbatim"
)
CODE = re.compile(rf"""["']((?:{FAMILIES})\.[a-z_]+)["']""")
MAKERS = {"Issue": 1, "ParseError": 0}  # where the code stands among the arguments

pages = pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])


def read(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def sources() -> dict[Path, str]:
    return {path: path.read_text("utf-8") for path in sorted((ROOT / "extract").rglob("*.py"))}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def make_cli() -> Any:
    spec = importlib.util.spec_from_file_location("make_cli", DOCS / "make_cli.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_help_texts_are_up_to_date() -> None:
    """When this fails: python docs/make_cli.py."""
    assert make_cli().page() == read("cli.md")


def test_every_command_is_there() -> None:
    assert {"run", "check", "schema", "status", "serve"} <= set(re.findall(r"^## extract (\w+)$", read("cli.md"), re.M))


def test_every_issue_code_is_named() -> None:
    """Every text in the source that has the shape of a code."""
    found = {code for text in sources().values() for code in CODE.findall(text)}
    assert {"parse.json", "semantic.verbatim", "source.cells", "internal.error", "edit.key"} <= found
    page = read("reasons.md")
    assert [] == sorted(code for code in found if not re.search(rf"`{re.escape(code)}[:`]", page))


def test_no_code_is_named_that_does_not_exist() -> None:
    """Other than those whose second half comes from JSON Schema, Pydantic or the error class."""
    found = {code for text in sources().values() for code in CODE.findall(text)}
    named = {code for row in reasons() for code in re.findall(rf"`((?:{FAMILIES})\.[a-z_]+)", row[0])}
    free = {code for code in named if code.startswith(("schema.", "api."))}
    assert set() == named - free - found


def test_each_code_and_flag_has_a_row_of_its_own() -> None:
    """With what it means, an example, what to do, and what helps."""
    heads = [re.findall(r"`([^`]+)`", row[0]) for row in reasons()]
    assert [] == [names for names in heads if len(names) != 1 and "schema.const" not in names]
    codes = [names[0] for names in heads]
    assert [] == sorted({code for code in codes if codes.count(code) > 1})
    assert [] == [row[0] for row in reasons() if len(row) not in (4, 5) or not all(row)]
    helpers = {"source", "redrive", "repair", "accept", "`extract run`"}
    for row in reasons():
        words = re.split(r",\s|; ", row[4]) if len(row) == 5 else []
        assert [] == [word for word in words if not word.startswith(("where", *helpers))], row[0]


def test_every_flag_is_named_and_exists() -> None:
    """What the source puts among flags, and what the docs say it does."""
    found = {flag for text in sources().values() for flag in flags_of(text)} - NO_FLAGS
    assert {"escalated", "naive_datetime", "media.misnamed", "redact.altered", "schema_relaxed"} <= found
    rows = [row[0].strip("`") for row in reasons() if len(row) == 4]
    named = {name.partition(":")[0] for name in rows if not re.match(r"edit\.|semantic\.|untrusted\.|table\.", name)}
    assert set() == (found | FLAGS_BY_NAME) - named
    assert set() == named - found - FLAGS_BY_NAME
    whole = "".join(sources().values())
    assert [] == sorted(flag for flag in FLAGS_BY_NAME if not re.search(rf"""["']{re.escape(flag)}[:"']""", whole))


NO_FLAGS = {"flags", "parquet"}
FLAGS_BY_NAME = {  # put among flags by the name of a constant, or by a function for them
    *("human", "overridden", "evidence.unsupported", "evidence.nulled", "evidence.near", "evidence.quote"),
    *("nulled", "low_confidence"),
    *("root_unlisted", "root_listed", "unwrapped", "content_from_reasoning", "content_head_from_reasoning"),
    *("tool_rounds_exhausted", "tool_calls_exhausted"),
}


def flags_of(source: str) -> set[str]:
    """The texts that a module assigns to, adds to or returns as what is called flags; `repaired:$` is `repaired`."""
    words = [word for node in ast.walk(ast.parse(source)) for value in flagged(node) for word in texts_in(value)]
    return {found[1] for word in words if (found := re.fullmatch(r"([a-z_]+(?:\.[a-z_]+)?)(?::.*)?", word))}


def flagged(node: ast.AST) -> list[ast.expr]:
    """What stands among flags in this node."""
    match node:
        case ast.Assign(targets=[target]) | ast.AugAssign(target=target) if is_flags(target):
            return [node.value]
        case ast.Call(func=ast.Attribute(attr="append" | "extend", value=holder)) if is_flags(holder):
            return node.args
        case ast.keyword(arg=str(name)) if name.endswith("flags"):
            return [node.value]
        case ast.Dict():
            pairs = zip(node.keys, node.values, strict=True)
            return [value for key, value in pairs if isinstance(key, ast.Constant) and key.value == "flags"]
        case ast.Tuple() | ast.List() if any(isinstance(e, ast.Starred) and is_flags(e.value) for e in node.elts):
            return [node]
        case ast.FunctionDef() if node.name.endswith("flags"):
            return [each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value]
    return []


def is_flags(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name.endswith("flags")


def texts_in(node: ast.AST) -> list[str]:
    return [part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)]


def reasons() -> list[list[str]]:
    """The rows of the tables of reasons.md that begin with a code or a flag, cell by cell."""
    lines = [line for line in read("reasons.md").splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_classes_of_api_errors_are_those_of_the_code() -> None:
    """Each rule's codes and statuses stand in the row of its class; each class that ends with its record has a code."""
    page = read("errors.md")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE))
    assert {str(kind) for kind in ErrorClass} <= set(rows)
    for rule in RULES:
        assert [] == sorted(code for code in rule.codes if f"`{code}`" not in rows[rule.kind])
        if len(rule.statuses) < 10:
            assert [] == sorted(status for status in rule.statuses if str(status) not in rows[rule.kind])
    for kind in (ErrorClass.REQUEST, ErrorClass.POLICY, ErrorClass.RATE, ErrorClass.TRANSIENT):
        assert f"`api.{kind}`" in page
    for kind in (ErrorClass.AUTH, ErrorClass.BALANCE, ErrorClass.CONFIG):
        assert rows[kind].endswith("the run stops")


def test_every_exception_is_named() -> None:
    page = read("errors.md")
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert [] == [kind.__name__ for kind in classes if f" {kind.__name__} " not in page.replace("\n", " ")]


def test_every_kind_and_option_of_a_candidate_is_named() -> None:
    page = read("candidates.md")
    assert [] == [kind for kind in KINDS if f'Verbatim("{kind}")' not in page]
    assert [] == [name for name in Verbatim.__dataclass_fields__ if name != "kind" and f"`{name}=" not in page]
    assert f"`limit={Verbatim.limit}`" in page


@pages
def test_links_lead_somewhere(page: Path) -> None:
    """Links to files of the checkout, and to headings of these pages."""
    broken = []
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, heading = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (heading and heading not in headings(target)):
            broken.append(link)
    assert [] == broken


def headings(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pages
def test_python_in_the_docs_compiles(page: Path) -> None:
    for block in blocks(page.read_text("utf-8"), "python"):
        ast.parse(block)


def test_the_examples_of_the_candidates_page_can_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for block in blocks(read("candidates.md"), "python"):
        exec(compile(block, "candidates.md", "exec"), {"__name__": "candidates"})


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The files of the tutorial, as it says to write them."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "data").symlink_to(ROOT / "data")
    for block in blocks(read("tutorial.md"), "python"):
        first = block.splitlines()[0]
        if first.startswith("# shop/"):
            (tmp_path / first.removeprefix("# ")).write_text(block, "utf-8")
    return tmp_path


def printed(folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EXTRACT_")}
    command = [sys.executable, "-m", "extract", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def test_the_tutorial_shows_what_is_printed(shop: Path) -> None:
    """Of the commands that ask no model."""
    shown = blocks(read("tutorial.md"), "text")
    columns = next(block for block in shown if "Columns of the table:" in block)
    survey = next(block for block in shown if " requests to " in block)
    assert printed(shop, "schema", "shop/receipt.py").endswith(columns)
    assert survey == printed(shop, "check", "shop/receipts.py", "--local")


def test_the_check_of_the_tutorial_finds_what_it_says(shop: Path) -> None:
    source = next(block for block in blocks(read("tutorial.md"), "python") if "def on_a_total_line" in block)
    names: dict[str, Any] = {}
    exec(textwrap.dedent(source), names)

    class Value:
        total = "10.00"

    check = names["on_a_total_line"]
    assert "10.00 stands on no line that says total, due or pay" == check(Value, {"text": "TOTAL 5.34\nCASH 10.00"})
    assert check(Value, {"text": "Amount due 10.00"}) is None
