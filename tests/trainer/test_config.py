"""Options from the command line, from a file, and from both; and the errors of invalid ones."""

from __future__ import annotations

import math
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.paths import ROOT
from trainer import config
from trainer.__main__ import parser
from trainer.options import FIELDS, OptionError, Options, show
from trainer.program import options_of, settings_of, write_json
from warmboard.errors import StorageError

HOW_TO = ROOT / "docs" / "how-to" / "train-two-towers.md"


def written(folder: Path, text: str) -> str:
    path = folder / "run.toml"
    path.write_text(text)
    return str(path)


def given(*words: str) -> dict[str, Any]:
    options: dict[str, Any] = vars(parser().parse_args(words))
    return options


class TestCommandLine:
    def test_an_option_that_is_not_given_has_its_default(self) -> None:
        assert given() == {}
        assert options_of(given(), config.Config()) == Options()

    def test_every_option_is_read(self) -> None:
        words = [
            "--data=x.csv", "--max-interactions=9", "--min-buyers=2", "--validation-share=0.2", "--test-share=0.3",
            "--embedding-dim=8", "--query-layers=64,32", "--candidate-layers=none", "--activation=tanh",
            "--dropout=0.5", "--normalize", "--temperature=0.1", "--l2=0", "--epochs=7", "--batch-size=16",
            "--optimizer=sgd", "--learning-rate=0.5", "--schedule=cosine", "--warmup-epochs=0.5", "--decay-to=0.1",
            "--clip-norm=1", "--early-stopping=3", "--monitor=val_recall_at_100", "--seed=0", "--quick-test-id=4",
            "--run-name=r", "--experiment=e", "--output=o", "--no-save", "--json=-", "--no-progress",
        ]  # fmt: skip
        options = options_of(given(*words), config.Config())
        assert {name for name in FIELDS if getattr(options, name) == getattr(Options(), name)} == set()
        assert (options.query_layers, options.candidate_layers) == ((64, 32), ())
        assert options.layers("query") == (64, 32)
        assert Options(embedding_dim=8).layers("candidate") == (8,)

    @pytest.mark.parametrize("name", [name for name in FIELDS if getattr(Options(), name) is not None])
    def test_a_shown_value_can_be_parsed_again(self, name: str) -> None:
        value = getattr(Options(), name)
        assert config.read_text(name, show(value)) == value

    @pytest.mark.parametrize(
        ("word", "message"),
        [
            ("--epochs=0", "--epochs: '0' is not a whole number from 1"),
            ("--epochs=²", "--epochs: '²' is not a whole number from 1"),
            ("--embedding-dim=65537", "'65537' is not a whole number from 1 to 65536"),
            ("--learning-rate=nan", "'nan' is not a number from 0"),
            ("--test-share=1", "'1' is not a number between 0 and 1"),
            ("--optimizer=adma", "'adma' is not one of adam, adamw"),
            ("--query-layers=64,,32", "'64,,32' is not a list of layer widths"),
            ("--query-layers=0", "'0' is not a list of layer widths"),
            ("--experiment= ", "' ' is empty"),
            ("--learning_rate=1", "unrecognized arguments: --learning_rate=1; did you mean --learning-rate?"),
            ("--early-stoping=3", "did you mean --early-stopping?"),
        ],
    )
    def test_wrong_usage(self, word: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="2"):
            given(word)
        assert message in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"validation_share": 0.5, "test_share": 0.5}, "leave nothing for training"),
            ({"warmup_epochs": 3.0, "epochs": 2}, "warmup_epochs is 3, but there are 2 epochs"),
        ],
    )
    def test_options_that_do_not_go_together(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(OptionError, match=message):
            Options(**options)

    def test_a_report_without_a_folder_is_an_error_before_the_training(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="there is no folder for"):
            settings_of(Options(json=str(tmp_path / "none" / "result.json")))

    def test_the_command_line_overrides_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OUTPUT_URI", "/elsewhere")
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "other")
        assert settings_of(Options()).output_uri == "/elsewhere"
        chosen = settings_of(Options(output="/here", experiment="mine"))
        assert (chosen.output_uri, chosen.mlflow_experiment_name) == ("/here", "mine")


class TestFile:
    def test_every_type(self, tmp_path: Path) -> None:
        read = config.read(
            written(
                tmp_path,
                'data = "x.csv"\nepochs = 3\nlearning_rate = 1\nl2 = 1e-4\nquery_layers = [64, 32]\n'
                'candidate_layers = "none"\nnormalize = true\nsave = false\n',
            )
        )
        assert read.options == {
            "data": "x.csv", "epochs": 3, "learning_rate": 1.0, "l2": 1e-4, "query_layers": (64, 32),
            "candidate_layers": (), "normalize": True, "save": False,
        }  # fmt: skip

    def test_the_command_line_overrides_the_file(self, tmp_path: Path) -> None:
        file = config.read(written(tmp_path, "epochs = 3\nseed = 2\nnormalize = true\n"))
        options = options_of(given("--epochs=5", "--no-normalize"), file)
        assert (options.epochs, options.seed, options.normalize) == (5, 2, False)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("learnin_rate = 1", "unknown key learnin_rate; did you mean learning_rate?"),
            ("learning-rate = 1", "unknown key learning-rate; did you mean learning_rate?"),
            ("colour = 1", "unknown key colour"),
            ('epochs = "10"', "epochs is a text ('10'), not a whole number"),
            ("epochs = 1.5", "epochs is a number (1.5), not a whole number"),
            ("epochs = true", "epochs is true, not a whole number"),
            ("epochs = 0", "epochs: '0' is not a whole number from 1"),
            ('learning_rate = "fast"', "learning_rate is a text ('fast'), not a number"),
            ("learning_rate = inf", "learning_rate: 'inf' is not a number from 0"),
            ("query_layers = [64, 0]", "query_layers: '64,0' is not a list of layer widths"),
            ("query_layers = 64", "query_layers is a whole number (64), not a list"),
            ("save = 1", "save is a whole number (1), not true or false"),
            ("[data]\npath = 1", "data is a table, not a text"),
            ("seed = 2026-01-01", "seed is a date"),
            ("epochs = 1\nepochs = 2", "not a TOML file"),
            ("epochs", "not a TOML file"),
            ("sweep = 1", "sweep is a whole number (1), not a table [sweep]"),
            ("[sweep]\nlearning_rate = 1", "learning_rate in [sweep] is a whole number (1), not a list of values"),
            ("[sweep]\nlearning_rate = []", "learning_rate in [sweep] is a list ([]), not a list of values"),
            ('[sweep]\nlearning_rate = [1, "x"]', "learning_rate is a text ('x'), not"),
            ("[sweep]\nmin_buyers = [1]", "min_buyers can't be varied"),
            ("[sweep]\nlernrate = [1]", "unknown key lernrate; did you mean learning_rate?"),
            ("[sweep]\ntrials = 0", "trials in [sweep] is 0, not a whole number from 1"),
        ],
    )
    def test_an_error_names_the_key(self, tmp_path: Path, text: str, message: str) -> None:
        path = written(tmp_path, text)
        with pytest.raises(OptionError) as error:
            config.read(path)
        assert str(error.value).startswith(f"{path}: ")
        assert message in str(error.value)

    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match=r"none\.toml can't be read"):
            config.read(str(tmp_path / "none.toml"))

    def test_the_table_of_a_sweep(self, tmp_path: Path) -> None:
        text = "[sweep]\ntrials = 2\nlearning_rate = [0.1, 0.01, 0.1]\nquery_layers = [[], [64, 32]]\n"
        read = config.read(written(tmp_path, text))
        assert (read.options, read.trials) == ({}, 2)
        assert read.vary == {"learning_rate": (0.1, 0.01), "query_layers": ((), (64, 32))}


def test_the_example_in_the_documents_is_read(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    read = config.read(written(tmp_path, example))
    assert read.options.keys() == tomllib.loads(example).keys() - {"sweep"}
    assert read.vary
    assert options_of({}, read) != Options()


class TestPlaces:
    @pytest.mark.parametrize("name", ["data", "output", "config"])
    @pytest.mark.parametrize("place", ["s3://bucket/x.csv", "https://host/x.csv", "~nosuchuser/x.csv"])
    def test_an_unsupported_address_is_wrong_usage(
        self, name: str, place: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit, match="2"):
            given(f"--{name}={place}")
        assert f"--{name}: '{place}'" in capsys.readouterr().err.splitlines()[-1]

    def test_in_a_file_too(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match=r"run\.toml: output: 's3://bucket' can't be reached"):
            config.read(written(tmp_path, 'output = "s3://bucket"\n'))

    def test_json_is_a_file(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match=r"json: .* is a folder; give a file"):
            settings_of(Options(json=str(tmp_path)))
        with pytest.raises(OptionError, match=r"json: .*File name too long"):
            settings_of(Options(json="x" * 5000))


@pytest.mark.parametrize("text", ["epochs = " + "1" * 5000, "epochs = 0x" + "f" * 5000, "epochs = " + "[" * 5000])
def test_any_toml_error_is_an_option_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(OptionError, match=r"run\.toml: "):
        config.read(written(tmp_path, text))


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_bytes("epochs = 3\n".encode("utf-8-sig"))
    assert config.read(str(tmp_path / "run.toml")).options == {"epochs": 3}


def test_the_document_is_strict_json(tmp_path: Path) -> None:
    write_json(str(tmp_path / "x.json"), {"test": {"loss": math.nan}, "runs": [{"a": -math.inf, "b": 1.5, "c": True}]})
    assert (tmp_path / "x.json").read_text() == '{"test": {"loss": null}, "runs": [{"a": null, "b": 1.5, "c": true}]}\n'
