"""The value of an expression, or the expression's own text where only Google knows the value."""

from __future__ import annotations

import codecs
import operator
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lark import Token

from deploy.checks.functions import call
from deploy.checks.hcl import Expression, children, word
from deploy.checks.values import Names, Unknown, attribute, item, text_of

Scope = Mapping[str, Any]
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge,
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "%": operator.mod,
    "&&": lambda one, other: one and other, "||": lambda one, other: one or other,
}  # fmt: skip
LITERALS = {"true": True, "false": False, "null": None}


def evaluate(tree: Expression, scope: Scope) -> Any:
    """The value. Raises LookupError for a name or an item that is not there, and TypeError or ValueError."""
    return KINDS[tree.data](tree, scope)


def _term(tree: Expression, scope: Scope) -> Any:
    return evaluate(children(tree)[0], scope)


def _name(tree: Expression, scope: Scope) -> Any:
    return scope[word(tree)]


def _number(tree: Expression, _: Scope) -> Any:
    text = str(tree.children[0])
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)


def _literal(tree: Expression, _: Scope) -> Any:
    return LITERALS[str(tree.children[0])]


def _string(tree: Expression, scope: Scope) -> Any:
    parts = [_part(part.children[0], scope) for part in children(tree)]
    # "${value}" is the value itself, of its own type.
    return parts[0] if len(parts) == 1 else "".join(map(text_of, parts))


def _part(part: Expression | Token, scope: Scope) -> Any:
    if isinstance(part, Token):
        text = str(part).replace("$${", "${").replace("%%{", "%{")
        return codecs.decode(text.encode("latin-1", "backslashreplace"), "unicode_escape")
    return evaluate(children(part)[0], scope)


def _heredoc(tree: Expression, scope: Scope) -> str:
    lines = str(tree.children[0]).split("\n")[1:-2]
    text = textwrap.dedent("".join(f"{line}\n" for line in lines))

    def fill(found: re.Match[str]) -> str:
        value: Any = scope[found[1]]
        for name in found[2].strip(".").split("."):
            value = attribute(value, name)
        return text_of(value)

    return re.sub(r"\$\{(\w+)((?:\.\w+)+)\}", fill, text)


def _list(tree: Expression, scope: Scope) -> list[Any]:
    return [evaluate(part, scope) for part in children(tree)]


def _object(tree: Expression, scope: Scope) -> dict[str, Any]:
    pairs = (children(part) for part in children(tree))
    return {_key(key, scope): evaluate(value, scope) for key, value in pairs}


def _key(tree: Expression, scope: Scope) -> str:
    inner = children(tree)[0]
    plain = children(inner)[0] if inner.data == "expr_term" else inner
    return word(plain) if plain.data in ("identifier", "keyword") else text_of(evaluate(inner, scope))


def _call(tree: Expression, scope: Scope) -> Any:
    name, *rest = children(tree)
    arguments = [evaluate(part, scope) for part in children(rest[0])] if rest else []
    if rest and any(isinstance(part, Token) and part.type == "ELLIPSIS" for part in rest[0].children):
        arguments = [*arguments[:-1], *arguments[-1]]
    return call(word(name), arguments)


def _attribute(tree: Expression, scope: Scope) -> Any:
    of, name = children(tree)
    return attribute(evaluate(of, scope), word(children(name)[0]))


def _item(tree: Expression, scope: Scope) -> Any:
    of, index = children(tree)
    return item(evaluate(of, scope), evaluate(children(index)[0], scope))


def _conditional(tree: Expression, scope: Scope) -> Any:
    condition, then, otherwise = children(tree)
    met = evaluate(condition, scope)
    if isinstance(met, Unknown):
        return Unknown(f"{met.text} ? … : …")
    return evaluate(then if met else otherwise, scope)


def _binary(tree: Expression, scope: Scope) -> Any:
    left, rest = children(tree)
    sign, right = children(rest)
    one, other = evaluate(left, scope), evaluate(right, scope)
    if isinstance(one, Unknown) or isinstance(other, Unknown):
        return Unknown(f"{one} {sign.children[0]} {other}")
    return OPERATORS[str(sign.children[0])](one, other)


def _unary(tree: Expression, scope: Scope) -> Any:
    value = evaluate(children(tree)[0], scope)
    if isinstance(value, Unknown):
        return value
    return not value if str(tree.children[0]) == "!" else -value


def _for_list(tree: Expression, scope: Scope) -> Any:
    intro, value, *condition = children(tree)
    scopes = _turns(intro, condition, scope)
    return scopes if isinstance(scopes, Unknown) else [evaluate(value, each) for each in scopes]


def _for_object(tree: Expression, scope: Scope) -> Any:
    intro, key, value, *condition = children(tree)
    scopes = _turns(intro, condition, scope)
    if isinstance(scopes, Unknown):
        return scopes
    return {text_of(evaluate(key, each)): evaluate(value, each) for each in scopes}


def _turns(intro: Expression, condition: list[Expression], scope: Scope) -> Unknown | list[Scope]:
    """The scope of each turn of a ``for``; Unknown if what it goes through is."""
    *names, collection = children(intro)
    through = evaluate(collection, scope)
    if isinstance(through, Unknown):
        return Unknown(f"for … in {through.text}")
    bound = [word(name) for name in names]
    scopes: list[Scope] = [{**scope, **dict(zip(bound, pair[-len(bound) :], strict=True))} for pair in pairs(through)]
    return [each for each in scopes if not condition or evaluate(children(condition[0])[0], each)]


def pairs(collection: Any) -> Iterator[tuple[Any, Any]]:
    """Key and value of each item of a list or a map."""
    if isinstance(collection, Names):
        raise TypeError(f"{collection.text} is no collection")
    return iter(sorted(collection.items()) if isinstance(collection, dict) else enumerate(collection))


KINDS: dict[str, Callable[[Expression, Scope], Any]] = {
    "expr_term": _term, "identifier": _name, "literal_value": _literal, "int_lit": _number, "float_lit": _number,
    "string": _string, "heredoc_template": _heredoc, "heredoc_template_trim": _heredoc, "tuple": _list,
    "object": _object, "function_call": _call, "get_attr_expr_term": _attribute, "index_expr_term": _item,
    "conditional": _conditional, "binary_op": _binary, "unary_op": _unary, "for_tuple_expr": _for_list,
    "for_object_expr": _for_object,
}  # fmt: skip
