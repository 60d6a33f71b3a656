"""Predictors that let another engine compute, by the Open Inference Protocol over HTTP."""

import asyncio
import ssl
import time
from collections.abc import Coroutine, Iterable, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx2

from serinus.core.answers import Answer
from serinus.core.endpoint import Endpoint, check_allowed, token_for
from serinus.core.errors import BadOutput, ModelError, ModelTimeout, Overloaded, Unavailable
from serinus.core.records import ModelVersion
from serinus.core.signature import Row
from serinus.core.work import Work
from serinus.ports import Settle
from serinus.predictors.inference import answers_of, refusal_of, request_of
from serinus.predictors.pace import Pace

READY_PATIENCE_S = 5.0
"""How long an engine may take to be ready for a model that is started here."""
LOOK_S = 0.25
ANSWER_BYTES, ROW_BYTES, LARGEST_ANSWER = 65_536, 32_768, 16_777_216
"""Bytes of an engine's answer, at most: so many and so many more for each row, and never more than the last.

It is read on the event loop, where a canary's garbage must not hold up what the baseline answers.
"""
IDLE_S = 3.0
"""How long a connection is kept for the next request: less than the 5 s after which many servers close it."""


class RemotePredictors:
    """Makes predictors for endpoints at the places that an operator allows.

    Args:
        places: hosts, HOST:PORT or beginnings of URLs.
        concurrency: of each version: how many requests are under way at once.
        queue: of each version: how many requests may wait for that.
        tokens: places, and what engines there are shown as a bearer token.
    """

    def __init__(
        self,
        places: Iterable[str],
        concurrency: int = 32,
        queue: int = 4096,
        patience_s: float = READY_PATIENCE_S,
        tokens: Iterable[tuple[str, str]] = (),
    ) -> None:
        self._places = tuple(places)
        self._concurrency = concurrency
        self._queue = queue
        self._patience_s = patience_s
        self._tokens = tuple(tokens)

    async def start(self, version: ModelVersion, artifact: bytes) -> "RemotePredictor":
        """Wait until the engine is ready for the model.

        Raises:
            FormatRefused: the artifact is no endpoint, or not one that is allowed here. InvalidInput: it does not fit
            the signature. Unavailable: the engine is not there, or not ready for the model.
        """
        endpoint = Endpoint.decoded(artifact)
        check_allowed(endpoint, self._places)
        endpoint.check_fits(version.signature)
        token = token_for(endpoint.path, self._tokens)
        predictor = RemotePredictor(version, endpoint, token, concurrency=self._concurrency, queue=self._queue)
        try:
            await predictor.wait_until_ready(self._patience_s)
        except BaseException:
            predictor.close()
            raise
        return predictor


class RemotePredictor:
    """Answers with what an engine computes; its failures, and its absence, are the model's."""

    def __init__(
        self, version: ModelVersion, endpoint: Endpoint, token: str = "", *, concurrency: int, queue: int
    ) -> None:
        self._version = version
        self._endpoint = endpoint
        self._bound = queue
        self._slots = asyncio.Semaphore(concurrency)
        self._concurrency = concurrency
        self._pace = Pace()
        self._waiting = 0
        self._pending = 0
        self._closed = False
        self._release: asyncio.Task[None] | None = None
        self.work = Work()
        self._http = httpx2.AsyncClient(
            headers={"accept-encoding": "identity"} | ({"authorization": f"Bearer {token}"} if token else {}),
            # With the system's authorities, since nothing else is read from the environment.
            verify=ssl.create_default_context() if endpoint.url.startswith("https:") else False,
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # none, however many an engine sets
            follow_redirects=False,
            timeout=None,  # each call has a deadline of its own
            limits=httpx2.Limits(
                max_connections=concurrency, max_keepalive_connections=concurrency, keepalive_expiry=IDLE_S
            ),
        )

    @property
    def version(self) -> ModelVersion:
        """The version it answers for."""
        return self._version

    async def predict(self, row: Row, timeout_s: float) -> Answer:
        """Answer for one row in training order; see ``predict_rows``."""
        return (await self.predict_rows([row], timeout_s))[0]

    def ask(self, rows: Sequence[Row], timeout_s: float, settle: Settle) -> "_Errand":
        """Ask for rows in training order; ``settle`` is told what ``predict_rows`` gives or raises."""
        return _Errand(self.predict_rows(rows, timeout_s), settle)

    def yield_to_others(self, yes: bool) -> None:  # noqa: FBT001 - the port's one question
        """Do nothing: the engine has a processor of its own."""

    async def predict_rows(self, rows: Sequence[Row], timeout_s: float) -> list[Answer]:
        """Answer for rows in training order, all in one request, within ``timeout_s`` seconds from now.

        Raises:
            ModelError: the engine refused, failed, or is not there. ModelTimeout: no answer in time, waiting included.
            BadOutput: its answer is none. Overloaded: the queue is full, or would take too long; nothing was begun.
            Unavailable: closed.
        """
        if not rows:
            return []
        if self._closed:
            raise Unavailable(f"{self._version.ref} is no longer loaded here.", remedy="Send the request again.")
        if self._slots.locked() and (
            self._waiting >= self._bound or self._pace.is_too_slow(self._waiting + 1, timeout_s)
        ):
            raise Overloaded(
                f"{self._version.ref} has {self._waiting} requests waiting: more than it answers in time.",
                remedy="Try again shortly; with a larger SERINUS_REMOTE_CONCURRENCY the engine is asked more at once.",
            )
        self._pending += 1
        begun = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                data = await self._asked(request_of(self._endpoint, rows), ANSWER_BYTES + ROW_BYTES * len(rows))
        except TimeoutError as late:
            raise ModelTimeout(
                f"{self._version.ref} at {self._endpoint.path} did not answer after {timeout_s * 1000:g} ms.",
                remedy="Use a faster engine, or a longer timeout.",
            ) from late
        finally:
            self._pending -= 1
            self._release_if_idle()
            self.work.requests += 1
            self.work.batches += 1
            self.work.took_s += time.monotonic() - begun
        return answers_of(self._endpoint, data, self._version.signature.output, len(rows))

    async def wait_until_ready(self, patience_s: float) -> None:
        """Return when the engine says that the model is ready; Unavailable if it does not in time."""
        said = "it did not answer"
        try:
            async with asyncio.timeout(patience_s):
                while True:
                    said = await self._unready()
                    if not said:
                        return
                    await asyncio.sleep(LOOK_S)
        except TimeoutError as late:
            raise Unavailable(
                f"{self._version.ref} is not ready at {self._endpoint.path}: {said} ({patience_s:g} s long).",
                field="version",
                remedy="Start the engine with this model, and see that this machine reaches it.",
            ) from late

    def close(self) -> None:
        """Give the connections back when the requests under way are answered or out of time."""
        self._closed = True
        self._release_if_idle()

    # --------------------------------------------------------------------------------------------------

    async def _unready(self) -> str:
        """Say why the model is not ready, "" if it is."""
        try:
            answer = await self._http.get(f"{self._endpoint.path}/ready", timeout=READY_PATIENCE_S)
        except httpx2.HTTPError as trouble:
            return _said(trouble)
        if answer.is_success:
            return ""
        return f"HTTP {answer.status_code} {refusal_of(answer.content)}".strip()

    async def _asked(self, body: bytes, most: int) -> bytes:
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        begun = time.monotonic()
        try:
            try:
                data = await self._posted(body, most)
            except (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError):
                data = await self._posted(body, most)  # the engine may have closed a connection that was kept
            if self._waiting:
                self._pace.note((time.monotonic() - begun) / self._concurrency)
            return data  # noqa: TRY300 - what else happens is told below
        except httpx2.HTTPError as trouble:
            raise ModelError(
                f"{self._version.ref} could not be asked at {self._endpoint.path}: {_said(trouble)}."
            ) from trouble
        finally:
            self._slots.release()

    async def _posted(self, body: bytes, most: int) -> bytes:
        most = min(most, LARGEST_ANSWER)
        url, headers = f"{self._endpoint.path}/infer", {"content-type": "application/json"}
        async with self._http.stream("POST", url, content=body, headers=headers) as answer:
            data = bytearray()
            async for part in answer.aiter_raw():
                data += part
                if len(data) > most:
                    raise BadOutput(f"{self._endpoint.path} answered with more than {most} bytes.")
        if not answer.is_success:
            raise ModelError(
                f"{self._version.ref} failed at {self._endpoint.path}: HTTP {answer.status_code} "
                f"{refusal_of(bytes(data))}".rstrip()
            )
        return bytes(data)

    def _release_if_idle(self) -> None:
        if self._closed and not self._pending and self._release is None:
            self._release = asyncio.get_running_loop().create_task(self._http.aclose(), name="close an engine's client")


class _Errand:
    """A request under way to an engine."""

    def __init__(self, work: Coroutine[Any, Any, list[Answer]], settle: Settle) -> None:
        self._settle = settle
        self._task = asyncio.get_running_loop().create_task(work)
        self._task.add_done_callback(self._end)

    def withdraw(self) -> None:
        """End it."""
        self._task.cancel()

    def _end(self, task: asyncio.Task[list[Answer]]) -> None:
        if not task.cancelled():
            failure = task.exception()
            if failure is not None and not isinstance(failure, Exception):
                raise failure
            self._settle(task.result() if failure is None else failure)


def _said(trouble: Exception) -> str:
    return f"{type(trouble).__name__}: {trouble}".rstrip(": ")
