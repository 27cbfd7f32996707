# Commands that end. `migrate` and `role` are run and awaited before each roll-out: first the tables, then the webapp's
# role, which may not write the store's. `workers` is for people: any command of `python -m workers`.
locals {
  jobs = {
    migrate = { image = "webapp", args = ["manage", "migrate"], account = "migrate" }
    role    = { image = "webapp", args = ["manage", "database_role"], account = "migrate" }
    workers = { image = "workers", args = ["doctor"], account = "worker" }
  }
  job_environment = { webapp = local.logs, workers = local.workers }
  job_secrets = {
    webapp = {
      DATABASE_URL        = var.secrets["store-database-url"]
      WEBAPP_DATABASE_URL = var.secrets["webapp-database-url"]
      WEBAPP_SECRET_KEY   = var.secrets["webapp-secret-key"]
    }
    workers = { DATABASE_URL = var.secrets["store-database-url"] }
  }
}

resource "google_cloud_run_v2_job" "this" {
  for_each            = local.jobs
  project             = var.project
  location            = var.region
  name                = each.key
  deletion_protection = false

  template {
    template {
      service_account = var.emails[each.value.account]
      max_retries     = 0
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

      dynamic "volumes" {
        for_each = each.value.image == "workers" ? ["valkey"] : []
        content {
          name = volumes.value
          secret {
            secret = var.secrets["valkey-authority"]
            items {
              path    = "ca.pem"
              version = "latest"
            }
          }
        }
      }

      containers {
        name  = each.key
        image = "${var.images}/${each.value.image}:${var.image_tag}"
        args  = each.value.args

        resources {
          limits = { cpu = "1", memory = "1Gi" }
        }

        dynamic "env" {
          for_each = local.job_environment[each.value.image]
          content {
            name  = env.key
            value = env.value
          }
        }

        dynamic "env" {
          for_each = local.job_secrets[each.value.image]
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
            { cloudsql = "/cloudsql" },
            each.value.image == "workers" ? { valkey = "/secrets/valkey" } : {},
          )
          content {
            name       = volume_mounts.key
            mount_path = volume_mounts.value
          }
        }
      }
    }
  }
}
