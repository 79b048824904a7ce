"""The changes that mutation.py plants: one at a time, in the body of a function."""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass

_COMPARE = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
            ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is}
_ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
               ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "ceil": "floor", "floor": "ceil",
          "minimum": "maximum", "maximum": "minimum", "argmin": "argmax", "argmax": "argmin",
          "zeros_like": "ones_like", "real": "imag"}
_DROPPED = ("conj", "abs", "sqrt")
_QUIET = ("__repr__", "describe", "__str__", "report")  # functions that make words


@dataclass(frozen=True)
class Change:
    """The `index`-th place of a file, `was` before and `now` afterwards, on a line of a function."""

    index: int
    line: int
    function: str
    was: str
    now: str

    def apply(self, tree: ast.Module) -> ast.Module:
        """The tree with the change in it."""
        place, key, position, _ = _places(tree)[self.index]
        _put(place, key, position, _other(_get(place, key, position)))
        return ast.fix_missing_locations(tree)


def label(change: Change) -> str:
    """A change in words, without the number of its line, which moves."""
    return f"{change.function}: {change.was} -> {change.now}"


def changes(source: str) -> list[Change]:
    """All changes of a file, in its order."""
    found = []
    for index, (place, key, position, function) in enumerate(_places(ast.parse(source))):
        node = _get(place, key, position)
        found.append(Change(index, node.lineno, function, ast.unparse(node), ast.unparse(_other(copy.deepcopy(node)))))
    return found


def _get(place, key, position):
    value = getattr(place, key)
    return value if position is None else value[position]


def _put(place, key, position, node):
    if position is None:
        setattr(place, key, node)
    else:
        getattr(place, key)[position] = node


def _places(tree: ast.Module) -> list[tuple]:
    """(parent, field, position, function) of each node that can be changed, in the order of the file."""
    found = []
    classes = {n.name for n in tree.body if isinstance(n, ast.ClassDef)}

    def walk(node, function):
        if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
            return
        for key, value in ast.iter_fields(node):
            if key in ("decorator_list", "annotation", "returns", "args") and not isinstance(node, ast.Call):
                continue
            children = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
            for position, child in children:
                if not isinstance(child, ast.AST):
                    continue
                inside = function
                if isinstance(child, ast.FunctionDef):
                    inside = f"{function}.{child.name}".lstrip(".") if child.name not in _QUIET else None
                elif isinstance(child, ast.ClassDef):
                    inside = f"{function or ''}.{child.name}".lstrip(".")
                if inside is None:
                    continue
                if inside and inside not in classes and _other(copy.deepcopy(child)) is not None:
                    found.append((node, key, position, inside))
                walk(child, inside)

    walk(tree, "")
    return found


def _text(node) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _other(node):
    """The node changed (in place where it has parts), or None where there is nothing to change."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARE:
        node.ops[0] = _COMPARE[type(node.ops[0])]()
        return node
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _ARITHMETIC:
        if any(_text(getattr(node, side, None)) for side in ("left", "right", "value")):
            return None
        node.op = _ARITHMETIC[type(node.op)]()
        return node
    if isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return node
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        return node.operand
    if isinstance(node, ast.IfExp):
        node.test = ast.UnaryOp(ast.Not(), node.test)
        return node
    if isinstance(node, ast.Constant):
        return _number(node)
    if isinstance(node, ast.Call):
        return _call(node)
    return None


def _number(node):
    value = node.value
    if isinstance(value, bool):
        return ast.copy_location(ast.Constant(not value), node)
    if isinstance(value, int) or (isinstance(value, float) and abs(value) >= 1e-4):
        return ast.copy_location(ast.Constant(value + 1 if isinstance(value, int) else 2 * value), node)
    return None


def _call(node):
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name in _DROPPED:
        inner = node.args[0] if node.args else getattr(node.func, "value", None)
        return inner if inner is not None and not isinstance(inner, ast.GeneratorExp) else None
    if name in _NAMES:
        if isinstance(node.func, ast.Attribute):
            node.func.attr = _NAMES[name]
        else:
            node.func.id = _NAMES[name]
        return node
    return None
