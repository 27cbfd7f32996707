"""All URLs of the webapp."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, path, register_converter

from warmboard.contract.events import RUN_ID
from webapp.access import errors
from webapp.accounts.sign_in import SignIn
from webapp.annotations import views as annotation_views
from webapp.api import docs as api_docs
from webapp.api.reading import View
from webapp.assets import views as assets
from webapp.compare import views as compare
from webapp.exports.views import EXPORTS
from webapp.google_sign_in import views as google
from webapp.listing import api as listing_api
from webapp.listing import export as listing_export
from webapp.listing import page as listing_page
from webapp.listing.complete import api as completion_api
from webapp.operations import api as operations_api
from webapp.operations import health, subscription
from webapp.operations import views as operations
from webapp.run import api as run_api
from webapp.run import page as run_page
from webapp.tokens import page as tokens_page


class RunIdConverter:
    regex = RUN_ID.pattern

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


class NumberConverter:
    """A database ID of at most 18 digits."""

    regex = "[0-9]{1,18}"

    def to_python(self, value: str) -> int:
        return int(value)

    def to_url(self, value: int) -> str:
        return str(value)


class HashedNameConverter:
    """The name of a static file with the hash of some content, as Django's ManifestStaticFilesStorage writes it; in
    Python without the hash.
    """

    regex = r".+\.[0-9a-f]{12}\.\w+"

    def to_python(self, value: str) -> str:
        name, _, kind = value.rsplit(".", 2)
        return f"{name}.{kind}"

    def to_url(self, value: str) -> str:
        return value


register_converter(RunIdConverter, "run_id")
register_converter(HashedNameConverter, "hashed_name")
register_converter(NumberConverter, "number")


def chart_data(prefix: str, of: Callable[[View], View] = lambda view: view) -> list[URLPattern]:
    """The URLs of one run's chart data and of its exports."""
    return [
        path(f"{prefix}training-history/", of(run_api.history)),
        path(f"{prefix}histogram-data/", of(run_api.histogram)),
        path(f"{prefix}summaries/", of(run_api.summaries)),
        path(f"{prefix}about/", of(run_api.about)),
        path(f"{prefix}metrics/", of(run_api.metrics)),
        path(f"{prefix}metrics/<number:chunk>/", of(run_api.metric_chunk)),
        *(path(f"{prefix}export.{suffix}", of(view)) for suffix, view in EXPORTS.items()),
    ]


urlpatterns = [
    path("", listing_page.runs, name="runs"),
    path("rows/", listing_page.rows, name="rows"),
    path("runs/export.csv", listing_export.export("csv"), name="export-csv"),
    path("runs/export.json", listing_export.export("json"), name="export-json"),
    path("pick/", listing_page.pick, name="pick"),
    path("annotate/<str:action>/", annotation_views.change_many, name="annotate"),
    path("runs/<run_id:run_id>/annotation/", annotation_views.change_one, name="annotation"),
    path("runs/<run_id:run_id>/", run_page.run, name="run"),
    path("compare/", compare.page, name="compare"),
    path("quick-tests/<number:quick_test_id>/", run_page.quick_test, name="quick-test"),
    path("sign-in/", SignIn.as_view(), name="sign-in"),
    path("sign-in/google/", google.begin, name="google-sign-in"),
    path("sign-in/google/callback/", google.finish, name="google-callback"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("tokens/", tokens_page.tokens, name="tokens"),
    path("tokens/<number:token_id>/revoke/", tokens_page.revoke, name="revoke-token"),
    path("api/docs/", api_docs.docs, name="api-docs"),
    path("operations/", operations.page, name="operations"),
    path("operations/replay/", operations.replay, name="replay"),
    path("operations/subscription/", subscription.page, name="subscription"),
    path("operations/audit/", operations.audit_log, name="audit"),
    path("api/operations/", operations_api.operations, name="api-operations"),
    path("api/compare", compare.comparison, name="api-compare"),
    path("api/compare/summaries", compare.summaries, name="api-compare-summaries"),
    path("api/runs/", listing_api.runs, name="api-runs"),
    path("api/complete", completion_api.completion, name="api-complete"),
    path("api/runs/<run_id:run_id>/annotation/", annotation_views.annotation_json),
    path("api/runs/<run_id:run_id>/", run_api.run, name="api-run"),
    *chart_data("api/runs/<run_id:run_id>/"),
    *chart_data("api/quick-tests/<number:quick_test_id>/", run_api.of_quick_test),
    path("api/openapi.json", api_docs.openapi, name="openapi"),
    path("static/<hashed_name:name>", assets.other_version),
    path("healthz", health.live, name="healthz"),
    path("readyz", health.ready, name="readyz"),
]
handler400 = errors.bad_request
handler403 = errors.forbidden
handler404 = errors.not_found
handler500 = errors.server_error
