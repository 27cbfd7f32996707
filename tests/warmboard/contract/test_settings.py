"""An invalid setting is an error that gives the reason; the reference page lists all settings."""

import pytest

from tests.paths import ROOT
from warmboard.contract import settings as setting
from warmboard.contract.settings import SETTINGS, SettingError
from warmboard.contract.settings.__main__ import reference


def test_an_unset_setting_has_its_default() -> None:
    assert setting.EPOCH_SAMPLE_INTERVAL.read({}) == 5
    assert setting.PUBSUB_EMULATOR_HOST.read({}) is None
    assert setting.MLFLOW_TRACKING_URI.read({"MLFLOW_TRACKING_URI": ""}) == "http://127.0.0.1:5000"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("EPOCH_SAMPLE_INTERVAL", "often", "EPOCH_SAMPLE_INTERVAL: 'often' is not a whole number from 1"),
        ("EPOCH_SAMPLE_INTERVAL", "0", "EPOCH_SAMPLE_INTERVAL: '0' is not a whole number"),
        ("MLFLOW_TRACKING_URI", "mlflow:5000", "does not start with http:// or https://"),
        ("PUBSUB_EMULATOR_HOST", "http://localhost:8085", "is not HOST:PORT"),
        ("MLFLOW_TRACKING_SERVERS", "eu", "contains 'eu', which is not NAME=ADDRESS"),
        ("MLFLOW_UI_URLS", "eu=https://ada:secret@mlflow.eu", "has credentials for eu, which pages would show"),
        ("MLFLOW_UI_URLS", "eu=javascript:alert(1)", "does not start with http:// or https://"),
        ("WEBAPP_HTTPS", "maybe", "is neither true nor false"),
        ("WEBAPP_SECRET_KEY", "", "WEBAPP_SECRET_KEY is not set"),
    ],
)
def test_an_error_names_the_variable_and_valid_values(name: str, value: str, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        SETTINGS[name].read({name: value})
    assert message in str(caught.value)
    assert SETTINGS[name].help in str(caught.value)


def test_a_secret_is_not_shown() -> None:
    with pytest.raises(SettingError) as caught:
        setting.WEBAPP_SECRET_KEY.read({"WEBAPP_SECRET_KEY": "hunter2"})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SettingError) as caught:
        setting.MLFLOW_TRACKING_URI.read({"MLFLOW_TRACKING_URI": "htp://ada:hunter2@mlflow"})
    assert "'htp://mlflow' does not start with" in str(caught.value)


def test_servers_are_named() -> None:
    read = setting.MLFLOW_TRACKING_SERVERS.read({"MLFLOW_TRACKING_SERVERS": "eu=https://mlflow.eu/, us=http://us:5000"})
    assert read == {"eu": "https://mlflow.eu", "us": "http://us:5000"}


def test_the_reference_page_is_up_to_date() -> None:
    page = ROOT / "docs" / "reference" / "settings.md"
    assert page.read_text() == reference(), (
        "update it: python -m warmboard.contract.settings > docs/reference/settings.md"
    )


def test_every_setting_is_handed_on_by_the_package() -> None:
    assert {name: getattr(setting, name) for name in SETTINGS} == SETTINGS
    assert set(SETTINGS) <= set(setting.__all__)
