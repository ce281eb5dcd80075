"""The sandbox on HTTP: a Klein application with the URLs and responses of Authentik."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import ClassVar, Final, TypeVar
from urllib.parse import parse_qsl, urlencode

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource
from twisted.web.server import Request, Site
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from ropg_twisted.sandbox.accounts import ACCOUNTS, Account, Accounts
from ropg_twisted.sandbox.directory import Directory
from ropg_twisted.sandbox.flow.executor import Executor
from ropg_twisted.sandbox.flow.flows import FLOWS, Flow
from ropg_twisted.sandbox.flow.ldap_backend import LDAPBackend, Source, sources_of
from ropg_twisted.sandbox.flow.refusing_flows import REFUSING_FLOWS
from ropg_twisted.sandbox.flow.requests import FlowRequest, FlowResponse
from ropg_twisted.sandbox.flow.sessions import Clock, Sessions
from ropg_twisted.sandbox.flow.signals import Authentication, Event
from ropg_twisted.sandbox.http import login, pages
from ropg_twisted.sandbox.http.administration import Administration, refuse_token
from ropg_twisted.sandbox.http.cookies import (
    flow_cookies,
    session_cookie,
    session_deletion,
    set_cookies,
)
from ropg_twisted.sandbox.http.directory_forms import DirectoryForms
from ropg_twisted.sandbox.http.outposts import (
    OUTPOSTS,
    SERVICE_TOKEN,
    OutpostToken,
    OutpostTokens,
)
from ropg_twisted.sandbox.http.wire import (
    READ,
    READ_AND_WRITE,
    ClientInfo,
    accepts_json,
    language,
    read_bearer,
    read_client,
    read_form,
    read_object,
    read_query,
    send_error,
    send_html,
    send_json,
    send_redirect,
)
from ropg_twisted.sandbox.oauth2.applications import APPLICATIONS, Application, Applications
from ropg_twisted.sandbox.oauth2.endpoints import OAuth
from ropg_twisted.sandbox.oauth2.provider import Provider
from ropg_twisted.server.site import QuietSite
from ropg_twisted.types import DeferredCoroutine

T = TypeVar("T")

MAX_TRACED: Final = 100
"""Requests with a ``traceparent`` that are kept."""


class Sandbox:
    """A stand-in for Authentik.

    ``clock``: lets sessions and tokens run out, TOTP codes change and slow directories respond.
    ``flows``, ``accounts`` and ``applications``: served beside the built-in ones, in place of those
    of the same slug or user name. ``outpost_tokens``: believed beside the built-in one. Each
    directory that an account names exists, with a source of the same slug.

    ``executor``: the flows in progress, and ``provider``: the codes and tokens of the
    applications, for tests. ``traced``: the last requests to the API that belong to a trace, with
    their ``traceparent``.
    """

    app: ClassVar[Klein] = Klein()
    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        clock: Clock,
        flows: Iterable[Flow] = (),
        accounts: Iterable[Account] = (),
        applications: Iterable[Application] = (),
        outpost_tokens: Iterable[OutpostToken] = (),
    ) -> None:
        self._clock = clock
        self.accounts = Accounts((*ACCOUNTS, *accounts))
        self._ldap = LDAPBackend(clock, sources_of(self.accounts))
        served = (*FLOWS.values(), *REFUSING_FLOWS, *flows)
        self.flows: Mapping[str, Flow] = {flow.slug: flow for flow in served}
        self.executor = Executor(clock, self.accounts, self._ldap)
        self._applications = Applications((*APPLICATIONS.values(), *applications))
        self._outpost_tokens = OutpostTokens(clock, outpost_tokens)
        self.provider = Provider(clock, self.accounts, self.sessions, self._applications)
        self._directory_forms = DirectoryForms(self.accounts, self._ldap)
        self._oauth = OAuth(self.provider, self.sessions, self._applications, self._outpost_tokens)
        self._administration = Administration(self.accounts)
        self.traced: deque[tuple[str, str]] = deque(maxlen=MAX_TRACED)
        self.log.warn(
            "This is a SANDBOX in place of Authentik: its passwords are public. "
            "Never let real people log in here."
        )

    @property
    def resource(self) -> IResource:
        """The root of everything that is served."""
        resource: IResource = self.app.resource()
        return resource

    @property
    def directories(self) -> Mapping[str, Directory]:
        """The directories by slug."""
        return self._ldap.directories

    @property
    def sources(self) -> Mapping[str, Source]:
        """The LDAP sources by slug, in the order in which they are asked."""
        return self._ldap.sources

    @property
    def sessions(self) -> Sessions:
        """The session rows that are left, anonymous and authenticated."""
        return self.executor.sessions

    @property
    def events(self) -> list[Event]:
        """Logins and failures with the client's address, oldest first."""
        return self.executor.signals.events

    @property
    def authentications(self) -> list[Authentication]:
        """Every password check in a flow, oldest first."""
        return self.executor.signals.authentications

    @property
    def reputation(self) -> Counter[tuple[str, str]]:
        """Scores by user name and address."""
        return self.executor.signals.reputation

    @app.route("/api/v3/flows/executor/<slug>/", methods=["GET"])
    def flow_get(self, request: IRequest, slug: str) -> bytes:
        """Return the current challenge of the session."""
        flow, client = self._flow_of(slug), self._read_client(request)
        flow_request = self._flow_request(request, client)
        respond = self.executor.get if accepts_json(request) else self.executor.fail
        return self._answer(request, client, flow_request, respond(flow_request, flow))

    @app.route("/api/v3/flows/executor/<slug>/", methods=["POST"])
    async def flow_post(self, request: IRequest, slug: str) -> bytes:
        """Accept the response to a challenge."""
        data = read_object(request)
        flow, client = self._flow_of(slug), self._read_client(request)
        flow_request = self._flow_request(request, client)
        if data is None or not accepts_json(request):
            response = self.executor.fail(flow_request, flow)
        else:
            response = await _to_its_end(self.executor.post(flow_request, flow, data))
        return self._answer(request, client, flow_request, response)

    @app.route("/api/v3/core/users/me/", methods=["GET"])
    def me(self, request: IRequest) -> bytes:
        """Return the user who is logged in, 403 without a login."""
        token = read_bearer(request)
        if token is not None:
            return _token_user(request, token)
        client = self._read_client(request)
        row = self.sessions.find(client.cookie)
        if row is None or row.account is None:
            if row is None and client.cookie is not None:
                set_cookies(request, [session_deletion(client)])
            detail = "Authentication credentials were not provided."
            return send_json(request, 403, {"detail": detail}, allow=READ)
        set_cookies(request, [session_cookie(client, self.sessions, row)])
        return send_json(request, 200, {"user": _profile(row.account)}, allow=READ)

    @app.route("/api/v3/core/applications/<slug>/check_access/", methods=["GET"])
    def check_access(self, request: IRequest, slug: str) -> bytes:
        """Return whether the user may use an application; always true without a session."""
        row = self.sessions.find(self._read_client(request).cookie)
        application = self._applications.find(slug)
        if application is None:
            detail = "No Application matches the given query."
            return send_json(request, 404, {"detail": detail}, allow=READ)
        account = None if row is None else row.account
        passing = account is None or application.allows(account)
        answer = {"passing": passing, "messages": [], "log_messages": []}
        return send_json(request, 200, answer, allow=READ)

    @app.route("/api/v3/admin/", branch=True)
    @app.route("/api/v3/outposts/", branch=True)
    def administration(self, request: IRequest) -> IResource:
        """Leave it to what outposts may read."""
        return self._administration.resource

    @app.route("/api/v3/core/users/", methods=["GET"])
    def users(self, request: IRequest) -> bytes:
        """List the users that the outpost of a token can see."""
        return self._administration.users(request)

    @app.route("/api/v3/core/brands/current/", methods=["GET"])
    def brand(self, request: IRequest) -> bytes:
        """Return the brand, with the flow that browsers are sent to."""
        brand = {"matched_domain": "authentik-default", "flow_authentication": login.FLOW}
        return send_json(request, 200, brand, allow=READ)

    @app.route("/-/health/<kind>/", methods=["GET"])
    def health(self, request: IRequest, kind: str) -> bytes:
        """Return that the sandbox is alive and ready."""
        if kind not in ("live", "ready"):
            raise NotFound
        return send_html(request, 200)

    @app.route("/application/o/", branch=True)
    def oauth(self, request: IRequest) -> IResource:
        """Pass the request to the OAuth2 provider."""
        return self._oauth.resource

    @app.route("/if/flow/<slug>/", methods=["GET"])
    def login_page(self, request: IRequest, slug: str) -> bytes:
        """Show the login page. A user who is logged in is redirected."""
        flow = self._flow_of(slug)
        row = self.sessions.find(self._read_client(request).cookie)
        if row is not None and row.account is not None:
            return send_redirect(request, login.next_url(read_query(request).get("next")))
        return send_html(request, 200, pages.login(flow, ""))

    @app.route("/if/flow/<slug>/", methods=["POST"])
    async def log_in(self, request: IRequest, slug: str) -> bytes:
        """Log in: redirect to where the browser came from, or show the login page again."""
        flow, client = self._flow_of(slug), self._read_client(request)
        flow_request = self._flow_request(request, client)
        in_progress = login.log_in(self.executor, flow_request, flow, read_form(request))
        response = await _to_its_end(in_progress)
        self._set_cookies(request, client, flow_request, response)
        if flow_request.session.account is None:
            return send_html(request, 200, pages.login(flow, login.error_text(response.challenge)))
        return send_redirect(request, login.next_url(read_query(request).get("next")))

    @app.route("/sandbox/", branch=True)
    def directory_forms(self, request: IRequest) -> IResource:
        """Leave it to the forms of the directories."""
        return self._directory_forms.resource

    @app.route("/", methods=["GET"])
    def front(self, request: IRequest) -> bytes:
        """List users, directories, applications and flows."""
        page = pages.front(
            self.accounts,
            self._ldap,
            self.authentications,
            self._applications,
            self.flows.values(),
            self.traced,
            self._clock.seconds(),
        )
        return send_html(request, 200, page)

    @app.handle_errors(HTTPException)
    def refuse(self, request: IRequest, failure: Failure) -> bytes:
        """Answer with an error page, as Authentik does, which allows GET only."""
        error = failure.value
        if isinstance(error, MethodNotAllowed):
            writes = "POST" in (error.valid_methods or ())
            method = request.method.decode("latin-1")
            detail = f'Method "{method}" not allowed.'
            return send_json(
                request, 405, {"detail": detail}, allow=READ_AND_WRITE if writes else READ
            )
        return send_error(request, failure)

    def _read_client(self, request: IRequest) -> ClientInfo:
        """Return the client of a request, which is recorded if it belongs to a trace."""
        traceparent = request.getHeader("traceparent")
        if traceparent is not None:
            method, path = request.method.decode("latin-1"), request.path.decode("latin-1")
            self.traced.append((f"{method} {path}", traceparent))
        return read_client(request, self._outpost_tokens.valid())

    def _flow_of(self, slug: str) -> Flow:
        """Return the flow with this slug. Raises ``NotFound``."""
        if slug not in self.flows:
            raise NotFound
        return self.flows[slug]

    def _answer(
        self,
        request: IRequest,
        client: ClientInfo,
        flow_request: FlowRequest,
        response: FlowResponse,
    ) -> bytes:
        """Answer with a response of the executor, and with the cookies of the session."""
        self._set_cookies(request, client, flow_request, response)
        if response.logged_in is not None:
            request.setHeader("vary", "Cookie, Accept-Language")
        if response.challenge is None:
            return send_redirect(request, flow_request.rewritten, allow=READ_AND_WRITE)
        allow = None if response.early else READ_AND_WRITE
        return send_json(request, 200, response.challenge, allow=allow)

    def _flow_request(self, request: IRequest, client: ClientInfo) -> FlowRequest:
        """Return the request with the client's session, or with a new one."""
        row = self.sessions.find(client.cookie) or self.sessions.begin(client.address)
        self.sessions.touch(row, client.address)
        url = request.uri.decode("latin-1")
        path, _, query = url.partition("?")
        written = urlencode(dict(parse_qsl(query, keep_blank_values=True)))
        return FlowRequest(
            session=row,
            address=client.address,
            url=url,
            rewritten=f"{path}?{written}" if written else path,
            outpost=client.outpost,
            language=language(request),
        )

    def _set_cookies(
        self,
        request: IRequest,
        client: ClientInfo,
        flow_request: FlowRequest,
        response: FlowResponse,
    ) -> None:
        now = self._clock.seconds()
        set_cookies(
            request, flow_cookies(client, self.sessions, flow_request.session, response, now)
        )


def _to_its_end(work: DeferredCoroutine[T]) -> Deferred[T]:
    """Return the result of ``work``, which goes on if its client hangs up.

    Authentik finishes what it has begun: a password that it is checking is judged and recorded.
    """
    result: Deferred[T] = Deferred()
    Deferred.fromCoroutine(work).addBoth(result.callback)
    return result


class _InMemoryRequest(Request):
    """A request that keeps its body in memory: it may hold a password, so no temporary file."""

    def gotLength(self, length: int | None) -> None:
        """Receive the body into memory, however long it is."""
        self.content = BytesIO()


def sandbox_site(sandbox: Sandbox) -> Site:
    """Return a site that serves the sandbox and writes no access log."""
    return QuietSite(
        sandbox.resource, requestFactory=_InMemoryRequest, parsePOSTFormSubmission=False
    )


def _token_user(request: IRequest, token: str) -> bytes:
    """Answer ``users/me/`` with the service account of an API token."""
    names = {token: outpost.username for token, outpost in OUTPOSTS.items()}
    names[SERVICE_TOKEN] = "internal-svc"
    if token not in names:
        return refuse_token(request)
    user = {"pk": 0, "username": names[token], "type": "internal_service_account"}
    return send_json(request, 200, {"user": user}, allow=READ)


def _profile(account: Account) -> dict[str, object]:
    """Return a user as in ``users/me/``."""
    return {
        "pk": account.pk,
        "username": account.username,
        "name": account.name,
        "is_active": account.active,
        "is_superuser": False,
        "groups": [{"name": group.name, "pk": group.pk} for group in account.groups],
        "roles": [],
        "email": account.email,
        "avatar": "/static/dist/assets/images/user_default.png",
        "uid": account.uid,
        "settings": {},
        "type": "internal",
        "system_permissions": [],
    }
