# One of our programs as a service of Cloud Run, with private addresses for what it connects to.
resource "google_cloud_run_v2_service" "this" {
  project              = var.place.project
  location             = var.place.region
  name                 = var.name
  ingress              = "INGRESS_TRAFFIC_ALL"
  iap_enabled          = var.iap
  invoker_iam_disabled = var.public
  deletion_protection  = var.protected

  template {
    service_account                  = var.account
    annotations                      = var.place.annotations
    timeout                          = "${var.timeout}s"
    max_instance_request_concurrency = 80

    scaling {
      min_instance_count = var.instances.min
      max_instance_count = var.instances.max
    }

    vpc_access {
      egress = "PRIVATE_RANGES_ONLY"
      network_interfaces {
        network    = var.place.network
        subnetwork = var.place.subnetwork
      }
    }

    dynamic "volumes" {
      for_each = var.database ? ["cloudsql"] : []
      content {
        name = volumes.value
        cloud_sql_instance {
          instances = [var.place.database_connection]
        }
      }
    }

    dynamic "volumes" {
      for_each = var.valkey ? ["valkey"] : []
      content {
        name = volumes.value
        secret {
          secret = var.place.valkey_authority
          items {
            path    = "ca.pem"
            version = "latest"
          }
        }
      }
    }

    containers {
      name  = var.name
      image = var.image
      args  = var.args

      ports {
        container_port = var.port
      }

      resources {
        limits = { cpu = var.cpu, memory = var.memory }
        # Our threads work between requests, too.
        cpu_idle          = false
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = var.environment
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = var.secrets
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

      dynamic "volume_mounts" {
        for_each = merge(
          var.database ? { cloudsql = "/cloudsql" } : {},
          var.valkey ? { valkey = "/secrets/valkey" } : {},
        )
        content {
          name       = volume_mounts.key
          mount_path = volume_mounts.value
        }
      }

      startup_probe {
        period_seconds    = 5
        timeout_seconds   = 5
        failure_threshold = 48
        http_get {
          path = var.alive
          port = var.port
        }
      }

      liveness_probe {
        period_seconds    = 30
        timeout_seconds   = 10
        failure_threshold = 4
        http_get {
          path = var.alive
          port = var.port
        }
      }

      # Takes an instance out for a while; a restart would not help it.
      dynamic "readiness_probe" {
        for_each = var.ready == "" ? [] : [var.ready]
        content {
          period_seconds    = 10
          timeout_seconds   = 5
          failure_threshold = 3
          http_get {
            path = readiness_probe.value
            port = var.port
          }
        }
      }
    }
  }
}
