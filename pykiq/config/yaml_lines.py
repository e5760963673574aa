"""Safe YAML that remembers its lines, and reads symbols as Ruby's loader does.

Psych, told to allow symbols and anchors only, is what Sidekiq reads its file with (WIRE.md §18): `:name` is the symbol
`name`, both as a key and as a value, and any other type than text, numbers, booleans, lists and mappings (a bare date,
say) is refused.
"""

from __future__ import annotations

from typing import Any

import yaml

from pykiq.config.erb import Rendered
from pykiq.errors import ConfigError

MAX_VALUES = 100_000  # of a file with its aliases written out: ten lines of aliases can stand for a billion


class Table(dict[str, Any]):
    """A mapping, with the line of each key in the file."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}


class Items(list[Any]):
    """A list, with the line of each item in the file."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[int] = []


class _Forbidden(Exception):
    def __init__(self, node: yaml.Node, expected: str) -> None:
        super().__init__(expected)
        self.node = node


class _Loader(yaml.SafeLoader):
    """SafeLoader with Ruby's symbols. `file_line` translates a line of the rendered text into one of the file."""

    rendered: Rendered

    def file_line(self, node: yaml.Node) -> int:
        return self.rendered.line(node.start_mark.line + 1)

    def table(self, node: yaml.MappingNode) -> Table:
        self.flatten_mapping(node)
        table = Table()
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, (Table, Items)):
                raise _Forbidden(key_node, "a list or a mapping as a key; expected a name")
            name = _text(key)
            table[name] = self.construct_object(value_node, deep=True)
            table.lines[name] = self.file_line(key_node)
        return table

    def items(self, node: yaml.SequenceNode) -> Items:
        items = Items()
        for item in node.value:
            items.append(self.construct_object(item, deep=True))
            items.lines.append(self.file_line(item))
        return items

    def string(self, node: yaml.ScalarNode) -> str:
        value = str(node.value)
        if node.style is None and value.startswith(":") and len(value) > 1:
            value = value[1:]
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
        return value

    def number(self, node: yaml.ScalarNode) -> int | str:
        """A whole number. `1:30` is text: YAML 1.1 counts it by sixties, Ruby in its own way, and nobody means it."""
        return node.value if ":" in node.value else self.construct_yaml_int(node)

    def fraction(self, node: yaml.ScalarNode) -> float | str:
        return node.value if ":" in node.value else self.construct_yaml_float(node)

    def forbidden(self, node: yaml.Node) -> Any:
        if node.tag == "tag:yaml.org,2002:timestamp":
            raise _Forbidden(node, "a bare date or time; expected it in quotes")
        raise _Forbidden(node, f"the YAML type {node.tag.replace('tag:yaml.org,2002:', '!!')}; expected plain values")


def _text(key: object) -> str:
    if key is None:
        return ""
    return str(key).lower() if isinstance(key, bool) else str(key)


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.table)
_Loader.add_constructor("tag:yaml.org,2002:seq", _Loader.items)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.number)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.fraction)
# `merge` and `value` are what PyYAML makes of a lone `<<` or `=` that is not a key.
for _tag in (*(f"tag:yaml.org,2002:{_tag}" for _tag in ("str", "merge", "value")), "!ruby/symbol", "!ruby/sym"):
    _Loader.add_constructor(_tag, _Loader.string)
for _tag in ("timestamp", "binary", "omap", "pairs", "set"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.forbidden)
_Loader.add_constructor(None, _Loader.forbidden)


def load(rendered: Rendered, path: str) -> Table:
    """The first document of the file as a Table; an empty file is an empty Table.

    Raises:
        ConfigError: with `path:line`: not YAML, a forbidden type, or a document that is not a mapping.
    """
    try:
        document = _first_document(rendered)
    except _Forbidden as refused:
        line = rendered.line(refused.node.start_mark.line + 1)
        raise ConfigError(f"{path}:{line}: {refused}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = rendered.line(mark.line + 1) if mark else 1
        raise ConfigError(f"{path}:{line}: not YAML: {_problem(error)}") from None
    except yaml.reader.ReaderError as error:
        line = rendered.line(rendered.text.count("\n", 0, error.position) + 1)
        raise ConfigError(f"{path}:{line}: not YAML: there is a control character in it") from None
    except (ValueError, RecursionError) as error:  # !!int "x", or lists in lists without end
        raise ConfigError(f"{path}:1: not YAML: a value cannot be read ({type(error).__name__})") from None
    if document is None:
        return Table()
    if not isinstance(document, Table):
        raise ConfigError(f"{path}:1: the file is a {_kind(document)}; expected settings as `name: value`")
    return document


def _first_document(rendered: Rendered) -> Any:
    loader = _Loader(rendered.text)
    loader.rendered = rendered
    try:
        if not loader.check_node():
            return None
        root: Any = loader.get_node()
        _refuse_expanding(root, {})
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _refuse_expanding(node: yaml.Node, sizes: dict[yaml.Node, int]) -> int:
    """How many values there are from this node on, each as often as aliases repeat it. Raises _Forbidden."""
    if node in sizes:
        size = sizes[node]
        if not size:
            raise _Forbidden(node, "a value that holds itself, by an alias; expected plain values")
        return size
    sizes[node] = 0
    inner = [] if isinstance(node, yaml.ScalarNode) else node.value
    parts = [part for item in inner for part in (item if isinstance(item, tuple) else (item,))]
    size = 1 + sum(_refuse_expanding(part, sizes) for part in parts)
    if size > MAX_VALUES:
        raise _Forbidden(node, f"more than {MAX_VALUES} values, most of them by aliases; expected plain settings")
    sizes[node] = size
    return size


def _problem(error: yaml.MarkedYAMLError) -> str:
    # The offending text itself is not shown: it may be a secret that ERB put there.
    return " ".join(part for part in (error.problem, error.context) if part) or "it cannot be parsed"


def _kind(document: object) -> str:
    return "list" if isinstance(document, list) else "single value"
