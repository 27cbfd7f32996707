# Sets the number of workers by the inbox's backlog, as beat counts it. Google calls this autoscaler CREMA; it is in
# preview. A target of processor time would not do: workers wait for the network most of the time.
resource "google_parameter_manager_parameter" "this" {
  project      = var.project
  parameter_id = "worker-scaling"
  format       = "YAML"
}

resource "google_parameter_manager_parameter_version" "this" {
  parameter            = google_parameter_manager_parameter.this.id
  parameter_version_id = "v${substr(sha256(local.config), 0, 12)}"
  parameter_data       = local.config

  lifecycle {
    create_before_destroy = true
  }
}

locals {
  config = templatefile("${path.module}/crema.yaml.tftpl", {
    project     = var.project
    region      = var.region
    worker_pool = var.worker_pool
    min_workers = var.workers.min
    max_workers = var.workers.max
    rows_each   = var.workers.rows_each
  })
}

resource "google_cloud_run_v2_worker_pool_iam_member" "scaler" {
  project  = var.project
  location = var.region
  name     = var.worker_pool
  role     = "roles/run.developer"
  member   = var.members["scaler"]
}

resource "google_cloud_run_v2_service" "this" {
  project             = var.project
  location            = var.region
  name                = "scaler"
  ingress             = "INGRESS_TRAFFIC_INTERNAL_ONLY"
  deletion_protection = false

  scaling {
    scaling_mode          = "MANUAL"
    manual_instance_count = 1
  }

  template {
    service_account = var.emails["scaler"]

    containers {
      name           = "scaler"
      image          = var.image
      base_image_uri = var.base_image

      resources {
        limits   = { cpu = "1", memory = "512Mi" }
        cpu_idle = false
      }

      env {
        name  = "CREMA_CONFIG"
        value = google_parameter_manager_parameter_version.this.name
      }
    }
  }

  depends_on = [google_cloud_run_v2_worker_pool_iam_member.scaler]
}
