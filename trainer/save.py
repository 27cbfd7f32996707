"""What is kept of a training: the model, and an index of what its products are and where they lie."""

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
# A large model over a slow line takes minutes.
UPLOAD_SECONDS = 300.0


def save(model: TwoTower, dataset: Dataset, folder: str, emulator: str | None = None) -> tuple[str, str]:
    """Writes both files into the folder (a path or ``gs://…``) and returns their URIs. Raises StorageError."""
    uris = storage.join(folder, MODEL), storage.join(folder, INDEX)
    for uri, data in zip(uris, (model_bytes(model), index_bytes(model, dataset)), strict=True):
        storage.write(uri, data, emulator, content_type=BINARY, within=UPLOAD_SECONDS)
    return uris


def model_bytes(model: TwoTower) -> bytes:
    """The model as a .keras file; ``keras.models.load_model`` reads it once `trainer.model` is imported."""
    with tempfile.TemporaryDirectory(prefix="warmboard-") as folder:
        path = Path(folder) / MODEL
        model.save(path)
        return path.read_bytes()


def index_bytes(model: TwoTower, dataset: Dataset) -> bytes:
    """An .npz file without pickles.

    ``candidate_vectors`` of shape ``(products, embedding_dim)`` in float32, ``product_ids`` and ``buyer_ids``: row *i*
    of the vectors is the product ``product_ids[i]``; a buyer's place in ``buyer_ids`` is what the query tower takes.
    """
    file = io.BytesIO()
    np.savez(
        file,
        candidate_vectors=vectors(model.candidate, dataset.products),
        product_ids=dataset.product_ids,
        buyer_ids=dataset.buyer_ids,
    )
    return file.getvalue()
