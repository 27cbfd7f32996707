"""The webapp's settings, with a test server instead of Google."""

import os

from webapp.google_sign_in.endpoints import Endpoints
from webapp.settings import *  # noqa: F403

_google = os.environ["TEST_GOOGLE"]
GOOGLE_ENDPOINTS = Endpoints(f"{_google}/authorize", f"{_google}/token", f"{_google}/keys", (_google,))
