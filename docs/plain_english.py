"""Checks that comments, docstrings, messages, pages and names avoid the phrases of `plain_english.toml`.

    python docs/plain_english.py [--list] [PART ...]        # from the project's root; part of `make check`

A part is a folder of the project, or `pages`: the files of the root. For each part it counts findings per 1,000 words
in comments, docstrings, Markdown and, outside tests, string literals of three words or more; in the texts of the
console, in the comments of settings, YAML, Dockerfiles, Makefile and Caddyfile, and in the alerts' texts. Text in
backquotes and code blocks does not count. A function's or class's name that has a verb of `forbidden_verbs` counts
too, outside tests. Exits with 1, and lists the findings, where a part exceeds the limit or a name has such a verb.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
PHRASES = [(re.compile(rf"\b(?:{entry['phrase']})\b", re.IGNORECASE), entry["instead"]) for entry in DATA["phrases"]]
CODE = re.compile(r"^```.*?^```|^ {4}.*?$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
WORD = re.compile(r"[A-Za-z']+")
HASH_COMMENT = re.compile(r"(?:^|(?<=\s))#+ .*", re.MULTILINE)
SETTING = re.compile(r"# [A-Z0-9_]+=")
YAML_TEXT = re.compile(r"^( *)(?:- )?(?:summary|action|description|about): (.*(?:\n\1 +\S.*)*)", re.MULTILINE)
SCRIPT_TEXT = re.compile(
    r"(?P<comment>/\*.*?\*/|//[^\n]*)|(?P<literal>\"(?:\\.|[^\"\\\n])*\"|`(?:\\.|[^`\\])*`)|(?<!=)[>}](?P<shown>[^<>{}=]+)(?=[<{])",
    re.DOTALL,
)
HASH_COMMENTED = (".env.example", ".yml", ".yaml", "Dockerfile", "Caddyfile", "Makefile", ".conf")
SCRIPTS = (".ts", ".tsx")
READ = ["*.py", "*.md", *(f"*{end}" for end in (*HASH_COMMENTED, *SCRIPTS))]
VERBS = re.compile(rf"(?:^|_)(?:{'|'.join(DATA['forbidden_verbs'])})(?:_|$)", re.IGNORECASE)
HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
NAMED = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def part_of(path: str) -> str:
    """`services/gateway/...` -> `services/gateway`; `README.md` -> `pages`."""
    folders = path.split("/")[:-1]
    if not folders:
        return "pages"
    return "/".join(folders[: 2 if folders[0] == "services" else 1])


def texts(path: str) -> Iterator[tuple[int, str]]:
    """Yield (line number, text) for all prose of one file."""
    source = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith((*HASH_COMMENTED, *SCRIPTS)):
        yield from (script_texts if path.endswith(SCRIPTS) else hash_comments)(source)
        return
    if path.endswith(".md"):
        yield 1, CODE.sub(lambda code: "\n" * code.group().count("\n"), source)
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not re.match(r"# (pyright|noqa|type):?", token.string):
            yield token.start[0], re.sub(r"`[^`]*`", "", token.string)
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node, clean=False)):
            docstrings.add(node.body[0].lineno)
            yield node.body[0].lineno, re.sub(r"`[^`]*`", "", text)
        elif path.startswith("tests/") or not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        elif node.lineno not in docstrings and len(WORD.findall(node.value)) > 2:
            yield node.lineno, re.sub(r"`[^`]*`", "", node.value)


def hash_comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield (line number, text) for comments and for the texts that an alert or a form shows."""
    for match in (*HASH_COMMENT.finditer(source), *YAML_TEXT.finditer(source)):
        if not SETTING.match(match.group()):
            yield line_of(source, match.start()), re.sub(r"`[^`]*`", "", match.group())


def script_texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield (line number, text) for comments, and for literals and shown text of three words or more."""
    for match in SCRIPT_TEXT.finditer(source):
        text = (
            re.sub(r"`[^`]*`|\s\* ", " ", match["comment"]) if match["comment"] else match["literal"] or match["shown"]
        )
        if match["comment"] or len(WORD.findall(text)) > 2:
            yield line_of(source, match.start()), text


def line_of(source: str, offset: int) -> int:
    return source.count("\n", 0, offset) + 1


def forbidden_names(path: str) -> Iterator[str]:
    """Yield the places where a class or function is named with a verb that the glossary forbids."""
    if not path.endswith(".py") or path.startswith("tests/"):
        return
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, NAMED) and VERBS.search(HUMP.sub("_", node.name)):
            yield f"{path}:{node.lineno}: {node.name}; write: a verb of docs/glossary.md, How things end"


def findings(text: str, line: int) -> Iterator[tuple[int, str, str]]:
    for phrase, instead in PHRASES:
        for match in phrase.finditer(text):
            yield line + text.count("\n", 0, match.start()), match.group(), instead


def main(arguments: list[str]) -> int:
    listed = "--list" in arguments
    parts = [argument for argument in arguments if argument != "--list"]
    names = subprocess.check_output(["git", "ls-files", *READ], cwd=ROOT, text=True).split()
    words: dict[str, int] = defaultdict(int)
    found: dict[str, list[str]] = defaultdict(list)
    names_found: list[str] = []
    for name in names:
        part = part_of(name)
        if (parts and part not in parts) or not (ROOT / name).exists():
            continue
        names_found += forbidden_names(name)
        for line, text in texts(name):
            words[part] += len(WORD.findall(text))
            found[part] += [f"{name}:{at}: {said!r}; write: {instead}" for at, said, instead in findings(text, line)]
    print("\n".join(names_found), end="\n" if names_found else "")
    failed = bool(names_found)
    for part in sorted(words):
        rate = 1000 * len(found[part]) / max(words[part], 1)
        limit = DATA["limit"]
        if listed or rate > limit:
            print(f"{part}: {len(found[part])} in {words[part]} words, {rate:.1f} per 1,000; the limit is {limit}")
            print("\n".join(f"  {place}" for place in found[part]))
        failed |= rate > limit
    if not failed:
        print(f"plain English: {sum(map(len, found.values()))} findings in {sum(words.values())} words")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
