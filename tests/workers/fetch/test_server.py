"""The sources of the workers' credentials; no message shows them."""

from __future__ import annotations

import pytest

from warmboard.contract.settings import SettingError
from workers.fetch.server import TrackingServer
from workers.settings import Settings

OTHERS = "eu=https://eu.example,us=https://bob:b%40b%2C@us.example/x,asia=https://t0ken@asia.example:8443"


def servers(environ: dict[str, str]) -> dict[str, TrackingServer]:
    return dict(Settings.read(environ).tracking_servers)


def test_without_any_setting_there_is_one_server_and_no_credentials() -> None:
    assert servers({}) == {"default": TrackingServer("default", "http://127.0.0.1:5000")}


def test_mlflows_settings_apply_to_its_own_address_and_other_servers_have_their_own() -> None:
    found = servers(
        {
            "MLFLOW_TRACKING_URI": "https://mlflow.example/prefix/",
            "MLFLOW_TRACKING_USERNAME": "ada",
            "MLFLOW_TRACKING_PASSWORD": "s3cret",
            "MLFLOW_TRACKING_TOKEN": "unused",
            "MLFLOW_TRACKING_SERVERS": OTHERS,
        }
    )
    assert found == {
        "default": TrackingServer("default", "https://mlflow.example/prefix", "ada", "s3cret"),
        "eu": TrackingServer("eu", "https://eu.example"),
        "us": TrackingServer("us", "https://us.example/x", "bob", "b@b,"),
        "asia": TrackingServer("asia", "https://asia.example:8443", None, None, "t0ken"),
    }
    for secret in ("s3cret", "b@b,", "t0ken"):
        assert secret not in repr(found)


def test_databases_belong_to_servers_by_name() -> None:
    given = {
        "MLFLOW_TRACKING_SERVERS": OTHERS,
        "MLFLOW_TRACKING_DATABASES": "us=postgresql+psycopg2://bob:b%2C@db/mlflow?sslmode=require,"
        "default=sqlite:////srv/mlflow.db",
    }
    found = servers(given)
    assert {name: server.database for name, server in found.items()} == {
        "default": "sqlite:////srv/mlflow.db",
        "us": "postgresql://bob:b%2C@db/mlflow?sslmode=require",
        "eu": None,
        "asia": None,
    }
    assert "b%2C" not in repr(found)


def test_a_token_overrides_the_addresss_credentials() -> None:
    found = servers({"MLFLOW_TRACKING_URI": "https://ada:old@mlflow.example", "MLFLOW_TRACKING_TOKEN": "new"})
    assert found == {"default": TrackingServer("default", "https://mlflow.example", None, None, "new")}


def test_google_is_used_for_https_addresses_without_other_credentials() -> None:
    found = servers({"MLFLOW_TRACKING_GOOGLE_IDENTITY": "true", "MLFLOW_TRACKING_SERVERS": OTHERS})
    assert {name for name, server in found.items() if server.google} == {"eu"}


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"MLFLOW_TRACKING_USERNAME": "ada"}, "MLFLOW_TRACKING_PASSWORD is not set"),
        ({"MLFLOW_TRACKING_PASSWORD": "s3cret"}, "MLFLOW_TRACKING_USERNAME is not set"),
        ({"MLFLOW_TRACKING_TOKEN": "s3cret\n"}, "MLFLOW_TRACKING_TOKEN: its value contains spaces"),
        ({"MLFLOW_TRACKING_SERVERS": "https://ada:s3cret@eu.example"}, "MLFLOW_TRACKING_SERVERS: .*not NAME=ADDRESS"),
        ({"MLFLOW_TRACKING_SERVERS": "eu=https://ada:s3cret/@eu.example"}, "MLFLOW_TRACKING_SERVERS: .*%2F"),
        ({"MLFLOW_TRACKING_SERVERS": "eu=ada:s3cret@eu.example"}, "MLFLOW_TRACKING_SERVERS: .*http://"),
        (
            {"MLFLOW_TRACKING_DATABASES": "default=mysql://ada:s3cret@db/x"},
            "MLFLOW_TRACKING_DATABASES: .*postgresql://",
        ),
        (
            {"MLFLOW_TRACKING_DATABASES": "postgresql://ada:s3cret@db/x"},
            "MLFLOW_TRACKING_DATABASES: .*not NAME=ADDRESS",
        ),
        ({"MLFLOW_TRACKING_DATABASES": "default=sqlite://x"}, "MLFLOW_TRACKING_DATABASES: .*sqlite:////FILE"),
        ({"MLFLOW_TRACKING_DATABASES": "eu=postgresql://ada:s3cret@db/x"}, "names eu; servers are default"),
        ({"MLFLOW_TRACKING_URI": "https://ada:s3cret/@eu.example"}, "MLFLOW_TRACKING_URI: .*%2F"),
    ],
)
def test_an_invalid_setting_is_reported_without_the_secret(environ: dict[str, str], message: str) -> None:
    with pytest.raises(SettingError, match=message) as caught:
        servers(environ)
    assert "s3cret" not in str(caught.value)
