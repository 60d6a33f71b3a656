"""The client for programs that wait for an answer: sends the calls of ``serinus.client.calls`` over HTTP."""

import os
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2

from serinus.client import calls
from serinus.client.answers import read_answer
from serinus.client.calls import About, Call, Document, Packing, Registration
from serinus.client.errors import UnreachableError
from serinus.core.errors import InvalidInput
from serinus.core.names import VersionRef
from serinus.core.records import Package

DEFAULT_URL = "http://127.0.0.1:8000"
ACTOR_HEADER = "X-Serinus-Actor"
KEY_HEADER = "Idempotency-Key"
ACTOR_LENGTH = 100
CONNECT_TIMEOUT_S = 5.0


class DocumentClient:
    """Speaks to one server; to be closed, or used in a ``with`` block.

    Args:
        base_url: where the server is; by default what SERINUS_URL says, else http://127.0.0.1:8000.
        actor: on whose behalf; it stands in the history of all that is done.
        timeout: seconds to wait for an answer. A command that loads a model takes a while.

    Every method returns the API's document as it came, and raises ApiError (NotFoundError, ConflictError,
    InvalidError), UnreachableError or UnexpectedAnswerError. Where a method takes ``expected_generation``,
    the command is refused with ConflictError if somebody else has changed the deployment since then.
    """

    def __init__(self, base_url: str | None = None, *, actor: str = "", timeout: float = 60.0) -> None:
        self.base_url = _checked_url(os.environ.get("SERINUS_URL", DEFAULT_URL) if base_url is None else base_url)
        self._timeout = timeout
        self._http = httpx2.Client(
            base_url=self.base_url,
            headers=[(ACTOR_HEADER, _header_value(actor))] if actor else [],
            timeout=httpx2.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT_S)),
            # A proxy that is set for the world must not be asked for this machine.
            trust_env=not _is_loopback(self.base_url),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()

    def send(self, call: Call, *, key: str | None = None) -> Document:
        """Send one call and read its answer.

        A command is sent under ``key``, by default one of its own: the server carries out a command once, however often
        it comes under the same key. So where the connection breaks before the answer is there, it is sent again.
        """
        headers = {KEY_HEADER: key or uuid4().hex} if call.takes_key else {}
        try:
            try:
                answer = self._request(call, headers)
            except (httpx2.NetworkError, httpx2.RemoteProtocolError) as broken:
                if isinstance(broken, httpx2.ConnectError) or not (headers or call.method == "GET"):
                    raise
                answer = self._request(call, headers)
        except (TypeError, ValueError) as error:
            raise InvalidInput(
                f"What was given cannot be sent as JSON: {error}.",
                field="body",
                remedy="Give finite numbers, whole characters, true, false, null, and lists and mappings of them.",
            ) from error
        except httpx2.ConnectError as error:
            raise UnreachableError(
                f"There is no Serinus server at {self.base_url} ({_cause(error)}).",
                remedy="Start one with `canary serve`, or say where it is with --url or SERINUS_URL.",
            ) from error
        except httpx2.TimeoutException as error:
            raise UnreachableError(self._too_late(call, error), remedy=_doubt(call)) from error
        except httpx2.RequestError as error:
            raise UnreachableError(
                f"The connection to {self.base_url} broke: {_cause(error)}.", remedy=_doubt(call)
            ) from error
        content_type = answer.headers.get("content-type", "")
        return read_answer(call, self.base_url, answer.status_code, content_type, answer.content)

    def _request(self, call: Call, headers: Mapping[str, str]) -> httpx2.Response:
        return self._http.request(
            call.method, call.path, params=list(call.params), json=call.json, content=call.content, headers=headers
        )

    def _too_late(self, call: Call, error: httpx2.TimeoutException) -> str:
        if isinstance(error, httpx2.ConnectTimeout):
            return f"{self.base_url} did not accept a connection within {CONNECT_TIMEOUT_S:g} s."
        return f"{self.base_url} did not answer {call.method} {call.path} within {self._timeout:g} s."

    # -- the server ----------------------------------------------------------------------------------

    def server_health(self) -> Document:
        return self.send(calls.server_health())

    # -- models --------------------------------------------------------------------------------------

    def models(self) -> Document:
        return self.send(calls.models())

    def versions(self, model: str) -> Document:
        return self.send(calls.versions(model))

    def version(self, ref: VersionRef) -> Document:
        return self.send(calls.version(ref))

    def register(self, model: object, name: str, **given: Unpack[Registration]) -> Document:
        """Pack a model and register it under ``name`` as its next version.

        Args:
            model: a fitted scikit-learn estimator, an ONNX model, or the path of a saved one.
            name: the model's name.
            given: see ``Registration``; at least ``data`` (and ``target``) or ``signature``.
        """
        from serinus.formats.packing import pack

        package = pack(model, **_part(given, Packing))
        return self.register_package(name, package, **_part(given, About))

    def register_file(self, name: str, path: Path | str, **given: Unpack[Registration]) -> Document:
        """Register a saved model; see ``register``."""
        return self.register(Path(path), name, **given)

    def register_package(self, name: str, package: Package, **about: Unpack[About]) -> Document:
        """Send the artifact, then register it as the next version of ``name``."""
        stored = self.send(calls.put_artifact(package.data))
        return self.send(calls.create_version(name, str(stored.get("digest")), package, about))

    # -- deployments ---------------------------------------------------------------------------------

    def deployments(self) -> Document:
        return self.send(calls.deployments())

    def deployment(self, name: str) -> Document:
        return self.send(calls.deployment(name))

    def deploy(
        self,
        name: str,
        baseline: VersionRef,
        settings: Mapping[str, object] | None = None,
        *,
        reason: str | None = None,
    ) -> Document:
        """Serve ``baseline`` under a new name; ``settings`` that are not given have their defaults."""
        return self.send(calls.create_deployment(name, baseline, settings or {}, reason))

    def configure(
        self,
        name: str,
        settings: Mapping[str, object],
        *,
        reason: str | None = None,
        expected_generation: int | None = None,
    ) -> Document:
        """Change the settings that are given; the others stay."""
        return self.send(calls.configure(name, settings, reason=reason, expected_generation=expected_generation))

    def start(
        self,
        name: str,
        version: int,
        weight: float | None = None,
        *,
        model: str = "",
        plan: str | Mapping[str, object] | None = None,
        replace: bool = False,
        **why: Any,
    ) -> Document:
        """Start a canary with ``weight`` percent, or by ``plan``; ``model`` is the baseline's if it is not given.

        A plan is the name of one that is there from the start, or a plan's document. ``replace``: a canary under way is
        rolled back first.
        """
        return self.send(calls.start(name, version, weight, model=model, plan=plan, replace=replace, **why))

    def set_weight(
        self, name: str, weight: float, *, reason: str | None = None, expected_generation: int | None = None
    ) -> Document:
        """Give the canary ``weight`` percent of the traffic."""
        return self.send(calls.set_weight(name, weight, reason=reason, expected_generation=expected_generation))

    def pause(self, name: str, **why: Any) -> Document:
        return self._command(name, "pause", **why)

    def resume(self, name: str, **why: Any) -> Document:
        return self._command(name, "resume", **why)

    def approve(self, name: str, **why: Any) -> Document:
        """Give a person's word for the step that the plan waits at."""
        return self._command(name, "approve", **why)

    def promote(self, name: str, **why: Any) -> Document:
        return self._command(name, "promote", **why)

    def rollback(self, name: str, **why: Any) -> Document:
        return self._command(name, "rollback", **why)

    def undo(self, name: str, **why: Any) -> Document:
        return self._command(name, "undo", **why)

    def _command(
        self, name: str, verb: str, *, reason: str | None = None, expected_generation: int | None = None
    ) -> Document:
        return self.send(calls.command(name, verb, reason=reason, expected_generation=expected_generation))

    # -- what happened -------------------------------------------------------------------------------

    def rollouts(self, name: str) -> Document:
        return self.send(calls.rollouts(name))

    def events(
        self,
        name: str,
        *,
        after: int = 0,
        limit: int = 100,
        newest_first: bool = False,
        kinds: Iterable[str] = (),
    ) -> Document:
        """List events; ``after`` is the id of the last one already seen (before, if newest first)."""
        return self.send(calls.events(name, after=after, limit=limit, newest_first=newest_first, kinds=kinds))

    def health(self, name: str) -> Document:
        return self.send(calls.health(name))

    def metrics(self, name: str) -> Document:
        return self.send(calls.metrics(name))

    def explain(self, name: str, rollout: str = "") -> Document:
        """Ask for the decisions of a rollout, each with what it rested on; by default of the active or last one."""
        return self.send(calls.explain(name, rollout))

    def looks(self, name: str, rollout: int, *, limit: int = 500) -> Iterator[Document]:
        """Give all looks at a rollout, oldest first, page by page."""
        after = 0
        while True:
            page = self.send(calls.looks(name, rollout, after=after, limit=limit))
            yield page
            following = page.get("next")
            if not isinstance(following, int) or following <= after:
                return
            after = following

    def forecast(
        self,
        name: str,
        *,
        weights: Iterable[float] = (),
        rate: float | None = None,
        plan: str = "",
        steps: Iterable[tuple[float, float]] = (),
    ) -> Document:
        """Ask how long canaries at these shares (percent) would take; ``rate`` is in requests per second.

        ``plan`` names a plan that is there from the start, ``steps`` are another's shares and its pauses in seconds.
        """
        return self.send(calls.forecast(name, weights, rate, plan=plan, steps=steps))

    # -- predictions ---------------------------------------------------------------------------------

    def predict(self, name: str, features: Mapping[str, object], *, entity_id: str | None = None) -> Document:
        return self.send(calls.predict(name, features, entity_id))


def _part(given: Registration, kind: type) -> Any:
    return {name: value for name, value in given.items() if name in kind.__annotations__}


def _checked_url(url: str) -> str:
    wrong = InvalidInput(
        f"{url!r} is not the URL of a server.",
        field="url",
        remedy=f"Write it like {DEFAULT_URL} (--url, or SERINUS_URL).",
    )
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        httpx2.URL(url)
    except (ValueError, httpx2.InvalidURL):
        raise wrong from None
    if not usable:
        raise wrong
    return url.rstrip("/")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _header_value(text: str) -> str:
    printable = "".join(c if c.isprintable() else "?" for c in text)
    return printable.encode("ascii", "backslashreplace").decode("ascii")[:ACTOR_LENGTH]


def _cause(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


def _doubt(call: Call) -> str:
    if call.changes_something:
        return "It may have been done all the same: look with `canary status` before you try again."
    return "Try again."
