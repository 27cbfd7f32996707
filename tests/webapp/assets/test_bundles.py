"""What a page loads is one file made of many modules."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

from webapp.assets import bundles
from webapp.assets.storage import SCRIPTS, STYLES

NODE = shutil.which("node")
STATIC = Path("webapp/static")
TEMPLATES = Path("webapp")
MODULES = {
    "page/main.js": """// The entry.
import { twice as double, log } from "./part.js";
import * as part from "./part.js";
import "./side.js";
log("main");
const later = async () => (await import("./lazy.js")).answer(double(part.ONE));
later().then((found) => log(`lazy ${found}`));
""",
    "page/part.js": """export const ONE = 1;
export function twice(value) {
  // doubles
  return 2 * value;
}
export const log = (text) => console.log(JSON.stringify(text)); // said
log("part");
""",
    "page/side.js": """console.log('"side"');
""",
    "page/lazy.js": """import { log } from "./part.js";
log("lazy runs");
export async function answer(value) {
  return value + 40;
}
export class Never {}
""",
}


def bundle(files: dict[str, str]) -> tuple[str, set[str]]:
    return bundles.script("page/main.js", {**MODULES, **files}.__getitem__)


@pytest.mark.skipif(
    not NODE, reason="not run: bundles by themselves, which needs node; browsers run them in tests/browser"
)
def test_modules_run_once_and_lazy_ones_when_they_are_asked_for() -> None:
    text, parts = bundle({})
    said = subprocess.run([str(NODE), "-"], input=text, capture_output=True, text=True, check=True).stdout
    assert [json.loads(line) for line in said.splitlines()] == ["part", "side", "main", "lazy runs", "lazy 42"]
    assert parts == MODULES.keys()


def test_what_runs_at_once_is_compiled_at_once() -> None:
    text, _ = bundle({})
    assert set(re.findall(r'^"([\w/]+\.js)": \(\(', text, re.MULTILINE)) == {
        "page/main.js",
        "page/part.js",
        "page/side.js",
    }


@pytest.mark.parametrize(
    "line",
    [
        'import part from "./part.js";',
        'import { log } from "part";',
        "export default 1;",
        "export { log };",
        "export let count = 0;",
        'export * from "./part.js";',
        "const later = import(name);",
        "const here = import.meta.url;",
        "const text = `a",
    ],
)
def test_what_would_not_be_understood_is_refused(line: str) -> None:
    with pytest.raises(bundles.BundleError, match=r"page/part\.js can't be bundled because of this line: ") as refused:
        bundle({"page/part.js": f"{line}\n{MODULES['page/part.js']}"})
    assert line.endswith(str(refused.value).partition("this line: ")[2])


def test_comments_and_indents_are_left_out() -> None:
    text, _ = bundle({"page/lazy.js": 'export function answer() {\n  // why\n  return "a; // b"; // what\n}\n'})
    assert 'function answer() {\nreturn "a; // b";\n}\n' in text
    files = {"all.css": "/* one\n   two */\na {\n  /* three */\n  top: 0;\n}\n"}
    assert bundles.style("all.css", files.__getitem__) == "a {\n  top: 0;\n}\n"


def test_modules_that_import_one_another_are_refused() -> None:
    with pytest.raises(bundles.BundleError, match=r"main\.js → page/part\.js → page/main\.js"):
        bundle({"page/part.js": f'import {{ later }} from "./main.js";\n{MODULES["page/part.js"]}'})


def test_a_lazy_module_may_import_its_importer() -> None:
    text, _ = bundle({"page/lazy.js": f'import {{ later }} from "./main.js";\n{MODULES["page/lazy.js"]}'})
    assert 'const { later } = __load("page/main.js")' in text


def test_style_sheets_stand_where_they_are_imported() -> None:
    files = {"page/all.css": '@import "../base.css";\na { top: 0; }\n', "base.css": "b { top: 1px; }\n"}
    assert bundles.style("page/all.css", files.__getitem__) == "b { top: 1px; }\n\na { top: 0; }\n"
    with pytest.raises(bundles.BundleError, match="@import url"):
        bundles.style("page/all.css", {"page/all.css": "@import url(x.css);\n"}.__getitem__)


def test_every_script_and_style_sheet_of_a_page_is_made() -> None:
    templates = "".join(path.read_text() for path in TEMPLATES.rglob("templates/*/*.html"))
    loaded = set(re.findall(r"""<script defer(?: blocking="render")? src="{% static '([\w/.-]+)' %}">""", templates))
    assert loaded == {f"webapp/{page}.js" for page in SCRIPTS}
    importing = {path.stem for path in (STATIC / "webapp").glob("*.css") if "@import" in path.read_text()}
    assert importing == set(STYLES)


def test_modules_that_are_parts_of_others_are_not_served() -> None:
    call_command("collectstatic", interactive=False, verbosity=0)
    names = {path.name for path in (Path(settings.STATIC_ROOT) / "webapp").glob("*.js")}
    assert {re.sub(r"\.[0-9a-f]{12}\.js$", "", name) for name in names} == set(SCRIPTS)
    for name in names:
        text = (Path(settings.STATIC_ROOT) / "webapp" / name).read_text()
        assert not re.search(r'\bimport\b.*"\./', text)
