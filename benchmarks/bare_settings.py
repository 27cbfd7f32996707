"""Settings of a Django without middleware."""

SECRET_KEY = "only for the benchmark"  # noqa: S105
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "benchmarks.hello"
USE_I18N = False
