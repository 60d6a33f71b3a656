"""The model registry: immutable, numbered versions with their artifact, signature, metrics and lineage."""

import sys
from collections.abc import Iterable, Mapping

from serinus.core.endpoint import LARGEST_DOCUMENT, REMOTE_FORMAT, Endpoint, check_allowed
from serinus.core.errors import FormatRefused, InvalidInput, KeyReused, NotFound, key_reused
from serinus.core.features import shown
from serinus.core.names import VersionRef, checked_name
from serinus.core.records import Lineage, ModelSummary, ModelVersion, Once, Package, VersionDraft
from serinus.core.signature import Signature, examples_as_rows
from serinus.ports import Artifacts, Clock, ModelLoader, Store

MAX_EXAMPLES = 32


class Registry:
    """Registers and finds model versions.

    ``remote_models`` are the places where the engines of remote versions may be.
    """

    def __init__(
        self,
        *,
        store: Store,
        artifacts: Artifacts,
        loader: ModelLoader,
        clock: Clock,
        remote_models: Iterable[str] = (),
    ) -> None:
        self._remote_models = tuple(remote_models)
        self._store = store
        self._artifacts = artifacts
        self._loader = loader
        self._clock = clock

    async def upload(self, digest: str, data: bytes) -> bool:
        """Keep an artifact under the digest its sender computed; False if it was there already.

        Raises:
            InvalidInput: the bytes have another digest, that is, they were damaged on the way; nothing is registered.
        """
        known = await self._artifacts.size(digest) is not None
        kept = await self._artifacts.put(data)
        if kept != digest:
            raise InvalidInput(
                f"The artifact's digest is {kept}, not {digest}.",
                field="digest",
                remedy="Send the whole file again, under sha256:<hex of its bytes>.",
            )
        return not known

    async def register(  # noqa: PLR0913 - what a version may say of itself
        self,
        model: Package,
        name: str,
        *,
        metrics: Mapping[str, float] | None = None,
        parameters: Mapping[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
        description: str = "",
        lineage: Lineage | None = None,
        created_by: str = "unknown",
    ) -> ModelVersion:
        """Keep a packed model's artifact and register it as the next version of ``name``; see ``register_uploaded``."""
        digest = await self._artifacts.put(model.data)
        return await self.register_uploaded(
            name,
            digest,
            model.format,
            model.signature,
            examples=model.examples,
            metrics=metrics,
            parameters={**(parameters or {}), **model.parameters},
            tags=tags,
            description=description,
            lineage=lineage,
            created_by=created_by,
        )

    async def register_uploaded(  # noqa: PLR0913 - likewise
        self,
        name: str,
        digest: str,
        format: str,  # noqa: A002 - the field's name in the API
        signature: Signature,
        *,
        examples: object = (),
        metrics: Mapping[str, float] | None = None,
        parameters: Mapping[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
        description: str = "",
        lineage: Lineage | None = None,
        created_by: str = "unknown",
        once: Once | None = None,
    ) -> ModelVersion:
        """Register an artifact that is kept already as the next version of ``name``.

        Args:
            name: the model's. digest, format, signature: of the artifact, its file format, what it takes and gives.
            examples: rows of values in the signature's order, at most 32, used to warm and check the model.
            metrics: finite numbers by name, from data the model was not trained on. lineage: where it comes from.
            once: registers once, however often it is called with the same key.

        Raises:
            InvalidInput: something of it cannot be; the field is named. FormatRefused: not allowed here.
            NotFound: no artifact of that digest was uploaded, or the parent version does not exist.
            KeyReused: the key was used for something else.
        """
        earlier = await self._earlier(once)
        if earlier is not None:
            return earlier
        checked_name(name, "name")
        if format != REMOTE_FORMAT:
            self._loader.check(format)
        lineage = lineage or Lineage()
        await self._check_parent(lineage.parent)
        size = await self._artifacts.size(digest)
        if size is None:
            raise NotFound(
                f"No artifact {digest} has been uploaded.",
                field="artifact.digest",
                remedy=f"PUT its bytes to /artifacts/{digest} first.",
            )
        if format == REMOTE_FORMAT:
            await self._check_remote(digest, size, signature)
        draft = VersionDraft(
            model=name,
            digest=digest,
            size=size,
            format=format,
            signature=signature,
            examples=_checked_examples(signature, examples),
            metrics=_checked_metrics(metrics or {}),
            parameters=dict(parameters or {}),
            tags=dict(tags or {}),
            description=description,
            lineage=lineage,
            created_by=created_by,
        )
        try:
            return await self._store.register(draft, self._clock.now(), once=once)
        except KeyReused:
            earlier = await self._earlier(once)  # the same call may have come twice at the same time
            if earlier is None:
                raise
            return earlier

    async def _earlier(self, once: Once | None) -> ModelVersion | None:
        """Give the version that the same call has registered before."""
        found = await self._store.outcome(once.key) if once else None
        if once is None or found is None:
            return None
        if found.fingerprint != once.fingerprint or found.version is None:
            raise key_reused(once.key)
        return await self.version(found.version)

    async def models(self) -> list[ModelSummary]:
        """List the models by name."""
        return await self._store.models()

    async def versions(self, model: str) -> list[ModelVersion]:
        """List a model's versions, oldest first; NotFound where it has none."""
        versions = await self._store.versions(model)
        if not versions:
            raise NotFound(f"There is no model {model!r}.", field="model", remedy="Register it with `canary register`.")
        return versions

    async def version(self, ref: VersionRef) -> ModelVersion:
        """Find one version; NotFound where there is none."""
        version = await self._store.version(ref)
        if version is None:
            known = [str(each.ref.version) for each in await self._store.versions(ref.model)]
            remedy = f"Its versions: {', '.join(known)}." if known else "Register it with `canary register`."
            raise NotFound(f"There is no model version {ref}.", field="version", remedy=remedy)
        return version

    async def _check_remote(self, digest: str, size: int, signature: Signature) -> None:
        """See that a remote version's engine is an allowed one, and can be sent what the signature names."""
        if size > LARGEST_DOCUMENT:
            raise FormatRefused(f"An artifact of {size} bytes describes no remote model.", field="artifact.digest")
        endpoint = Endpoint.decoded(await self._artifacts.get(digest))
        check_allowed(endpoint, self._remote_models)
        endpoint.check_fits(signature)

    async def _check_parent(self, parent: str) -> None:
        if not parent:
            return
        try:
            await self.version(VersionRef.parse(parent))
        except (InvalidInput, NotFound) as wrong:
            raise type(wrong)(wrong.message, field="lineage.parent", remedy=wrong.remedy) from wrong


def _checked_examples(
    signature: Signature, examples: object
) -> tuple[tuple[bool | int | float | str | None, ...], ...]:
    if not isinstance(examples, list | tuple) or len(examples) > MAX_EXAMPLES:
        raise InvalidInput(
            "examples is not a list of at most 32 rows.",
            field="examples",
            remedy="Give a few rows of values.",
        )
    return examples_as_rows(signature, examples)


def _checked_metrics(metrics: Mapping[str, object]) -> dict[str, float]:
    checked: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            raise InvalidInput(
                f"The metric {name} is {shown(value)}.",
                field=f"metrics.{name}",
                remedy="Give a finite number, or leave it out.",
            )
        checked[name] = value
    return checked
