"""Settings that can't be used, and names that are almost those of settings."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.workers.doctor.seen import problems, the_failure, the_warning
from warmboard.contract.settings import SETTINGS, SettingError
from workers.doctor import environment
from workers.doctor.finding import Level
from workers.settings import Settings


def test_nothing_set_is_fine() -> None:
    found = environment.read({})
    assert problems(found.findings) == []
    assert "0 of them from the environment" in found.findings[0].text


def test_every_bad_value_is_named_and_the_others_are_used() -> None:
    found = environment.read({"SWEEP_SECONDS": "often", "DATABASE_URL": "mysql://x", "FETCH_CONCURRENCY": "4"})
    texts = " ".join(finding.text for finding in problems(found.findings))
    assert "SWEEP_SECONDS: 'often' is not a whole number from 1 to 3600" in texts
    assert "DATABASE_URL: its value does not start with" in texts
    assert found.invalid == {"SWEEP_SECONDS", "DATABASE_URL"}
    assert found.given.settings.fetch_concurrency == 4
    assert found.given.settings.sweep_seconds == SETTINGS["SWEEP_SECONDS"].read({})


def test_a_bad_value_of_another_program_is_a_warning() -> None:
    found = environment.read({"WEBAPP_SECRET_KEY": "short"})
    assert "WEBAPP_SECRET_KEY" in the_warning(found.findings)
    assert "short" not in str(found.findings[0].text).replace("shorter", "")


def test_what_kubernetes_sets_for_a_service_is_told_apart() -> None:
    found = environment.read({"FLOWER_PORT": "tcp://10.96.0.12:5555"})
    assert "enableServiceLinks: false" in the_failure(found.findings)


def test_a_user_name_without_a_password_is_named() -> None:
    found = environment.read({"MLFLOW_TRACKING_USERNAME": "ann"})
    assert "MLFLOW_TRACKING_PASSWORD is not set" in the_failure(found.findings)
    assert "MLFLOW_TRACKING_USERNAME" in found.invalid


def test_settings_that_do_not_fit_together_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Settings.read

    def together(environ: Mapping[str, str]) -> Settings:
        if environ.get("REDIS_URL") and environ.get("DISCOVER_DAYS"):
            raise SettingError("DISCOVER_DAYS: is too long for this Redis.")
        return read(environ)

    monkeypatch.setattr(Settings, "read", together)
    found = environment.read({"REDIS_URL": "redis://r/0", "DISCOVER_DAYS": "70"})
    assert "DISCOVER_DAYS: is too long" in the_failure(found.findings)
    assert found.invalid == {"DISCOVER_DAYS"}
    assert found.given.settings.redis_url == "redis://r/0"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("REDIS_URI", "REDIS_URL"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("MLFLOW_TRACKING_URL", "MLFLOW_TRACKING_URI"),
        ("PUBSUB_SUBSCRIPTON", "PUBSUB_SUBSCRIPTION"),
        ("GOOGLE_CLOUD_PROJECT_ID", "GOOGLE_CLOUD_PROJECT"),
        ("EPOCH_SAMPLING_INTERVAL", "EPOCH_SAMPLE_INTERVAL"),
        ("MLFLOW_TRACKING_USER", "MLFLOW_TRACKING_USERNAME"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("redis_url", "REDIS_URL"),
    ],
)
def test_a_misspelled_name_is_named_with_the_nearest(name: str, meant: str) -> None:
    text = the_warning(environment.read({name: "a secret value"}).findings)
    assert text.startswith(f"{name} is not a setting")
    assert f"Did you mean {meant}?" in text
    assert "a secret value" not in text


@pytest.mark.parametrize(
    "name",
    [
        "PATH", "HOME", "HOSTNAME", "LOGNAME", "PYTHONPATH", "REDIS_HOST", "REDIS_PORT", "DATABASE_HOST", "NO_PROXY",
        "MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_INSECURE_TLS", "MLFLOW_EXPERIMENT_ID", "MLFLOW_HTTP_REQUEST_TIMEOUT",
        "GOOGLE_APPLICATION_CREDENTIALS", "FLOWER_BASIC_AUTH", "FLOWER_ADDRESS", "KUBERNETES_SERVICE_HOST", "PORT",
    ],
)  # fmt: skip
def test_other_programs_names_are_left_alone(name: str) -> None:
    assert problems(environment.read({name: "x"}).findings) == []


@given(some.sampled_from(sorted(SETTINGS)), some.data())
def test_one_wrong_character_is_noticed(name: str, data: some.DataObject) -> None:
    at = data.draw(some.integers(0, len(name) - 1))
    letter = data.draw(some.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ_"))
    change = data.draw(some.sampled_from([letter, "", name[at] + letter]))
    wrong = name[:at] + change + name[at + 1 :]
    found = environment.read({wrong: "", name: SETTINGS[name].default or ""})
    assert wrong in SETTINGS or [finding.level for finding in problems(found.findings)] == [Level.WARNING]
