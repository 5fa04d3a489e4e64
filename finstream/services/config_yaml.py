"""From text to plain YAML objects, with what YAML leaves open closed: no duplicate keys, no empty file."""

from __future__ import annotations

from typing import Any

import yaml

from finstream.vocabulary.errors import ConfigError

__all__ = ["parse"]


class _DuplicateKeyError(yaml.MarkedYAMLError):
    pass


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Looked at here and not while constructing, because there `<<` has mixed in keys that may well occur twice."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # a list as a key is refused when it meets the types
            if (name := (key.tag, key.value)) in lines:
                problem = f"the key {key.value!r} occurs twice; first in line {lines[name]}"
                raise _DuplicateKeyError(problem=problem, problem_mark=key.start_mark)
            lines[name] = key.start_mark.line + 1
        return node


def parse(text: str, name: str) -> Any:
    """The one document in ``text`` as dicts, lists and scalars.

    Raises:
      ConfigError: ``where`` is ``name`` with line and column.
    """
    try:
        document = yaml.load(text, _Loader)  # noqa: S506 (it is a SafeLoader)
    except _DuplicateKeyError as error:
        raise ConfigError(_where(name, error), str(error.problem), "keep one of them") from None
    except yaml.MarkedYAMLError as error:
        problem = " ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(_where(name, error), f"not valid YAML: {problem}", _remedy(text, error)) from None
    except (yaml.YAMLError, ValueError) as error:
        # ValueError: a date or a number that YAML recognises and Python cannot hold (2026-02-30)
        problem = " ".join(str(error).split())
        raise ConfigError(name, f"not valid YAML: {problem}", "quote texts that look like numbers or dates") from None
    except RecursionError:
        raise ConfigError(name, "is nested too deeply", "is it the right file?") from None
    if document is None:
        # At a reload it is an editor, caught between emptying the file and filling it. Nobody wants all assets stopped.
        raise ConfigError(name, "holds no settings", "write {} if every default is wanted")
    return document


def _where(name: str, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return name if mark is None else f"{name}, line {mark.line + 1}, column {mark.column + 1}"


def _remedy(text: str, error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or ""
    if "cannot start any token" in problem and "\t" in text:
        return "indent with spaces, not tabs"
    if "mapping values are not allowed" in problem:
        return "quote texts that hold a colon and a space, and check the indentation"
    if "could not find expected ':'" in problem:
        return "write `key: value`, with a space after the colon"
    return "check the indentation and the quotes there"
