"""What Terraform's expressions evaluate to. Where Terraform is installed, it is asked for the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy.checks.expressions import evaluate
from deploy.checks.hcl import parse
from deploy.checks.values import Unknown
from tests.conftest import NOT_RUN

VALUES: dict[str, Any] = {
    '"a${1 + 2}b"': "a3b",
    '"$${kept} \\"quoted\\" and \\\\"': '${kept} "quoted" and \\',
    '"${[1, 2]}"': [1, 2],
    "2 + 3 * 4": 14,
    "(2 + 3) * -4": -20,
    "7 > 3 && !(1 == 2)": True,
    'true ? "yes" : "no"': "yes",
    '{ a = 1, "b" = 2, (join("", ["c"])) = 3 }': {"a": 1, "b": 2, "c": 3},
    'merge({ a = 1 }, { a = 2, b = 3 })': {"a": 2, "b": 3},
    'merge([{ a = 1 }, { b = 2 }]...)': {"a": 1, "b": 2},
    '[for x in [1, 2, 3] : x * 2 if x != 2]': [2, 6],
    '{ for k, v in { a = 1, b = 2 } : "${k}!" => v + 1 }': {"a!": 2, "b!": 3},
    '[for i, x in ["a", "b"] : "${i}${x}"]': ["0a", "1b"],
    'flatten([[1], [[2], 3]])': [1, 2, 3],
    'one([])': None,
    'one(["x"])': "x",
    'compact(["a", "", "b"])': ["a", "b"],
    'join(",", ["a", "b"])': "a,b",
    'replace("a-b", "-", "+")': "a+b",
    'lookup({ a = "x" }, "b", "none")': "none",
    'contains(keys({ b = 1, a = 2 }), "a")': True,
    'jsondecode("{\\"a\\": [1, true]}")': {"a": [1, True]},
    'jsonencode({ a = [1, "x"], b = true })': '{"a":[1,"x"],"b":true}',
    'floor(100 * 0.8)': 80,
    'substr(sha256("x"), 0, 4)': "2d71",
    'slice([1, 2, 3], 0, min(2, length([1])))': [1],
    'tostring(true)': "true",
    '{ a = { b = ["x"] } }.a.b[0]': "x",
    '{ "a b" = 1 }["a b"]': 1,
}  # fmt: skip


def value(text: str, folder: Path, **scope: Any) -> Any:
    (folder / "expression.tf").write_text(f"value = {text}\n")
    return evaluate(parse(folder / "expression.tf").arguments["value"], scope)


@pytest.mark.parametrize("text", VALUES)
def test_a_value(text: str, tmp_path: Path) -> None:
    assert value(text, tmp_path) == VALUES[text]


def test_what_only_google_knows_stays_its_expression(tmp_path: Path) -> None:
    known = {"made": Unknown("made")}

    assert str(value('"https://${made.uri}/"', tmp_path, **known)) == "https://<made.uri>/"
    assert value("made.list[0]", tmp_path, **known) == Unknown("made.list[0]")
    assert isinstance(value('made.x == "" ? 1 : 2', tmp_path, **known), Unknown)
    assert isinstance(value("[for x in made.list : x]", tmp_path, **known), Unknown)
    assert value("{ a = made.x, b = 1 }.b", tmp_path, **known) == 1


@pytest.mark.parametrize("text", ["nothing", "{ a = 1 }.b", "[1][3]", 'no_function("x")'])
def test_what_is_not_there_is_an_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(LookupError):
        value(text, tmp_path)


def test_terraform_says_the_same(tmp_path: Path) -> None:
    if not shutil.which("terraform"):
        pytest.skip(f"{NOT_RUN}expressions in Terraform itself (it is not installed)")
    environ = {name: text for name, text in os.environ.items() if not name.startswith("TF_")}
    listed = "".join(f"{text},\n" for text in VALUES)
    (tmp_path / "expressions.tf").write_text(f"locals {{ values = [\n{listed}] }}\n")

    done = subprocess.run(
        ["terraform", "console"], input="jsonencode(local.values)", cwd=tmp_path,
        env={**environ, "CHECKPOINT_DISABLE": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(json.loads(done.stdout)) == list(VALUES.values())
