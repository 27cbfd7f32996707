"""A tracking server: whether it answers, is MLflow, lets us in, and has our route."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from urllib.parse import urlsplit

import urllib3

from workers.doctor import clock
from workers.doctor.finding import Check, Finding, Findings, Given, failure, ok, warning
from workers.doctor.versions import parsed
from workers.errors import TransientError
from workers.fetch.bulk import VERSION_PATH
from workers.fetch.connections import connections_to
from workers.fetch.server import TrackingServer
from workers.settings import Settings

TIMEOUT = urllib3.Timeout(connect=3, read=5)
LARGEST = 2**20
"""The max bytes that are read of an answer."""
SEARCH = "api/2.0/mlflow/experiments/search"
OLDEST = (2, 9)
"""The oldest version of MLflow that Warmboard is tested with."""
MLFLOW_1 = (1,)
"""No MLflow before it has experiments/search, so a lower version is that of another server with MLflow's API."""
WRONG_HOST = "Invalid Host header"
"""What MLflow says to a request by a name that it does not know."""
NAMED = "MLFLOW_TRACKING_SERVERS"


@dataclass(frozen=True)
class Place:
    """A server, and the setting that has its address."""

    server: TrackingServer
    setting: str

    @property
    def subject(self) -> str:
        return f"MLflow {self.server.name}"

    @property
    def uri(self) -> str:
        return self.server.uri


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str
    before: float
    after: float

    @property
    def document(self) -> object:
        """The JSON in it; None if it has none."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    @property
    def is_page(self) -> bool:
        return "html" in self.headers.get("Content-Type", "") or self.text.lstrip()[:1] == "<"


def checks(settings: Settings) -> list[Check]:
    """One check for each configured server."""
    own = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
    found = []
    for name, server in settings.tracking_servers.items():
        needs = own if name == settings.tracking_server else (NAMED,)
        place = Place(server, needs[0])
        found.append(Check(place.subject, partial(_look, place), needs))
    return found


def _look(place: Place, _: Given) -> Findings:
    subject = place.subject
    ask = partial(_ask, connections_to(place.uri, 1, place.server.certificate), place.server)
    try:
        found = ask("POST", SEARCH, {"max_results": 1})
    except TransientError as error:
        yield failure(subject, str(error), "Check GOOGLE_APPLICATION_CREDENTIALS, or the machine's service account.")
        return
    except (urllib3.exceptions.HTTPError, OSError) as error:
        yield _unreachable(place, error)
        return
    yield from _clock(subject, found)
    if refusal := _refusal(place, found):
        yield refusal
        return
    version = _version(ask)
    yield ok(subject, f"{_named(version)} answers at {place.uri}; {_way(ask)}")
    if not _experiments(found):
        text = f"{place.uri} shows no experiment: it has none, or does not let these credentials read any"
        yield warning(subject, text, "Give their user the right to read the experiments: in MLflow, permission READ.")
    if version and MLFLOW_1 <= parsed(version) < OLDEST:
        text = f"MLflow {version} is older than any that Warmboard is tested with"
        yield warning(subject, text, f"Upgrade it to {'.'.join(map(str, OLDEST))} or newer.")


def _named(version: str) -> str:
    if version and parsed(version) < MLFLOW_1:
        return f"A server with MLflow's API, version {version},"
    return f"MLflow {version or 'of an unknown version'}"


def _ask(pool: urllib3.PoolManager, server: TrackingServer, method: str, path: str, asked: object = None) -> Answer:
    """Raises urllib3's HTTPError, OSError, or TransientError if Google gives no token."""
    authorization = server.authorization()
    headers = {"Authorization": authorization} if authorization else {}
    before = time.time()
    answer = pool.request(
        method,
        f"{server.uri}/{path}",
        **({} if asked is None else {"json": asked}),  # type: ignore[arg-type]
        headers=headers,
        timeout=TIMEOUT,
        redirect=False,
        retries=False,
        preload_content=False,
    )
    after = time.time()
    try:
        text = answer.read(LARGEST, decode_content=True).decode(errors="replace")
    finally:
        answer.close()
    return Answer(answer.status, answer.headers, text, before, after)


def _unreachable(place: Place, error: Exception) -> Finding:
    text = f"nothing answers at {place.uri}: {_reason(error)}"
    fix = f"Start it, or correct {place.setting}; check that no firewall or proxy (HTTP_PROXY, NO_PROXY) is between."
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        text, fix = f"the certificate of {place.uri} is not trusted", "Name its authority's file in REQUESTS_CA_BUNDLE."
    elif "WRONG_VERSION_NUMBER" in str(error):
        text, fix = f"{place.uri} does not speak TLS", f"Write http:// in {place.setting}."
    return failure(place.subject, text, fix)


def _refusal(place: Place, found: Answer) -> Finding | None:
    """What an answer to a search for experiments says, if it is not MLflow's result."""
    subject, setting = place.subject, place.setting
    if found.status in (301, 302, 303, 307, 308):
        target = urlsplit(found.headers.get("Location", ""))
        where = f"{target.scheme}://{target.netloc}{target.path}" if target.netloc else target.path
        fix = f"Name MLflow's own address in {setting}, without a sign-in page or a redirect to https before it."
        return failure(subject, f"{place.uri} redirects to {where}", fix)
    if found.status == 401:
        return _unauthenticated(place, found)
    if found.status == 403:
        return failure(subject, f"{place.uri} forbids the request (403): {_brief(found)}", _forbidden(place, found))
    if found.status == 200 and isinstance(found.document, dict) and not found.is_page:
        return None
    if found.is_page or found.status in (200, 404, 405):
        kind = "with a web page, perhaps a sign-in page" if found.is_page else f"with {found.status} {_brief(found)}"
        text = f"{place.uri} is not MLflow: it answers its API {kind}"
        return failure(subject, text, f"Correct {setting}: the address that `mlflow.set_tracking_uri` takes.")
    return failure(subject, f"{place.uri} answers {found.status}: {_brief(found)}", "Read the MLflow server's log.")


def _unauthenticated(place: Place, found: Answer) -> Finding:
    """What the server wants to be signed in with. Of MLflow's own sign-in it is known: it knows no tokens."""
    server, is_basic = place.server, found.headers.get("WWW-Authenticate", "").lower().startswith("basic")
    wanted, verb = "a user name and a password" if is_basic else "credentials", "Set"
    if server.authorization() is None:
        text = f"wants {wanted}"
    elif is_basic and server.username is None:
        text = f"wants {wanted}, and not a token"
    else:
        text, verb = "rejects these credentials", "Correct"
    return failure(place.subject, f"{place.uri} {text} (401)", _sign_in(place, verb, is_basic=is_basic))


def _sign_in(place: Place, verb: str, *, is_basic: bool) -> str:
    if place.setting == NAMED:
        token = "" if is_basic else " or https://TOKEN@HOST"
        return f"{verb} them in its address in {NAMED}: https://USER:PASSWORD@HOST{token}."
    pair = f"{verb} MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    return (
        f"{pair}." if is_basic else f"{pair}, MLFLOW_TRACKING_TOKEN, or on Cloud Run MLFLOW_TRACKING_GOOGLE_IDENTITY."
    )


def _forbidden(place: Place, found: Answer) -> str:
    if WRONG_HOST not in found.text:
        return "Give this identity the right to read: on Cloud Run roles/run.invoker, in MLflow permission READ."
    host = urlsplit(place.uri).netloc
    return (
        f"Let it accept the name: `mlflow server --allowed-hosts {host}`, with all others that are used; of Warmboard's"
        f" own server MLFLOW_ALLOWED_HOSTS={host}."
    )


def _experiments(found: Answer) -> object:
    return found.document.get("experiments") if isinstance(found.document, dict) else None


def _version(ask: partial[Answer]) -> str:
    """Its version; empty if it doesn't tell."""
    try:
        found = ask("GET", "version")
    except (urllib3.exceptions.HTTPError, OSError, TransientError):
        return ""
    said = found.text.strip()
    return said if found.status == 200 and re.fullmatch(r"\d+\.\d+[\w.+-]{0,30}", said) else ""


def _way(ask: partial[Answer]) -> str:
    """How runs are fetched from it."""
    stock = "it lacks Warmboard's route, so runs are fetched metric by metric (docs/reference/bulk-history.md)"
    try:
        found = ask("GET", VERSION_PATH)
    except (urllib3.exceptions.HTTPError, OSError, TransientError):
        return stock
    document = found.document
    has_route = found.status == 200 and isinstance(document, dict) and document.get("history") == 1
    return "a run is fetched with one request" if has_route else stock


def _clock(subject: str, found: Answer) -> Findings:
    try:
        theirs = parsedate_to_datetime(found.headers.get("Date", "")).timestamp()
    except ValueError:
        return
    yield from clock.difference(subject, theirs, found.before, found.after, resolution=1)


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", None) or error
    return re.sub(r"^<[^>]*>: |^\w+\([^)]*\): ", "", str(inner))[:300]


def _brief(found: Answer) -> str:
    document = found.document
    text = str(document.get("message", "")) if isinstance(document, dict) else ""
    return " ".join((text or found.text).split())[:200]
