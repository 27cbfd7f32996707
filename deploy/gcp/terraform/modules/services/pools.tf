# Processes that answer no requests. Cloud Run gives them ten seconds after SIGTERM; ours end within eight.
locals {
  pools = {
    subscriber = { args = ["subscribe"], memory = "512Mi", instances = 1, scraped = false }
    worker     = { args = ["worker"], memory = "2Gi", instances = var.workers, scraped = false }
    beat       = { args = ["beat"], memory = "1Gi", instances = 1, scraped = true }
  }
}

resource "google_cloud_run_v2_worker_pool" "this" {
  for_each            = local.pools
  project             = var.project
  location            = var.region
  name                = each.key
  deletion_protection = var.protected

  scaling {
    scaling_mode          = "MANUAL"
    manual_instance_count = each.value.instances
  }

  template {
    service_account = var.emails[each.key]
    annotations     = local.place.annotations

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
      name  = each.key
      image = "${var.images}/workers:${var.image_tag}"
      args  = each.value.args

      resources {
        limits = { cpu = "1", memory = each.value.memory }
      }

      dynamic "env" {
        for_each = merge(local.workers, each.value.scraped ? local.metrics : {})
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = { DATABASE_URL = var.secrets["store-database-url"] }
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

      volume_mounts {
        name       = "valkey"
        mount_path = "/secrets/valkey"
      }

      startup_probe {
        period_seconds    = 5
        timeout_seconds   = 4
        failure_threshold = 24
        http_get {
          path = "/healthz"
          port = 8081
        }
      }

      # Its heartbeat also stops while what it needs is down, so it gets four minutes: a restart would not help then.
      liveness_probe {
        period_seconds    = 60
        timeout_seconds   = 5
        failure_threshold = 4
        http_get {
          path = "/healthz"
          port = 8081
        }
      }
    }

    # Sends the metrics of the container beside it to Cloud Monitoring.
    dynamic "containers" {
      for_each = each.value.scraped ? [var.metrics_image] : []
      content {
        name  = "metrics"
        image = containers.value
        resources {
          limits = { cpu = "1", memory = "512Mi" }
        }
      }
    }
  }

  # A fetch that MLflow refuses is not tried again.
  depends_on = [google_cloud_run_v2_service_iam_member.mlflow]

  lifecycle {
    # The scaler, or a person, sets how many workers there are.
    ignore_changes = [scaling]
  }
}
