# Celery's tasks, behind Google's Identity-Aware Proxy. What it shows is in its memory, so there is one instance.
resource "google_cloud_run_v2_service" "flower" {
  project             = var.project
  location            = var.region
  name                = "flower"
  ingress             = "INGRESS_TRAFFIC_ALL"
  iap_enabled         = true
  deletion_protection = false

  template {
    service_account = var.emails["flower"]
    annotations     = local.annotations

    scaling {
      min_instance_count = 1
      max_instance_count = 1
    }

    vpc_access {
      egress = "PRIVATE_RANGES_ONLY"
      network_interfaces {
        network    = var.network
        subnetwork = var.subnetwork
      }
    }

    volumes {
      name = "valkey"
      secret {
        secret = var.secrets["valkey-authority"]
        items {
          path    = "ca.pem"
          version = "latest"
        }
      }
    }

    containers {
      name  = "flower"
      image = "${var.images}/workers:${var.image_tag}"
      args  = ["flower"]

      ports {
        container_port = 5555
      }

      resources {
        limits   = { cpu = "1", memory = "512Mi" }
        cpu_idle = false
      }

      dynamic "env" {
        for_each = local.flower
        content {
          name  = env.key
          value = env.value
        }
      }

      volume_mounts {
        name       = "valkey"
        mount_path = "/secrets/valkey"
      }

      startup_probe {
        period_seconds    = 5
        timeout_seconds   = 4
        failure_threshold = 24
        http_get {
          path = "/healthcheck"
          port = 5555
        }
      }
    }
  }
}

# The proxy itself calls Flower; who may pass the proxy is said below.
resource "google_cloud_run_v2_service_iam_member" "flower" {
  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.flower.name
  role     = "roles/run.invoker"
  member   = "serviceAccount:service-${var.project_number}@gcp-sa-iap.iam.gserviceaccount.com"
}

resource "google_iap_web_cloud_run_service_iam_member" "operators" {
  count                  = var.people.operators == "" ? 0 : 1
  project                = var.project
  location               = var.region
  cloud_run_service_name = google_cloud_run_v2_service.flower.name
  role                   = "roles/iap.httpsResourceAccessor"
  member                 = var.people.operators
}
