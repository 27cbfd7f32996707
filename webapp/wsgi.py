"""The WSGI application that granian serves."""

import logging
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")

from django.core.wsgi import get_wsgi_application

from warmboard.contract.settings import LOG_LEVEL

logging.basicConfig(level=LOG_LEVEL.read(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
application = get_wsgi_application()
