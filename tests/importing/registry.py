"""A registry in MLflow as its own users see it, by its REST API."""

from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx2

_numbers = count(1)


@dataclass(frozen=True)
class Registry:
    """The registered models of one tracking server."""

    url: str

    def ask(self, method: str, path: str, **said: str) -> dict[str, Any]:
        answer = httpx2.request(
            method,
            f"{self.url}/api/2.0/mlflow/{path}",
            params=said if method == "GET" else None,
            json=None if method == "GET" else said,
            trust_env=False,
            timeout=60,
        )
        assert answer.is_success, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def model(self, versions: int) -> str:
        """Register a model of so many versions under a new name."""
        name = f"served-{next(_numbers)}"
        self.ask("POST", "registered-models/create", name=name)
        for _ in range(versions):
            self.ask("POST", "model-versions/create", name=name, source=f"s3://models/{name}")
        return name

    def aliases(self, name: str) -> dict[str, str]:
        model = self.ask("GET", "registered-models/get", name=name)["registered_model"]
        return {each["alias"]: str(each["version"]) for each in model.get("aliases", ())}

    def set_alias(self, name: str, alias: str, version: int) -> None:
        self.ask("POST", "registered-models/alias", name=name, alias=alias, version=str(version))

    def tags(self, name: str, version: int) -> dict[str, str]:
        found = self.ask("GET", "model-versions/get", name=name, version=str(version))["model_version"]
        return {each["key"]: each["value"] for each in found.get("tags", ())}
