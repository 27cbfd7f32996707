"""Saves a trained model, and an index of its products and their vectors."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np

from trainer.data import Dataset
from trainer.model import TwoTower
from trainer.train import vectors
from warmboard import storage

MODEL, INDEX = "model.keras", "index.npz"
BINARY = "application/octet-stream"
# A large model takes minutes over a slow connection.
UPLOAD_SECONDS = 300.0


def save(model: TwoTower, dataset: Dataset, folder: str, emulator: str | None = None) -> tuple[str, str]:
    """Write both files to the folder, a path or ``gs://…``, and return their URIs. Raises StorageError."""
    uris = storage.join(folder, MODEL), storage.join(folder, INDEX)
    for uri, data in zip(uris, (model_bytes(model), index_bytes(model, dataset)), strict=True):
        storage.write(uri, data, emulator, content_type=BINARY, within=UPLOAD_SECONDS)
    return uris


def model_bytes(model: TwoTower) -> bytes:
    """Return the model as a .keras file. Import `trainer.model` before ``keras.models.load_model`` reads it."""
    with tempfile.TemporaryDirectory(prefix="warmboard-") as folder:
        path = Path(folder) / MODEL
        model.save(path)
        return path.read_bytes()


def index_bytes(model: TwoTower, dataset: Dataset) -> bytes:
    """Return an .npz file without pickles.

    ``candidate_vectors`` has shape ``(products, embedding_dim)``, in float32; row *i* is the vector of the product
    ``product_ids[i]``. The position of a buyer in ``buyer_ids`` is the input of the query tower.
    """
    file = io.BytesIO()
    np.savez(
        file,
        candidate_vectors=vectors(model.candidate, dataset.products),
        product_ids=dataset.product_ids,
        buyer_ids=dataset.buyer_ids,
    )
    return file.getvalue()
