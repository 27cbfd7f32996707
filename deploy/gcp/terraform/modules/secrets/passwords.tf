# Passwords are made here and kept in Secret Manager alone: ephemeral values are neither in the plan nor in the state.
# A version of var.versions that is raised makes a new password, which reaches user and secret in the same apply.
ephemeral "random_password" "this" {
  for_each = var.versions
  length   = 48
  special  = false
}

locals {
  socket    = "host=/cloudsql/${var.database_connection}"
  passwords = { for name, made in ephemeral.random_password.this : name => made.result }
  # What a program gets as a whole, by the secret's name.
  values = {
    store-database-url  = "postgresql://warmboard:${local.passwords.store}@/warmboard?${local.socket}"
    webapp-database-url = "postgresql://warmboard_webapp:${local.passwords.webapp}@/warmboard?${local.socket}"
    mlflow-database-url = "postgresql://mlflow:${local.passwords.mlflow}@/mlflow?${local.socket}"
    webapp-secret-key   = local.passwords.key
  }
  # Which password is in it.
  parts = {
    store-database-url  = "store"
    webapp-database-url = "webapp"
    mlflow-database-url = "mlflow"
    webapp-secret-key   = "key"
  }
}

# The webapp's user is not here: `manage database_role` makes it, because one that Cloud SQL makes may write the store.
resource "google_sql_user" "this" {
  for_each            = { store = "warmboard", mlflow = "mlflow" }
  project             = var.project
  instance            = var.database_instance
  name                = each.value
  password_wo         = local.passwords[each.key]
  password_wo_version = var.versions[each.key]
  # It owns tables, and goes with its instance.
  deletion_policy = "ABANDON"
}

resource "google_secret_manager_secret_version" "password" {
  for_each               = local.parts
  secret                 = google_secret_manager_secret.this[each.key].id
  secret_data_wo         = local.values[each.key]
  secret_data_wo_version = var.versions[each.value]
  # The version before stays until a person destroys it: revisions that still run were started with it.
  deletion_policy = "ABANDON"
}
