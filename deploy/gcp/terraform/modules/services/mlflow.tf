resource "google_cloud_run_v2_service" "mlflow" {
  project             = var.project
  location            = var.region
  name                = "mlflow"
  ingress             = "INGRESS_TRAFFIC_ALL"
  deletion_protection = var.protected

  template {
    service_account                  = var.emails["mlflow"]
    annotations                      = local.annotations
    timeout                          = "360s"
    max_instance_request_concurrency = 80

    scaling {
      # A cold start takes a quarter of a minute, and beat asks every minute anyway.
      min_instance_count = 1
      max_instance_count = var.mlflow.max_instances
    }

    vpc_access {
      egress = "PRIVATE_RANGES_ONLY"
      network_interfaces {
        network    = var.network
        subnetwork = var.subnetwork
      }
    }

    volumes {
      name = "cloudsql"
      cloud_sql_instance {
        instances = [var.database_connection]
      }
    }

    containers {
      name  = "mlflow"
      image = "${var.images}/mlflow_server:${var.image_tag}"

      ports {
        container_port = 5000
      }

      resources {
        limits            = { cpu = "2", memory = "2Gi" }
        cpu_idle          = false
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = local.mlflow
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = local.secrets.mlflow
        content {
          name = env.key
          value_source {
            secret_key_ref {
              secret  = env.value
              version = "latest"
            }
          }
        }
      }

      volume_mounts {
        name       = "cloudsql"
        mount_path = "/cloudsql"
      }

      startup_probe {
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 24
        http_get {
          path = "/health"
          port = 5000
        }
      }

      liveness_probe {
        period_seconds    = 30
        timeout_seconds   = 10
        failure_threshold = 4
        http_get {
          path = "/health"
          port = 5000
        }
      }
    }
  }
}

# Programs send identity tokens; people open it through `gcloud run services proxy mlflow`.
resource "google_cloud_run_v2_service_iam_member" "mlflow" {
  for_each = toset(["trainer", "worker", "beat"])
  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.mlflow.name
  role     = "roles/run.invoker"
  member   = var.members[each.key]
}

resource "google_cloud_run_v2_service_iam_member" "mlflow_people" {
  count    = var.people.mlflow == "" ? 0 : 1
  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.mlflow.name
  role     = "roles/run.invoker"
  member   = var.people.mlflow
}
