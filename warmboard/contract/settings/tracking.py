"""The address of the MLflow tracking server, and the credentials for it."""

from __future__ import annotations

from warmboard.contract.settings.parsers import (
    boolean,
    databases,
    existing_file,
    name,
    optional,
    server_address,
    servers,
    token,
)
from warmboard.contract.settings.setting import Setting

MLFLOW_TRACKING_URI = Setting(
    "MLFLOW_TRACKING_URI",
    server_address,
    "http://127.0.0.1:5000",
    "The address of the MLflow tracking server.",
    ("trainer", "workers"),
)
MLFLOW_TRACKING_SERVER = Setting(
    "MLFLOW_TRACKING_SERVER",
    name,
    "default",
    "The name that run events use for the server at MLFLOW_TRACKING_URI.",
    ("trainer", "workers"),
)
MLFLOW_TRACKING_SERVERS = Setting(
    "MLFLOW_TRACKING_SERVERS",
    servers,
    "",
    "More tracking servers that events may name: NAME=ADDRESS, separated by commas. An address may contain credentials:"
    " https://USER:PASSWORD@HOST, or https://TOKEN@HOST for a bearer token, with %-escapes.",
    ("workers",),
    secret=True,
)
MLFLOW_TRACKING_DATABASES = Setting(
    "MLFLOW_TRACKING_DATABASES",
    databases,
    "",
    "Databases of tracking servers, from which their runs are read without HTTP: NAME=ADDRESS, separated by commas, by"
    " the servers' names. An address is postgresql://USER:PASSWORD@HOST/DATABASE, of a user who may only read, or"
    " sqlite:////FILE.",
    ("workers",),
    secret=True,
)
MLFLOW_TRACKING_USERNAME = Setting(
    "MLFLOW_TRACKING_USERNAME",
    optional,
    "",
    "The user name for basic authentication at MLFLOW_TRACKING_URI, with MLFLOW_TRACKING_PASSWORD.",
    ("trainer", "workers"),
)
MLFLOW_TRACKING_PASSWORD = Setting(
    "MLFLOW_TRACKING_PASSWORD",
    optional,
    "",
    "The password of MLFLOW_TRACKING_USERNAME.",
    ("trainer", "workers"),
    secret=True,
)
MLFLOW_TRACKING_TOKEN = Setting(
    "MLFLOW_TRACKING_TOKEN",
    token,
    "",
    "A bearer token for MLFLOW_TRACKING_URI; not used if there is a user name.",
    ("trainer", "workers"),
    secret=True,
)
MLFLOW_TRACKING_CLIENT_CERT_PATH = Setting(
    "MLFLOW_TRACKING_CLIENT_CERT_PATH",
    existing_file,
    "",
    "A PEM file with the certificate that MLflow at MLFLOW_TRACKING_URI wants of its clients, and its key.",
    ("trainer", "workers"),
)
MLFLOW_TRACKING_GOOGLE_IDENTITY = Setting(
    "MLFLOW_TRACKING_GOOGLE_IDENTITY",
    boolean,
    "false",
    "True: the workers send Google's identity tokens, which an MLflow on Cloud Run requires, to every https address"
    " without other credentials.",
    ("workers",),
)
