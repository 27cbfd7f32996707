"""What is read of a run beside its points. ``:run_id`` is its ID; GIVEN has the other values.

The tables: https://github.com/mlflow/mlflow/blob/master/mlflow/store/tracking/dbmodels/models.py
"""

from __future__ import annotations

from workers.history.linked import CONTEXT, LONGEST_SOURCE, MOST

GIVEN = {"context": CONTEXT, "longest": LONGEST_SOURCE, "most": MOST}
REVISION = "SELECT version_num FROM alembic_version"
RUN = """
SELECT runs.name, runs.experiment_id, runs.status, runs.start_time, runs.end_time, runs.lifecycle_stage, runs.user_id,
    experiments.name
FROM runs JOIN experiments ON experiments.experiment_id = runs.experiment_id
WHERE runs.run_uuid = :run_id
"""
TAGS = "SELECT key, value FROM tags WHERE run_uuid = :run_id"
PARAMS = "SELECT key, value FROM params WHERE run_uuid = :run_id"
LATEST = """
SELECT key, step, timestamp, CASE WHEN is_nan THEN NULL ELSE value END FROM latest_metrics WHERE run_uuid = :run_id
"""
DATASETS = """
SELECT datasets.name, datasets.digest, input_tags.value, datasets.dataset_source_type,
    substr(datasets.dataset_source, 1, :longest)
FROM inputs JOIN datasets ON datasets.dataset_uuid = inputs.source_id
LEFT JOIN input_tags ON input_tags.input_uuid = inputs.input_uuid AND input_tags.name = :context
WHERE inputs.destination_type = 'RUN' AND inputs.destination_id = :run_id
LIMIT :most
"""
MODELS = """
SELECT model_id, name, status FROM logged_models WHERE source_run_id = :run_id AND lifecycle_stage = 'active'
ORDER BY creation_timestamp_ms DESC, model_id LIMIT :most
"""
OUTPUTS = """
SELECT destination_id, step FROM inputs
WHERE source_type = 'RUN_OUTPUT' AND source_id = :run_id AND destination_type = 'MODEL_OUTPUT'
ORDER BY destination_id LIMIT :most
"""
INPUTS = """
SELECT destination_id FROM inputs
WHERE source_type = 'RUN_INPUT' AND source_id = :run_id AND destination_type = 'MODEL_INPUT'
ORDER BY destination_id LIMIT :most
"""
MODEL_METRICS = """
SELECT model_id, metric_name, dataset_name, metric_step, metric_timestamp_ms, metric_value FROM logged_model_metrics
WHERE run_id = :run_id AND model_id IN (
    SELECT model_id FROM logged_models WHERE source_run_id = :run_id AND lifecycle_stage = 'active'
    UNION SELECT destination_id FROM inputs WHERE source_type IN ('RUN_OUTPUT', 'RUN_INPUT') AND source_id = :run_id
)
ORDER BY metric_step DESC, metric_timestamp_ms DESC, metric_value DESC LIMIT :most
"""
OF_RUN = (RUN, TAGS, LATEST, PARAMS, DATASETS)
OF_MODELS = (MODELS, OUTPUTS, INPUTS)
