"""The shortest way of a prediction: from the HTTP parser to the gateway, without ASGI, tasks or coroutines.

uvicorn's own protocol serves every connection. A POST of one row to /predict/{deployment} that arrived whole and is
well formed is answered here; any other request goes on as it always does, through ``http.predict`` and FastAPI.
"""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serinus.core.errors import SerinusError
from serinus.gateway import Gateway, Request, Served, prediction_of
from serinus.http import problems
from serinus.http.guard import is_local
from serinus.http.hot_plan import Misfit, Plan, planned

PREFIX = b"/predict/"
STATE = "hot predictions"
"""Under which a server's lifespan hands the route to its connections."""
_MOST_NAMES = 1024
_MOST_HEADS = 1024
_LONGEST_HEAD = 2048
"""Bytes of a head that is worth remembering."""
_ELSEWHERE = frozenset(
    {b"origin", b"transfer-encoding", b"content-encoding", b"expect", b"upgrade", b"sec-fetch-site", b"trailer"}
)
"""Headers with which a request takes the long way."""
_JSON = b"content-type: application/json\r\ncontent-length: "
_ENDS = [b"%d\r\n\r\n" % length for length in range(1024)]
"""How the head of an answer ends: the length of its body, the end of the line, an empty line."""
_CLOSES = b"\r\nconnection: close\r\n\r\n"
_encode = msgspec.json.Encoder().encode


class Head(NamedTuple):
    """What a request's head said when it was parsed, for the requests whose heads are the same to the byte.

    Attributes:
        url: which deployment is asked. length: bytes of the body. canary: ``X-Canary``, if sent.
    """

    url: bytes
    length: int
    canary: str | None


class HotRoute:
    """What all connections of a server need to answer predictions.

    Args:
        gateway: answers. max_bytes: the largest body. loopback_only: whether requests have to name this machine.
        ending: says whether the server is about to end.
    """

    def __init__(
        self, gateway: Gateway, max_bytes: int, *, loopback_only: bool, ending: Callable[[], bool] = lambda: False
    ) -> None:
        self._begin = gateway.begin
        self._find = gateway.find
        self._max_bytes = max_bytes
        self._loopback_only = loopback_only
        self._ending = ending
        self._names: dict[bytes, str] = {}
        self._hosts: set[bytes] = set()
        self._heads: dict[bytes, Head] = {}
        self.head = self._heads.get
        """Gives what a head said that was here before, without the empty line at its end; None for any other."""
        self._plans: dict[str, tuple[Served, Plan | None]] = {}

    def takes(self, url: bytes, headers: list[tuple[bytes, bytes]]) -> bool:
        """Say whether a POST can be answered here, as far as its head tells."""
        host: bool | None = None if self._loopback_only else True
        for name, value in headers:
            if name == b"host":
                host = self._is_here(value) if host is None else host  # the first one, if there are more
            elif name == b"content-length":
                if int(value) > self._max_bytes:
                    return False
            elif name in _ELSEWHERE:
                return False
        return bool(host) and (url in self._names or (self._is_name(url) and not self._ending()))

    def remember(self, data: bytes, end: int, head: Head | None) -> None:
        """Spare the next request with the same head its parsing, where this one is all that came.

        Args:
            data: what came. end: where its head ends. head: of the last request in it that went the short way, if any.
        """
        if head is not None and len(data) == end + 4 + head.length and end <= _LONGEST_HEAD:
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            self._heads[data[:end]] = head

    def begin(self, url: bytes, body: bytes, header: str | None, settle: Callable[[Request], None]) -> bool:
        """Begin to answer a request; False, and nothing done, where it has to take the long way."""
        name = self._names.get(url)
        if name is None:
            return False
        served = self._find(name)
        if served is None or self._ending():
            return False
        known = self._plans.get(name)
        plan = known[1] if known is not None and known[0] is served else self._planned(name, served, known)
        if plan is None:
            return False
        try:
            row, entity_id = plan.read(body)
        except Misfit:
            return False
        self._begin(served, row, entity_id, header, settle)
        return True

    def _planned(self, name: str, served: Served, known: tuple[Served, Plan | None] | None) -> Plan | None:
        version = served.baseline.predictor.version
        if (
            known is not None
            and known[0].baseline.predictor.version is version
            and _looks_up(known[0]) == _looks_up(served)
        ):
            plan = known[1]
        else:
            plan = None if _looks_up(served) else planned(version.signature)
        self._plans[name] = served, plan
        return plan

    def _is_name(self, url: bytes) -> bool:
        name = url[len(PREFIX) :]
        if not name or not name.isascii() or any(mark in name for mark in (b"/", b"%", b"?", b"#", b";")):
            return False
        if len(self._names) >= _MOST_NAMES:
            self._names.clear()
            self._heads.clear()  # a head is as good as the name that it leads to
        self._names[url] = name.decode()
        return True

    def _is_here(self, host: bytes) -> bool:
        if host in self._hosts:
            return True
        here = is_local(str(host, "latin-1"))
        if here and len(self._hosts) < _MOST_NAMES:
            self._hosts.add(host)
        return here


def _looks_up(served: Served) -> bool:
    return bool(served.state.settings.feature_service)


class _Nothing:
    """An event that nobody waits for."""

    def set(self) -> None:
        """Do nothing."""


_NOTHING: Any = _Nothing()


class _Cycle:
    """The request of a connection that is under way, with what uvicorn's protocol looks at in its own.

    A connection has one for all of its requests, since it has one request at a time.
    """

    __slots__ = ("__weakref__", "connection", "disconnected", "keep_alive", "message_event", "response_complete", "url")

    def __init__(self, connection: "HotProtocol") -> None:
        self.connection: HotProtocol | None = connection
        self.url = b""
        self.keep_alive = True
        self.response_complete = True
        self.disconnected = False
        self.message_event = _NOTHING

    def settle(self, request: Request) -> None:
        """Send the answer, once."""
        connection = self.connection
        if connection is None or self.response_complete:
            return
        try:
            prediction = prediction_of(request)
        except SerinusError as error:
            self._refuse(connection, error)
        except Exception as unexpected:  # noqa: BLE001 - whatever it is, the caller gets a problem document
            self._refuse(connection, problems.explained(unexpected, self.url.decode()))
        else:
            connection.respond(self, _OK, _JSON, _encode(prediction))

    def let_go(self) -> None:
        """Forget the connection, which is lost: they know each other, and nothing else frees them soon."""
        self.connection = None

    def _refuse(self, connection: "HotProtocol", error: SerinusError) -> None:
        path = self.url.decode()
        lines = [f"{name}: {value}\r\n" for name, value in problems.headers(error).items()]
        head = f"content-type: {problems.MEDIA_TYPE}\r\n{''.join(lines)}content-length: "
        status = STATUS_LINE[problems.status_of(error)]
        connection.respond(self, status, head.encode(), problems.encoded(error, path))


_OK = STATUS_LINE[200]


class HotProtocol(HttpToolsProtocol):
    """A connection."""

    cycle: Any
    _hot = False
    _parsing = False
    """Whether the parser is within a message."""
    _parsed: Head | None = None
    """The head of the request that went the short way last, if the parser read it from its beginning to its end."""
    _misfit = False
    """Whether what is parsed was found to be for the long way already."""
    _body = b""
    _idle_since = 0.0
    _idle_timer: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._route: HotRoute | None = self.app_state.get(STATE)
        self._own_cycle = _Cycle(self)
        self._defaults: Any = None
        self._default_lines = b""

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        super().connection_lost(exc)
        self._own_cycle.let_go()

    def data_received(self, data: bytes) -> None:
        """Parse; a request of which there is more to come takes the long way."""
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        self._idle_since = 0.0
        end = -1
        if not self._parsing and self._route is not None:
            end = data.find(b"\r\n\r\n")
            known = self._route.head(data[:end]) if end >= 0 else None
            if known is not None and len(data) == end + 4 + known.length and self._is_free():
                if self._is_begun(known, data[end + 4 :], keep_alive=True):
                    return
                self._misfit = True
        self._parsed = None
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                self._unsupported_upgrade_warning()
        except httptools.HttpParserError:
            msg = "Invalid HTTP request received."
            self.logger.warning(msg)
            self.send_400_response(msg)
            return
        self._misfit = False
        if self._hot:
            self._take_the_long_way()
        elif self._route is not None and end >= 0:
            self._route.remember(data, end, self._parsed)

    def _is_free(self) -> bool:
        """Say whether the next request can be begun: no other one is, and the answers are read."""
        return (self.cycle is None or self.cycle.response_complete) and not self.flow.write_paused

    # ---------------------------------------------------------------------------------- parser callbacks

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._hot = False
        self._parsing = True
        self._parsed = None

    def on_headers_complete(self) -> None:
        """Choose the way."""
        parser, route = self.parser, self._route
        if (
            route is not None
            and not self._misfit
            and self.url.startswith(PREFIX)
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and self._is_free()
            and route.takes(self.url, self.headers)
        ):
            self._hot, self._body = True, b""
        else:
            self._go_on()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if self._hot:
            self._body = self._body + body if self._body else body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Answer, or let the long way answer."""
        self._parsing = False
        if not self._hot:
            super().on_message_complete()
            return
        canary = next((str(value, "latin-1") for name, value in self.headers if name == b"x-canary"), None)
        head, keep_alive = Head(self.url, len(self._body), canary), self.parser.should_keep_alive()
        if self._is_begun(head, self._body, keep_alive=keep_alive):
            self._hot = False
            self._parsed = head if keep_alive else None
            return
        self._take_the_long_way()
        super().on_message_complete()

    def _is_begun(self, head: Head, body: bytes, *, keep_alive: bool) -> bool:
        """Begin to answer; False, and nothing done, where that has to be done the long way."""
        if self._route is None:
            return False
        cycle, before = self._own_cycle, self.cycle
        cycle.url, cycle.keep_alive, cycle.response_complete = head.url, keep_alive, False
        self.cycle = cycle
        if self._route.begin(head.url, body, head.canary, cycle.settle):
            return True
        cycle.response_complete = True
        self.cycle = before
        return False

    def _take_the_long_way(self) -> None:
        self._hot = False
        self._go_on()
        if self._body:
            super().on_body(self._body)
            self._body = b""

    def _go_on(self) -> None:
        """Do what uvicorn does when the head of a request is there."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        super().on_headers_complete()

    # ------------------------------------------------------------------------------------------- answers

    def respond(self, cycle: _Cycle, status: bytes, head: bytes, body: bytes) -> None:
        """Send a whole answer: its status line, and header lines that end before the length of the body."""
        state = self.server_state
        if state.default_headers is not self._defaults:
            self._defaults = state.default_headers
            self._default_lines = b"".join([b"%b: %b\r\n" % each for each in self._defaults])
        length = len(body)
        cycle.response_complete = True
        if cycle.keep_alive:
            ending = _ENDS[length] if length < len(_ENDS) else b"%d\r\n\r\n" % length
            self.transport.write(b"".join((status, self._default_lines, head, ending, body)))
        else:
            ending = b"%d%b" % (length, _CLOSES)
            self.transport.write(b"".join((status, self._default_lines, head, ending, body)))
            self.transport.close()
        if self.pipeline:
            self.on_response_complete()
            return
        state.total_requests += 1
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._close_idle)

    def _close_idle(self) -> None:
        """Close the connection if it has been idle for long enough, else look again when it may have been.

        One timer looks after many requests; uvicorn sets and cancels one for each.
        """
        self._idle_timer = None
        if self.transport.is_closing() or self.timeout_keep_alive_task is not None:
            return
        idle_s = self.loop.time() - self._idle_since if self._idle_since else 0.0
        if idle_s >= self.timeout_keep_alive:
            self.transport.close()
        else:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive - idle_s, self._close_idle)
