"""Makes a feature repository of patients in the working directory and serves it; it runs in Feast's environment.

python patients.py HOST PORT
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
from feast import (  # type: ignore[import-not-found]  # its environment has it
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    ValueType,
)
from feast.types import Float64, Int64  # type: ignore[import-not-found]  # likewise

CONFIGURATION = """
project: patients
provider: local
registry: registry.db
online_store: {type: sqlite, path: online.db}
offline_store: {type: file}
entity_key_serialization_version: 3
"""
SCHEMA = [Field(name="age", dtype=Int64), Field(name="chol", dtype=Float64)]


def view(name: str, entity: Entity, source: str) -> FeatureView:
    """Give the features of an entity, as a file has them."""
    return FeatureView(
        name=name,
        entities=[entity],
        ttl=timedelta(days=1),
        schema=SCHEMA,
        source=FileSource(path=source, timestamp_field="at"),
    )


def made() -> FeatureStore:
    """Make the repository: files, definitions, and what is online."""
    Path("feature_store.yaml").write_text(CONFIGURATION, encoding="utf-8")
    now = datetime.now(UTC)
    features = {"age": [63, 41, 57], "chol": [233.0, 204.5, None], "at": [now - timedelta(hours=1)] * 3}
    pd.DataFrame({"entity_id": ["ann", "bob", "cid"], **features}).to_parquet("patients.parquet")
    pd.DataFrame({"number": [1, 2, 3], **features}).to_parquet("numbered.parquet")
    patient = Entity(name="patient", join_keys=["entity_id"], value_type=ValueType.STRING)
    number = Entity(name="number", join_keys=["number"], value_type=ValueType.INT64)
    patients, numbered = view("patients", patient, "patients.parquet"), view("numbered", number, "numbered.parquet")
    store = FeatureStore(repo_path=".")
    store.apply(
        [
            *(patient, number, patients, numbered),
            FeatureService(name="patients", features=[patients]),
            FeatureService(name="numbered", features=[numbered]),
        ]
    )
    store.materialize(now - timedelta(days=1), now)
    return store


if __name__ == "__main__":
    store = made() if not Path("online.db").exists() else FeatureStore(repo_path=".")
    store.serve(sys.argv[1], int(sys.argv[2]))
