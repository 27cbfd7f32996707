# An account for each program, without keys. What it may do with a topic, a bucket, a secret or a service stands beside
# that; here are only the roles that nothing smaller than a project can grant. deploy/gcp/identities.json has all.
locals {
  accounts = {
    trainer    = "trains on Vertex AI"
    mlflow     = "serves MLflow"
    webapp     = "serves pages and JSON"
    subscriber = "receives events"
    worker     = "warms runs"
    beat       = "sweeps"
    flower     = "shows tasks"
    migrate    = "creates tables and the webapp's role in PostgreSQL"
    scaler     = "sets the number of workers"
    deployer   = "pushes images"
  }
  database_clients = toset(["mlflow", "webapp", "subscriber", "worker", "beat", "migrate"])
}

resource "google_service_account" "this" {
  for_each     = local.accounts
  project      = var.project
  account_id   = "warmboard-${each.key}"
  display_name = "Warmboard: ${each.key}"
  description  = each.value
}

# Only a project can grant this role, so a condition keeps it to our instance.
resource "google_project_iam_member" "database" {
  for_each = local.database_clients
  project  = var.project
  role     = "roles/cloudsql.client"
  member   = google_service_account.this[each.key].member

  condition {
    title      = "the instance ${var.database_instance}"
    expression = <<-EOT
      resource.type == "sqladmin.googleapis.com/Instance" &&
      resource.name == "projects/${var.project}/instances/${var.database_instance}"
    EOT
  }
}

# Beat's metrics go to Cloud Monitoring, where alerts and the scaler read them.
resource "google_project_iam_member" "metrics" {
  project = var.project
  role    = "roles/monitoring.metricWriter"
  member  = google_service_account.this["beat"].member
}

resource "google_project_iam_member" "scaler" {
  for_each = toset(["roles/monitoring.viewer", "roles/parametermanager.parameterViewer"])
  project  = var.project
  role     = each.key
  member   = google_service_account.this["scaler"].member
}

resource "google_service_account_iam_member" "scaler" {
  service_account_id = google_service_account.this["worker"].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.this["scaler"].member
}

resource "google_service_account_iam_member" "training" {
  count              = var.trainers == "" ? 0 : 1
  service_account_id = google_service_account.this["trainer"].name
  role               = "roles/iam.serviceAccountUser"
  member             = var.trainers
}

resource "google_project_iam_member" "training" {
  count   = var.trainers == "" ? 0 : 1
  project = var.project
  role    = "roles/aiplatform.user"
  member  = var.trainers
}
