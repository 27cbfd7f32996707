"""How findings are gathered and shown: bounded in time, without secrets, as a table or JSON."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as some

from deploy.local.process import free_port
from tests.environment import GIVEN
from tests.waiting import PATIENCE
from tests.workers.doctor.seen import the_failure, the_warning
from workers.doctor import environment
from workers.doctor.finding import Check, Findings, Given, failure, ok, warning
from workers.doctor.redaction import redacted
from workers.doctor.report import as_json, as_table, columns_of
from workers.doctor.run import Running, run

FOUND = [
    ok("Redis", "answers"),
    warning("database", "its disk is nearly full", "Free some."),
    failure("MLflow default", "nothing answers", "Start it."),
]


def test_a_check_that_hangs_is_named_and_hides_no_other() -> None:
    forever, began = threading.Event(), threading.Event()

    def hang(_: Given) -> Findings:
        yield ok("slow", "began")
        began.set()
        forever.wait(PATIENCE)

    def quick(_: Given) -> Findings:
        assert began.wait(PATIENCE)
        yield ok("quick", "answers")

    running = [Running(Check("slow", hang), environment.read({})), Running(Check("quick", quick), environment.read({}))]
    for each in running:
        each.thread.start()
    running[1].thread.join()
    assert [finding.text for each in running for finding in each.result(7)] == [
        "began", "no answer within 7 s", "answers",
    ]  # fmt: skip
    assert "no answer within 0 s" in the_failure(run([Check("slow", hang)], environment.read({}), 0.01))
    forever.set()


def test_a_check_that_fails_itself_hides_no_other() -> None:
    def fail(_: Given) -> Findings:
        yield [][int("1")]

    found = run([Check("odd", fail)], environment.read({}), PATIENCE)
    assert "the check itself failed: IndexError: list index out of range" in the_failure(found)


def test_what_needs_an_invalid_setting_is_not_looked_at() -> None:
    checks = [Check("Redis", lambda _: iter([failure("Redis", "looked", "fix")]), ("REDIS_URL",))]
    found = run(checks, environment.read({"REDIS_URL": "http://x"}), PATIENCE)
    assert "not looked at: REDIS_URL can't be used" in the_warning(found)


def test_a_table() -> None:
    assert as_table(FOUND, colours=False, columns=80).splitlines() == [
        "ok       Redis           answers",
        "warning  database        its disk is nearly full",
        "                         → Free some.",
        "failure  MLflow default  nothing answers",
        "                         → Start it.",
        "",
        "1 warning, 1 failure.",
    ]
    assert as_table(FOUND[:1], colours=False, columns=80).endswith("All is well.")


def test_a_narrow_terminal_wraps() -> None:
    found = [failure("x", "one two three four five six seven eight nine ten " * 3, "Do it. " * 20)]
    assert all(len(line) <= 60 for line in as_table(found, colours=False, columns=60).splitlines())


def test_colours_are_for_terminals() -> None:
    assert "\033[31mfailure\033[0m" in as_table(FOUND, colours=True, columns=80)
    assert columns_of(io.StringIO(), {})[0] is False

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert columns_of(Terminal(), {})[0] is True
    assert columns_of(Terminal(), {"NO_COLOR": "1"})[0] is False


def test_json() -> None:
    document = json.loads(as_json(FOUND))
    assert document["ok"] is False
    assert document["findings"][1] == {
        "subject": "database", "level": "warning", "text": "its disk is nearly full", "fix": "Free some.",
    }  # fmt: skip
    assert json.loads(as_json(FOUND[:2]))["ok"] is True


@given(some.text(some.sampled_from("abcXYZ019@:/%&+ü"), min_size=4, max_size=20))
def test_no_secret_is_shown(secret: str) -> None:
    from urllib.parse import quote

    environ = {
        "DATABASE_URL": f"postgresql://warm:{quote(secret, safe='')}@db/store",
        "REDIS_URL": f"redis://:{quote(secret, safe='')}@redis:6379/0",
        "MLFLOW_TRACKING_TOKEN": secret,
    }
    texts = [f"tried {secret} of {' '.join(environ.values())}", f"the token {secret}."]
    shown = redacted([failure("x", text, text) for text in texts], environ)
    assert not [finding for finding in shown if f" {secret} " in finding.text or f" {secret}." in finding.fix]
    assert not [finding for finding in shown if quote(secret, safe="") in finding.text.replace("***", "")]


def test_what_to_write_is_no_secret() -> None:
    shapes = (
        "redis://USER:PASSWORD@HOST:PORT/0 redis://:PASSWORD@HOST:PORT/0 https://USER:PASSWORD@HOST https://TOKEN@HOST"
    )
    [shown] = redacted([failure("x", "https://ann:pw@a.example https://token@a.example", shapes)], {})
    assert shown.fix == shapes
    assert shown.text == "https://***@a.example https://***@a.example"


def test_tokens_and_passwords_of_more_servers_are_secrets() -> None:
    environ = {"MLFLOW_TRACKING_SERVERS": "a=https://ann:hunter22@a.example,b=https://tok%3Den1@b.example"}
    [shown] = redacted([failure("x", "hunter22 and tok%3Den1 and tok=en1 of ann at a.example", "")], environ)
    assert shown.text == "*** and *** and *** of ann at a.example"


def doctor(tmp_path: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    nowhere = f"127.0.0.1:{free_port()}"
    given = {
        **GIVEN,
        "REDIS_URL": f"redis://{nowhere}/0",
        "MLFLOW_TRACKING_URI": f"http://{nowhere}",
        "PUBSUB_EMULATOR_HOST": nowhere,
        "PYTHONPATH": os.getcwd(),
        **environ,
    }
    line = [sys.executable, "-m", "workers", "doctor", *arguments]
    return subprocess.run(line, env=given, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_the_command_names_every_cause_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = doctor(
        tmp_path,
        "--json",
        DATABASE_URL=f"sqlite:///{tmp_path}/file/store.sqlite3",
        SWEEP_SECONDS="often",
        PUBSUB_TOPICS="runs",
    )
    assert (done.returncode, done.stderr) == (1, "")
    found = json.loads(done.stdout)["findings"]
    said = "\n".join(f"{each['subject']} {each['level']}: {each['text']}" for each in found)
    for words in (
        "settings failure: SWEEP_SECONDS: 'often' is not a whole number",
        "settings failure: DATABASE_URL can't be used: ",
        "settings warning: PUBSUB_TOPICS is not a setting",
        "database warning: not looked at: DATABASE_URL can't be used",
        "Redis failure: nothing answers at redis://127.0.0.1",
        "Pub/Sub failure: no emulator answers",
        "MLflow default failure: nothing answers",
        "processes warning: no subscriber, worker or beat has a heartbeat here",
        "versions ok: ",
    ):
        assert words in said, f"{words} is not in:\n{said}"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_quiet_leaves_out_what_is_well(tmp_path: Path) -> None:
    done = doctor(tmp_path, "--quiet", DATABASE_URL=f"sqlite:///{tmp_path}/none.sqlite3")
    assert done.returncode == 1
    assert "ok " not in done.stdout
    assert "there is no file" in done.stdout
    assert "\033" not in done.stdout


def test_help_has_examples() -> None:
    line = [sys.executable, "-m", "workers", "doctor", "--help"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert "python -m workers doctor --quiet" in done.stdout
