"""Sets back in MLflow what became of versions that came from there, by aliases (champion, challenger) and tags."""

import base64
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

import httpx2

from serinus.core.errors import NotificationRefused, Unavailable
from serinus.core.events import Event, EventKind
from serinus.core.names import VersionRef
from serinus.core.origin import Origin, bare_address
from serinus.core.records import ModelVersion, RecordedEvent
from serinus.notify.posting import named

API = "/api/2.0/mlflow/"
LARGEST_ANSWER = 8 * 2**20
GENERATION = "serinus.generation."
"""What the tag of a registered model begins with that says up to where its aliases tell a deployment's story."""
_NOT_IN_ALIASES = re.compile(r"[^\w-]", re.ASCII)
_FOR_NOW = {
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}
"""Answers that may be others when somebody has looked after it."""

Versions = Callable[[VersionRef], Awaitable[ModelVersion | None]]


@dataclass(frozen=True, slots=True)
class Names:
    """The aliases; ``{deployment}`` in one stands for the deployment's name."""

    champion: str = "champion"
    challenger: str = "challenger"

    def of(self, deployment: str) -> Self:
        """Give the aliases of one deployment; what no alias may hold becomes a dash."""
        name = _NOT_IN_ALIASES.sub("-", deployment)
        return type(self)(*(each.replace("{deployment}", name) for each in (self.champion, self.challenger)))


def access(environment: Mapping[str, str]) -> dict[str, str]:
    """Give the headers by which we are let in, from what MLflow's own client reads: user and password, or a token."""
    user, token = environment.get("MLFLOW_TRACKING_USERNAME", ""), environment.get("MLFLOW_TRACKING_TOKEN", "")
    if user:
        both = f"{user}:{environment.get('MLFLOW_TRACKING_PASSWORD', '')}"
        return {"authorization": f"Basic {base64.b64encode(both.encode()).decode()}"}
    return {"authorization": f"Bearer {token}"} if token else {}


@dataclass(frozen=True, slots=True)
class _Story:
    """What an event tells: who is the champion now and who was, who is the challenger, and who is none any more.

    ``about`` is the version that gets tags, with ``status`` among them.
    """

    about: str
    status: str
    champion: str = ""
    dethroned: str = ""
    challenger: str = ""
    withdrawn: str = ""


def _story(event: Event) -> _Story:
    data = {name: str(value) for name, value in event.data.items()}
    if event.kind is EventKind.CANARY_STARTED:
        return _Story(data["canary"], "canary", challenger=data["canary"])
    if event.kind is EventKind.PROMOTED:
        new, old = data["to"], data["from"]
        return _Story(new, "promoted", champion=new, dethroned=old, withdrawn=new)
    if event.kind is EventKind.PROMOTION_UNDONE:
        return _Story(data["from"], "undone", champion=data["to"], dethroned=data["from"])
    undone = data.get("promotion") == "undone"
    return _Story(
        data["canary"],
        "rolled_back",
        champion=data["baseline"] if undone else "",
        dethroned=data["canary"] if undone else "",
        withdrawn=data["canary"],
    )


class MLflowAliases:
    """Tells an MLflow registry which of its versions serve.

    It speaks MLflow's REST API itself: a server needs no library for that, and a deadline ends what it asks for.
    What it sets says what a deployment's newest event says, however often and however late it is told: an alias that
    somebody moved elsewhere is not taken away, and a tag on the registered model keeps the generation that was told.

    Args:
        http: to ask with. url: of the tracking server. identity: of the store: generations of another say nothing.
        versions: finds a model version; those that were not imported from that server are passed over.
        names: of the aliases. headers: by which we are let in.
    """

    kinds = frozenset({EventKind.CANARY_STARTED, EventKind.PROMOTED, EventKind.ROLLED_BACK, EventKind.PROMOTION_UNDONE})

    def __init__(
        self,
        http: httpx2.AsyncClient,
        url: str,
        identity: str,
        versions: Versions,
        names: Names | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.name = named("mlflow", url)
        self._http = http
        self._url = url.rstrip("/")
        self._server = bare_address(url)
        self._identity = identity
        self._versions = versions
        self._names = names or Names()
        self._headers = dict(headers or {})

    async def notify(self, events: Sequence[RecordedEvent]) -> None:
        """Set what each event tells.

        Raises:
            Unavailable: the server does not answer, or lets nobody in. NotificationRefused: it will not do it.
        """
        for recorded in events:
            await self._tell(recorded.event)

    async def _tell(self, event: Event) -> None:
        story = _story(event)
        origins = {ref: await self._origin(ref) for ref in {story.about, story.champion, story.dethroned} - {""}}
        models = {origin.model for origin in origins.values() if origin is not None}
        for name in sorted(models):
            await self._set(name, story, event, origins)

    async def _origin(self, ref: str) -> Origin | None:
        """Find where a version came from; None where it is not from that registry."""
        version = await self._versions(VersionRef.parse(ref))
        origin = None if version is None else Origin.of(version.draft.tags)
        return origin if origin and origin.server == self._server and origin.model and origin.version else None

    async def _set(self, name: str, story: _Story, event: Event, origins: Mapping[str, Origin | None]) -> None:
        """Set the aliases and tags of one registered model."""
        model = (await self._asked("GET", "registered-models/get", {"name": name})).get("registered_model", {})
        if self._has_heard_later(model, event):
            return
        there = {each["alias"]: str(each["version"]) for each in model.get("aliases", ())}
        names = self._names.of(event.deployment)

        def version_of(ref: str) -> str:
            origin = origins.get(ref)
            return origin.version if origin is not None and origin.model == name else ""

        for alias, now, before in (
            (names.champion, version_of(story.champion), version_of(story.dethroned)),
            (names.challenger, version_of(story.challenger), version_of(story.withdrawn)),
        ):
            if now and there.get(alias) != now:
                await self._asked("POST", "registered-models/alias", {"name": name, "alias": alias, "version": now})
            elif not now and before and there.get(alias) == before:
                await self._asked("DELETE", "registered-models/alias", {"name": name, "alias": alias})
        if version_of(story.about):
            await self._tag_version(name, version_of(story.about), story.status, event)
        value = f"{self._identity}:{event.generation}"
        await self._asked(
            "POST", "registered-models/set-tag", {"name": name, "key": GENERATION + event.deployment, "value": value}
        )

    async def _tag_version(self, name: str, version: str, status: str, event: Event) -> None:
        tags = {
            "serinus.status": status,
            "serinus.deployment": event.deployment,
            "serinus.rollout": event.rollout,
            "serinus.reason": event.reason,
        }
        for key, value in tags.items():
            await self._asked(
                "POST",
                "model-versions/set-tag",
                {"name": name, "version": version, "key": key, "value": value},
            )

    def _has_heard_later(self, model: Mapping[str, Any], event: Event) -> bool:
        """Say whether this model was told of something later of the same deployment."""
        tags = {str(each.get("key")): str(each.get("value", "")) for each in model.get("tags", ())}
        identity, _, generation = tags.get(GENERATION + event.deployment, "").rpartition(":")
        return identity == self._identity and generation.isdecimal() and int(generation) > event.generation

    async def _asked(self, method: str, path: str, said: Mapping[str, str]) -> dict[str, Any]:
        try:
            async with self._http.stream(
                method,
                self._url + API + path,
                params=said if method == "GET" else None,
                json=None if method == "GET" else said,
                headers=self._headers | {"accept-encoding": "identity"},
                follow_redirects=False,
            ) as answer:
                document = await _document(answer)
        except httpx2.HTTPError as trouble:
            raise Unavailable(
                f"MLflow at {self._server} does not answer: {str(trouble).strip() or type(trouble).__name__}.",
                remedy="See that it runs and can be reached from here.",
            ) from trouble
        if answer.is_success:
            return document
        answered = f"{answer.status_code} {document.get('error_code', '')}".strip()
        what = f"MLflow at {self._server} answers {answered} to {path} of {said.get('name')!r}."
        if answer.is_server_error or answer.status_code in _FOR_NOW:
            raise Unavailable(what, remedy="See its log, and whether MLFLOW_TRACKING_USERNAME, … or _TOKEN are right.")
        raise NotificationRefused(what, remedy="See that the model and its version are still there.")


async def _document(answer: httpx2.Response) -> dict[str, Any]:
    """Read an answer, of which not more is taken than a document of MLflow has; {} where it is none."""
    body = bytearray()
    async for part in answer.aiter_raw():
        body += part
        if len(body) > LARGEST_ANSWER:
            raise NotificationRefused(
                f"An answer of MLflow has more than {LARGEST_ANSWER} bytes.",
                remedy="See that it is MLflow that answers.",
            )
    try:
        document = json.loads(body)
    except (RecursionError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
