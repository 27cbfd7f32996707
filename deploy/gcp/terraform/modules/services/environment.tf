# What each program is told: docs/reference/settings.md. Cloud Run's PORT is not read: each port stands here.
locals {
  place = {
    project             = var.project
    region              = var.region
    network             = var.network
    subnetwork          = var.subnetwork
    database_connection = var.database_connection
    valkey_authority    = var.secrets["valkey-authority"]
    # A new version of a password makes new revisions, which read it.
    annotations = { secret-versions = jsonencode(var.secret_versions) }
  }
  # A service has this address from its creation on, and one with a hash beside it.
  hosts = { for name in ["mlflow", "webapp", "flower"] : name => "${name}-${var.project_number}.${var.region}.run.app" }

  logs   = { LOG_FORMAT = "json", LOG_LEVEL = var.log_level }
  store  = { REDIS_URL = var.redis_url }
  events = { GOOGLE_CLOUD_PROJECT = var.project, PUBSUB_TOPIC = var.topic }

  webapp = merge(local.logs, local.store, local.events, {
    WEBAPP_HOST  = "0.0.0.0"
    WEBAPP_PORT  = "8000"
    WEBAPP_HTTPS = "true"
    # The address with a hash is refused: it is known only once the service is there.
    WEBAPP_ALLOWED_HOSTS = join(",", compact([local.hosts.webapp, var.webapp.domain]))
    # Google's front end alone, or a load balancer before it.
    WEBAPP_TRUSTED_PROXIES = tostring(var.webapp.proxies)
    WEBAPP_PROCESSES       = tostring(var.webapp.processes)
    FLOWER_URL             = "https://${local.hosts.flower}"
    MLFLOW_UI_URLS         = "default=${var.mlflow.ui_url}"
  })
  google_sign_in = var.webapp.google_client_id == "" ? {} : {
    WEBAPP_GOOGLE_CLIENT_ID = var.webapp.google_client_id
    WEBAPP_GOOGLE_DOMAINS   = join(",", var.webapp.google_domains)
  }

  workers = merge(local.logs, local.store, local.events, {
    PUBSUB_SUBSCRIPTION             = var.subscription
    MLFLOW_TRACKING_URI             = module.mlflow.uri
    MLFLOW_TRACKING_SERVER          = "default"
    MLFLOW_TRACKING_GOOGLE_IDENTITY = "true"
    OUTPUT_URI                      = "gs://${var.bucket}/runs"
    HEALTH_PORT                     = "8081"
  })
  # The Prometheus sidecar reads this port unless it is told another.
  metrics = { METRICS_PORT = "8080" }

  flower = merge(local.logs, local.store, {
    FLOWER_HOSTS = local.hosts.flower
    FLOWER_PORT  = "5555"
  })

  mlflow = {
    MLFLOW_HOST          = "0.0.0.0"
    MLFLOW_PORT          = "5000"
    MLFLOW_WORKERS       = tostring(var.mlflow.processes)
    MLFLOW_ARTIFACT_ROOT = "gs://${var.bucket}/mlflow"
    MLFLOW_ALLOWED_HOSTS = "${local.hosts.mlflow},mlflow-*.a.run.app"
    # Of each process, so that the connections of all are known: docs/how-to/google-cloud.md.
    MLFLOW_SQLALCHEMYSTORE_POOL_SIZE    = "5"
    MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW = "5"
  }
}
