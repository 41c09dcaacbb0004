"""The documents tell everything there is, and nothing that is not."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel, Tag

from monitor.cli import app
from monitor.config import load
from monitor.detect import DETECTORS
from monitor.notation import Below, Votes, spell
from monitor.serve.families import METRICS
from monitor.settings import Config
from simulators.__main__ import app as simulators

ROOT = Path(__file__).parents[1]
# What is built or brought along lies beside what is written.
WRITTEN = [
    path
    for path in sorted(ROOT.rglob("*.md"))
    if not any(part.startswith(".") or part == "build" for part in path.relative_to(ROOT).parts)
]
TEXTS = {path: path.read_text(encoding="utf-8") for path in WRITTEN}
ALL = "\n".join(TEXTS.values())
README = TEXTS[ROOT / "README.md"]


def commands_of(application: typer.Typer) -> dict[str, set[str]]:
    """The options of each command; one of a group is called `group command`."""
    return dict(flattened(typer.main.get_command(application)))


def flattened(group: Any, before: str = "") -> Iterator[tuple[str, set[str]]]:
    """The commands of a group and of those inside it, each with its options."""
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from flattened(each, f"{before}{name} ")
        else:
            opts = (option for p in each.params for option in (*p.opts, *p.secondary_opts))
            yield before + name, set(opts)


MONITOR, SIMULATORS = commands_of(app), commands_of(simulators)


def sections_of(model: type[BaseModel], path: str = "") -> dict[str, type[BaseModel]]:
    """Every section that a configuration can have, by where it stands."""
    found = {path or "the file": model}
    for name, field in model.model_fields.items():
        place = f"{path}.{field.alias or name}".lstrip(".")
        for inner, below in classes_in(field.annotation):
            found |= sections_of(inner, place + below)
    return found


def classes_in(annotation: Any, below: str = "") -> Iterator[tuple[type[BaseModel], str]]:
    """The sections inside `X | None`, `list[X]` (`[]`) and `dict[str, X]` (`.NAME`); of windows
    there are kinds, those but the usual one with `(kind)`.
    """
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, below
        return
    kinds = [m.tag for m in getattr(annotation, "__metadata__", ()) if isinstance(m, Tag)]
    below += "".join(f" ({kind.strip('<>')})" for kind in kinds if kind != "<samples>")
    more = {list: "[]", dict: ".NAME"}.get(getattr(annotation, "__origin__", None) or str, "")
    for inner in getattr(annotation, "__args__", ()):
        yield from classes_in(inner, below + more)


# The broker of a sink is a section like that of the source, and told there.
SECTIONS = {path: model for path, model in sections_of(Config).items() if ".broker" not in path}


def defaults_of(model: type[BaseModel]) -> dict[str, str | None]:
    """Every key of a section with its default as YAML has it; None where it is a section."""
    found: dict[str, str | None] = {}
    for name, field in model.model_fields.items():
        key = field.alias or name
        default = field.get_default(call_default_factory=True, validated_data={})
        if field.is_required():
            found[key] = "required"
        elif default is None:
            found[key] = "none"
        elif isinstance(default, BaseModel | list | tuple | dict):
            found[key] = None
        else:
            found[key] = shown(default)
    return found


def shown(value: object) -> str:
    if isinstance(value, Votes | Below):
        return spell(value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def documented(section: str) -> dict[str, str]:
    """The keys of a section in docs/configuration.md, with their defaults."""
    text = TEXTS[ROOT / "docs" / "configuration.md"]
    found = re.search(
        rf"^#+ `{re.escape(section)}`\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL
    )
    assert found, f"no section {section}"
    return dict(re.findall(r"^\| `(\w+)` \| `?(.*?)`? \|", found[1], re.MULTILINE))


def command_lines(text: str) -> Iterator[list[str]]:
    """Every line of the shell blocks that calls us, without prompt, comment and pipe."""
    for block in re.findall(r"```(?:sh|bash|console)\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            yield words[: words.index("|")] if "|" in words else words


def called() -> Iterator[tuple[str, dict[str, set[str]], list[str]]]:
    """Every call of a command of ours in the documents."""
    for text in TEXTS.values():
        for words in command_lines(text):
            if words and words[0].rpartition("/")[2] == "monitor":
                yield " ".join(words), MONITOR, words[1:]
            elif words[1:3] == ["-m", "simulators"]:
                yield " ".join(words), SIMULATORS, words[3:]


def anchors_of(text: str) -> set[str]:
    """The names that headings get, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("name", sorted(MONITOR))
def test_every_command_is_documented(name: str) -> None:
    assert f"monitor {name}" in ALL


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_of_the_configuration_is_documented_with_its_default(section: str) -> None:
    told, defaults = documented(section), defaults_of(SECTIONS[section])
    assert told.keys() == defaults.keys()
    for key, default in defaults.items():
        assert default in (None, told[key]), f"{section}: {key}"


@pytest.mark.parametrize("name", sorted(METRICS))
def test_every_metric_is_documented(name: str) -> None:
    assert f"`{name}`" in TEXTS[ROOT / "docs" / "metrics.md"]


def test_no_metric_is_documented_that_is_not_there() -> None:
    named = set(
        re.findall(r"^\| `(monitor_\w+)` \|", TEXTS[ROOT / "docs/metrics.md"], re.MULTILINE)
    )
    assert named == set(METRICS)


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_every_detector_has_its_paragraph(name: str) -> None:
    about = TEXTS[ROOT / "docs" / "detectors.md"]
    assert f"| `{name}` |" in about
    assert f"\n## {name}\n" in about or f"]({name}.md)" in about


def test_commands_in_the_documents_exist_with_their_options() -> None:
    calls = list(called())
    assert calls
    for line, commands, words in calls:
        command, *rest = words
        if command.startswith("-"):
            continue
        if any(name.startswith(f"{command} ") for name in commands):
            command, *rest = " ".join(words[:2]), *words[2:]
        assert command in commands, f"{line}: no command {command}"
        options = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert options <= {"--help", *commands[command]}, line


def test_targets_of_make_in_the_documents_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for text in TEXTS.values():
        for words in command_lines(text):
            if words[:1] == ["make"]:
                targets = [word for word in words[1:] if "=" not in word and word[0] != "-"]
                assert all(re.search(rf"^{t}:", makefile, re.MULTILINE) for t in targets), words


def test_files_that_commands_in_the_documents_name_exist() -> None:
    for line, _, words in called():
        for word in words:
            if word.startswith("deploy/"):
                assert (ROOT / word).exists(), line


@pytest.mark.parametrize("path", sorted(ROOT.glob("deploy/configs/*.yaml")), ids=lambda p: p.name)
def test_every_configuration_that_comes_along_is_valid(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in re.findall(r"\$\{(\w+)\}", path.read_text(encoding="utf-8")):
        monkeypatch.setenv(variable, "127.0.0.1:9092")
    load(path)


@pytest.mark.parametrize("path", WRITTEN, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", TEXTS[path], flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        found = (path.parent / name).resolve() if name else path
        assert found.exists(), target
        if anchor and found.suffix == ".md":
            assert anchor in anchors_of(TEXTS[found]), target


def test_no_file_names_a_folder_of_one_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    own = re.compile(r"(?<![\w.{}\"'$])/(?:work|root|home)/\w")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.suffix in {".png", ".ico"} or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        assert not own.search(text), name
