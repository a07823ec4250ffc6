"""Where each key of a TOML text stands: its line, which the standard library's reader does not tell."""

from __future__ import annotations

from typing import Any

KeyPath = tuple[int | str, ...]


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line (from 1) of every table and key of a TOML text; arrays of tables are counted from 0."""
    import tree_sitter_toml
    from tree_sitter import Language, Parser

    tree = Parser(Language(tree_sitter_toml.language())).parse(text.encode())
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    for node in tree.root_node.children:
        if node.type == "pair":
            lines[_key(node.children[0])] = node.start_point[0] + 1
        if node.type in {"table", "table_array_element"}:
            _table_lines(node, lines, counts)
    return lines


def _table_lines(node: Any, lines: dict[KeyPath, int], counts: dict[KeyPath, int]) -> None:
    path = _counted(_key(node.named_children[0]), counts, node.type == "table_array_element")
    lines[path] = node.start_point[0] + 1
    for child in node.named_children[1:]:
        if child.type == "pair":
            lines[path + _key(child.children[0])] = child.start_point[0] + 1


def _counted(path: KeyPath, counts: dict[KeyPath, int], begins: bool) -> KeyPath:
    """The path with the running number after each part that is an array of tables."""
    if begins:
        counts[path] = counts.get(path, -1) + 1
    full: KeyPath = ()
    for n, part in enumerate(path, start=1):
        full += (part,)
        if path[:n] in counts:
            full += (counts[path[:n]],)
    return full


def _key(node: Any) -> KeyPath:
    if node.type == "dotted_key":
        return tuple(part for child in node.named_children for part in _key(child))
    return (node.text.decode().strip("\"'"),)
