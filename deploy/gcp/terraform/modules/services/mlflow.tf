module "mlflow" {
  source      = "../service"
  place       = local.place
  name        = "mlflow"
  image       = "${var.images}/mlflow_server:${var.image_tag}"
  port        = 5000
  alive       = "/health"
  account     = var.emails["mlflow"]
  environment = local.mlflow
  secrets     = { MLFLOW_BACKEND_STORE_URI = var.secrets["mlflow-database-url"] }
  database    = true
  cpu         = "2"
  memory      = "2Gi"
  # A cold start takes a quarter of a minute, and beat asks every minute anyway.
  instances = { min = 1, max = var.mlflow.max_instances }
  # A whole history is one request, for which a worker waits FETCH_SECONDS.
  timeout   = 360
  protected = var.protected
}

# Programs send identity tokens; people open it through `gcloud run services proxy mlflow`.
resource "google_cloud_run_v2_service_iam_member" "mlflow" {
  for_each = toset(["trainer", "worker", "beat"])
  project  = var.project
  location = var.region
  name     = module.mlflow.name
  role     = "roles/run.invoker"
  member   = var.members[each.key]
}

resource "google_cloud_run_v2_service_iam_member" "mlflow_people" {
  count    = var.people.mlflow == "" ? 0 : 1
  project  = var.project
  location = var.region
  name     = module.mlflow.name
  role     = "roles/run.invoker"
  member   = var.people.mlflow
}
