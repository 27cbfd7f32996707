"""Django settings of the webapp: those of the store, and those for serving pages. Secure by default."""

from pathlib import Path

from csp.constants import NONE, SELF

from store.settings import *  # noqa: F403
from store.settings import DATABASES
from store.settings import INSTALLED_APPS as STORE_APPS
from warmboard.contract import settings as setting
from webapp.google_sign_in.endpoints import Endpoints

WEBAPP = Path(__file__).parent
OPTIONS = DATABASES["default"]["OPTIONS"]
if "statement_seconds" in OPTIONS:
    OPTIONS["statement_seconds"] = setting.WEBAPP_STATEMENT_SECONDS.read()
else:
    # SQLite: a page waits less for the lock than a worker.
    OPTIONS["timeout"] = 5
SECRET_KEY = setting.WEBAPP_SECRET_KEY.read()
DEBUG = False
ALLOWED_HOSTS = setting.WEBAPP_ALLOWED_HOSTS.read()
LOOPBACK_READ = setting.WEBAPP_LOOPBACK_READ.read()
TRUSTED_PROXIES = setting.WEBAPP_TRUSTED_PROXIES.read()
RATE_LIMIT = setting.WEBAPP_RATE_LIMIT.read()
FLOWER_URL = setting.FLOWER_URL.read()
MLFLOW_UI_URLS = setting.MLFLOW_UI_URLS.read()
GOOGLE_CLOUD_PROJECT = setting.GOOGLE_CLOUD_PROJECT.read()
PUBSUB_TOPIC = setting.PUBSUB_TOPIC.read()
PUBSUB_EMULATOR_HOST = setting.PUBSUB_EMULATOR_HOST.read()

GOOGLE_CLIENT_ID = setting.WEBAPP_GOOGLE_CLIENT_ID.read()
GOOGLE_CLIENT_SECRET = setting.WEBAPP_GOOGLE_CLIENT_SECRET.read()
GOOGLE_DOMAINS = [domain.lower() for domain in setting.WEBAPP_GOOGLE_DOMAINS.read()]
GOOGLE_GROUP = setting.WEBAPP_GOOGLE_GROUP.read()
GOOGLE_ENDPOINTS = Endpoints()
if GOOGLE_CLIENT_ID and not (GOOGLE_CLIENT_SECRET and GOOGLE_DOMAINS):
    raise setting.SettingError(
        "WEBAPP_GOOGLE_CLIENT_ID needs WEBAPP_GOOGLE_CLIENT_SECRET and WEBAPP_GOOGLE_DOMAINS too"
    )

INSTALLED_APPS = [
    *STORE_APPS,
    "webapp",
    "webapp.tokens",
    "webapp.annotations",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "webapp.operations",
    "webapp.visibility",
    "webapp.backup",
    "webapp.google_sign_in",
    # The last app: its groups get permissions of the others.
    "webapp.accounts",
]
# Each takes some microseconds per response. AccessMiddleware checks the host, as CommonMiddleware would.
MIDDLEWARE = [
    "webapp.access.security_headers.SecurityHeadersMiddleware",
    "webapp.access.fast_path.FastPathMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "webapp.access.middleware.AccessMiddleware",
]
# `check --deploy` looks for Django's own middlewares. The first of ours sends their headers, and tests compare both.
SILENCED_SYSTEM_CHECKS = ["security.W001", "security.W002"]
ROOT_URLCONF = "webapp.urls"
WSGI_APPLICATION = "webapp.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Templates stand beside the code that renders them: "run/run.html" in webapp/run/templates. AppLoader
        # looks into the apps; these folders are not apps.
        "DIRS": [WEBAPP / name / "templates" for name in ("api", "compare", "listing", "run")],
        "OPTIONS": {
            "context_processors": ["django.template.context_processors.request", "webapp.access.middleware.reader"],
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    ["webapp.assets.templates.FolderLoader", "webapp.assets.templates.AppLoader"],
                )
            ],
        },
    }
]
USE_I18N = False

LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "runs"
LOGOUT_REDIRECT_URL = "sign-in"
AUTHENTICATION_BACKENDS = ["webapp.accounts.backend.RoleBackend"]
# Scrypt makes attacks on a stolen table cost memory, not only time.
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
SESSION_COOKIE_AGE = 7 * 86_400
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

# Bytes of a request's body. The longest form, which annotates many runs at once, takes a tenth of it.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

STATIC_URL = "/static/"
STATIC_ROOT = setting.WEBAPP_STATIC_ROOT.read().absolute()
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "webapp.assets.storage.BundledAssets"},
}
WHITENOISE_KEEP_ONLY_HASHED_FILES = True

X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
CSRF_COOKIE_HTTPONLY = True
# Errors are JSON under /api/, as all others are.
CSRF_FAILURE_VIEW = "webapp.access.errors.forbidden"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
if setting.WEBAPP_HTTPS.read():
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    # Probes come from inside, not through the proxy that ends TLS.
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
