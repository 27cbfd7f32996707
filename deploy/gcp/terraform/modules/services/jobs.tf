# Run and awaited before each roll-out: first the tables, then the webapp's role, which may not write the store's.
resource "google_cloud_run_v2_job" "manage" {
  for_each            = { migrate = ["manage", "migrate"], role = ["manage", "database_role"] }
  project             = var.project
  location            = var.region
  name                = each.key
  deletion_protection = false

  template {
    template {
      service_account = var.emails["migrate"]
      max_retries     = 1
      timeout         = "3600s"

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
        name  = each.key
        image = "${var.images}/webapp:${var.image_tag}"
        args  = each.value

        resources {
          limits = { cpu = "1", memory = "1Gi" }
        }

        dynamic "env" {
          for_each = local.logs
          content {
            name  = env.key
            value = env.value
          }
        }

        dynamic "env" {
          for_each = {
            DATABASE_URL        = var.secrets["store-database-url"]
            WEBAPP_DATABASE_URL = var.secrets["webapp-database-url"]
            WEBAPP_SECRET_KEY   = var.secrets["webapp-secret-key"]
          }
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
      }
    }
  }
}
