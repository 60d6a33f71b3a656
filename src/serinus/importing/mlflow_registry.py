"""A tracking server of MLflow, asked by MLflow's own client: finds models and fetches their files."""

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from serinus.client.errors import UnreachableError
from serinus.core.errors import InvalidInput, NotFound, SerinusError
from serinus.core.origin import Origin, bare_address
from serinus.importing.addresses import Logged, OfRun, Registered, Wanted
from serinus.importing.found import Dataset, Found

NAMED = 20
"""How many of what there is an error names."""
LOOK_S = 0.2
"""How often the progress of a download is looked at."""
_PATIENT = {
    # By itself the client asks for four minutes, and tells its makers who asks.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
_DENIED = {401, 403}
_ABSENT = {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}
_CONTEXT = "mlflow.data.context"
_COMMIT = "mlflow.source.git.commit"
_NOTE = "mlflow.note.content"

Told = Callable[[int, int], None]
"""Told how many bytes of how many have been fetched."""


class AccessDenied(SerinusError):
    """The tracking server does not let us in."""

    code = "SERINUS-MLFLOW-DENIED"
    title = "MLflow denies access"


class MLflowFailed(SerinusError):
    """The tracking server answered with an error of its own."""

    code = "SERINUS-MLFLOW-FAILED"
    title = "MLflow failed"


@dataclass(frozen=True, slots=True)
class File:
    """A file of a model: its path below the model's folder, and its bytes."""

    path: str
    size: int


@contextmanager
def opened(tracking_uri: str) -> Iterator["Registry"]:
    """Open the registry of a tracking server; what its client reads from the environment is as before afterwards.

    Raises:
        InvalidInput: the client is not installed, or this is no address of a server.
    """
    before = {name: os.environ.get(name) for name in (*_PATIENT, "MLFLOW_TRACKING_URI")}
    os.environ.update({name: value for name, value in _PATIENT.items() if not before[name]})
    # What it resolves by itself it resolves there, and not in a folder of its own making.
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri
    try:
        try:
            from mlflow import MlflowClient
        except ImportError as missing:
            raise InvalidInput(
                f"Importing from MLflow needs its client: {missing}.",
                field="URI",
                remedy="Install it with pip install 'serinus[mlflow]'.",
            ) from missing
        with _explained(tracking_uri):
            client = MlflowClient(tracking_uri)
        yield Registry(client, tracking_uri)
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Registry:
    """A tracking server with its registry of models.

    Every method raises UnreachableError where nobody answers, AccessDenied where we are not let in, NotFound where
    there is no such thing, and MLflowFailed else.
    """

    def __init__(self, client: Any, tracking_uri: str) -> None:
        self._client = client
        self._tracking_uri = tracking_uri
        self.address = bare_address(tracking_uri)

    # -- models ----------------------------------------------------------------------------------------

    def find(self, wanted: Wanted) -> Found:
        """Find a model, and all that is known of it."""
        if isinstance(wanted, Registered):
            return self._registered(wanted)
        if isinstance(wanted, Logged):
            return self._logged(self._model(wanted.model_id), f"models:/{wanted.model_id}")
        return self._of_run(wanted)

    def _registered(self, wanted: Registered) -> Found:
        version = self._version(wanted)
        with self._explained():
            location = self._client.get_model_version_download_uri(version.name, version.version)
        model_id = _model_id(version)
        logged = self._model_or_none(model_id)
        run = self._run_or_none(version.run_id or getattr(logged, "source_run_id", ""))
        origin = Origin(self.address, version.name, str(version.version), _run_id(run), model_id)
        uri = f"models:/{version.name}/{version.version}"
        return _found(uri, origin, location, run, logged, description=version.description, tags=version.tags)

    def _logged(self, logged: Any, uri: str) -> Found:
        run = self._run_or_none(logged.source_run_id)
        origin = Origin(self.address, run_id=_run_id(run), model_id=logged.model_id)
        return _found(uri, origin, logged.artifact_location, run, logged, tags=logged.tags)

    def _of_run(self, wanted: OfRun) -> Found:
        with self._explained(f"There is no run {wanted.run_id!r}."):
            run = self._client.get_run(wanted.run_id)
        uri, outputs = f"runs:/{wanted.run_id}/{wanted.path}", getattr(run.outputs, "model_outputs", None) or []
        logged = [self._model(output.model_id) for output in outputs]
        for model in logged:
            if model.name == wanted.path:
                return self._logged(model, uri)
        location = f"{run.info.artifact_uri.rstrip('/')}/{wanted.path}"
        if any(file.path == "MLmodel" for file in self.files(location)):
            return _found(uri, Origin(self.address, run_id=run.info.run_id), location, run, None, tags={})
        names = _listed(model.name for model in logged)
        raise NotFound(
            f"The run {wanted.run_id!r} has logged no model {wanted.path!r}.",
            field="URI",
            remedy=f"It has logged: {names}." if names else "It has logged no model at all.",
        )

    def _version(self, wanted: Registered) -> Any:
        found = None
        try:
            if wanted.alias:
                with self._explained(absent={"INVALID_PARAMETER_VALUE"}):
                    found = self._client.get_model_version_by_alias(wanted.model, wanted.alias)
            else:
                with self._explained():
                    found = self._client.get_model_version(wanted.model, wanted.version)
        except NotFound:
            raise self._missing(wanted) from None
        return found

    def _missing(self, wanted: Registered) -> NotFound:
        """Say that a version is not there, and what is."""
        try:
            with self._explained():
                model = self._client.get_registered_model(wanted.model)
        except NotFound:
            with self._explained():
                names = _listed(each.name for each in self._client.search_registered_models(max_results=NAMED))
            return NotFound(
                f"There is no registered model {wanted.model!r} in MLflow at {self.address}.",
                field="URI",
                remedy=f"Registered are: {names}." if names else "No model is registered there.",
            )
        if wanted.alias:
            aliases = _listed(f"{alias} (version {number})" for alias, number in sorted(model.aliases.items()))
            return NotFound(
                f"The registered model {wanted.model!r} has no alias {wanted.alias!r}.",
                field="URI",
                remedy=f"Its aliases: {aliases}." if aliases else "It has no alias; name a version: models:/NAME/1.",
            )
        latest = _listed(str(number) for number in self._numbers(wanted.model))
        return NotFound(
            f"The registered model {wanted.model!r} has no version {wanted.version}.",
            field="URI",
            remedy=f"Its versions: {latest}." if latest else "It has no version.",
        )

    def _numbers(self, model: str) -> list[int]:
        with suppress(SerinusError), self._explained():
            versions = self._client.search_model_versions(f"name='{model}'", max_results=NAMED)
            return sorted(int(version.version) for version in versions)
        return []

    def _model(self, model_id: str) -> Any:
        with self._explained(f"There is no logged model {model_id!r} in MLflow at {self.address}."):
            return self._client.get_logged_model(model_id)

    def _model_or_none(self, model_id: str) -> Any:
        with suppress(NotFound):
            return self._model(model_id) if model_id else None

    def _run_or_none(self, run_id: str) -> Any:
        """Give a run; what was deleted, or never was, is no error: the model is there all the same."""
        with suppress(NotFound), self._explained():
            return self._client.get_run(run_id) if run_id else None

    # -- files -----------------------------------------------------------------------------------------

    def files(self, location: str) -> list[File]:
        """List the files of a model, those in folders too."""
        with self._explained(f"The files at {location} are not there."):
            return sorted(_walk(self._repository(location), ""), key=lambda file: file.path)

    def fetch(self, location: str, files: Sequence[File], folder: Path, told: Told) -> None:
        """Fetch files of a model into a folder of this machine, telling of the progress."""
        repository, failures = self._repository(location), list[Exception]()

        def download() -> None:
            try:
                for file in files:
                    (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
                    repository.download_artifacts(file.path, str(folder))
            except Exception as failure:  # noqa: BLE001 - it is raised below, on the thread that waits
                failures.append(failure)

        total = sum(file.size for file in files)
        # A thread that is not waited for: who interrupts the command need not wait for the rest of the file.
        work = threading.Thread(target=download, daemon=True)
        work.start()
        while work.is_alive():
            work.join(LOOK_S)
            told(min(total, sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())), total)
        with self._explained("Its files are not there any more."):
            for failure in failures:
                raise failure

    def _repository(self, location: str) -> Any:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        with self._explained():
            return get_artifact_repository(location, tracking_uri=self._tracking_uri)

    @contextmanager
    def _explained(self, absent_means: str = "It is not there.", absent: Iterable[str] = ()) -> Iterator[None]:
        with _explained(self._tracking_uri, absent_means, {*_ABSENT, *absent}):
            yield


def _walk(repository: Any, folder: str) -> Iterator[File]:
    for each in repository.list_artifacts(folder or None):
        path = PurePosixPath(each.path)
        if path.is_absolute() or ".." in path.parts:
            raise MLflowFailed(f"MLflow names a file outside of the model: {each.path!r}.", field="URI")
        if each.is_dir:
            yield from _walk(repository, each.path)
        else:
            yield File(each.path, int(each.file_size or 0))


def _found(
    uri: str,
    origin: Origin,
    location: str,
    run: Any,
    logged: Any,
    *,
    tags: Mapping[str, str],
    description: str | None = "",
) -> Found:
    data = run.data if run is not None else None
    metrics = dict(data.metrics) if data else {}
    for metric in getattr(logged, "metrics", None) or ():
        if math.isfinite(metrics.get(metric.key, 0.0)):  # else it gives 0 for what the run has as NaN
            metrics[metric.key] = metric.value
    parameters = dict(data.params) if data else {}
    parameters |= dict(getattr(logged, "params", None) or {})
    inputs = getattr(run.inputs, "dataset_inputs", None) or [] if run is not None else []
    run_tags = dict(data.tags) if data else {}
    return Found(
        uri=uri,
        origin=origin,
        location=location,
        description=description or run_tags.get(_NOTE, ""),
        tags=dict(tags),
        metrics=metrics,
        parameters=parameters,
        datasets=[_dataset(each) for each in inputs],
        git_commit=run_tags.get(_COMMIT, ""),
    )


def _dataset(each: Any) -> Dataset:
    context = next((tag.value for tag in each.tags if tag.key == _CONTEXT), "")
    return Dataset(each.dataset.name, each.dataset.digest, context)


def _model_id(version: Any) -> str:
    """Give the logged model that a registered version was made of, "" before MLflow 3."""
    source = str(version.source or "")
    named = source.removeprefix("models:/") if source.startswith("models:/m-") else ""
    return str(version.model_id or named)


def _run_id(run: Any) -> str:
    return str(run.info.run_id) if run is not None else ""


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    return ", ".join(every[:NAMED]) + (", …" if len(every) > NAMED else "")


@contextmanager
def _explained(
    tracking_uri: str, absent_means: str = "It is not there.", absent: Iterable[str] = _ABSENT
) -> Iterator[None]:
    """Turn what MLflow's client raises into what can be said to a person."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException

    address = bare_address(tracking_uri)
    try:
        yield
    except (MlflowException, RequestException) as failure:
        said = str(failure).replace(tracking_uri, address)
        response = getattr(failure, "response", None)
        status = response.status_code if response is not None else getattr(failure, "get_http_status_code", int)()
        if status in _DENIED:
            raise AccessDenied(
                f"MLflow at {address} does not let us in (HTTP status {status}).",
                field="--tracking-uri",
                remedy="Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.",
            ) from failure
        if getattr(failure, "error_code", "") in absent:
            raise NotFound(absent_means, field="URI") from failure
        if isinstance(failure, RequestException) or "failed with exception" in said:
            raise UnreachableError(
                f"MLflow at {address} does not answer: {said.rpartition('Caused by ')[2][:300]}",
                field="--tracking-uri",
                remedy="Look whether it runs, or say where it is with --tracking-uri or MLFLOW_TRACKING_URI.",
            ) from failure
        raise MLflowFailed(f"MLflow at {address} failed: {said[:500]}", field="URI") from failure
