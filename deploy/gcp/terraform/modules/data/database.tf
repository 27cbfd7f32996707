# PostgreSQL for the store and for MLflow. Only a connector gets in: it needs roles/cloudsql.client beside the password.
resource "google_sql_database_instance" "this" {
  project             = var.project
  region              = var.region
  name                = "warmboard"
  database_version    = "POSTGRES_15"
  deletion_protection = var.protected

  settings {
    tier                        = var.database.tier
    edition                     = "ENTERPRISE"
    availability_type           = var.database.highly_available ? "REGIONAL" : "ZONAL"
    disk_type                   = "PD_SSD"
    disk_autoresize             = true
    disk_autoresize_limit       = var.database.max_gigabytes
    connector_enforcement       = "REQUIRED"
    deletion_protection_enabled = var.protected

    ip_configuration {
      ipv4_enabled    = false
      private_network = var.network
      ssl_mode        = "ENCRYPTED_ONLY"
    }

    backup_configuration {
      enabled                        = true
      start_time                     = "02:00"
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = 7

      backup_retention_settings {
        retained_backups = var.database.backups
      }
    }

    maintenance_window {
      day  = 7
      hour = 3
    }

    database_flags {
      name  = "max_connections"
      value = tostring(var.database.max_connections)
    }

    database_flags {
      name  = "log_checkpoints"
      value = "on"
    }

    database_flags {
      name  = "log_lock_waits"
      value = "on"
    }

    insights_config {
      query_insights_enabled = true
    }
  }
}

resource "google_sql_database" "this" {
  for_each = toset(["warmboard", "mlflow"])
  project  = var.project
  instance = google_sql_database_instance.this.name
  name     = each.key
  # Its tables belong to a user of its own, so it goes with its instance.
  deletion_policy = "ABANDON"
}
