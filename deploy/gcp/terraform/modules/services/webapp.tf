resource "google_cloud_run_v2_service" "webapp" {
  project             = var.project
  location            = var.region
  name                = "webapp"
  ingress             = "INGRESS_TRAFFIC_ALL"
  deletion_protection = var.protected
  # Everyone reaches its sign-in page, which is what keeps people out. No role is given to all the world for that.
  invoker_iam_disabled = true

  template {
    service_account                  = var.emails["webapp"]
    annotations                      = local.annotations
    timeout                          = "300s"
    max_instance_request_concurrency = 80

    scaling {
      min_instance_count = var.webapp.min_instances
      # Each instance takes up to nine connections of the database.
      max_instance_count = var.webapp.max_instances
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
      name  = "webapp"
      image = "${var.images}/webapp:${var.image_tag}"
      args  = ["serve"]

      ports {
        container_port = 8000
      }

      resources {
        limits = { cpu = "1", memory = "1Gi" }
        # Threads count requests and close connections between requests, too.
        cpu_idle          = false
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = merge(local.webapp, local.google_sign_in)
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = local.secrets.webapp
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
          port = 8000
        }
      }

      # Takes an instance out while its database does not answer; a restart would not help.
      readiness_probe {
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 3
        http_get {
          path = "/readyz"
          port = 8000
        }
      }

      liveness_probe {
        period_seconds    = 30
        timeout_seconds   = 5
        failure_threshold = 4
        http_get {
          path = "/healthz"
          port = 8000
        }
      }
    }
  }
}
