# Each secret, and who reads it. No account reads all of them.
locals {
  readers = {
    store-database-url   = ["subscriber", "worker", "beat", "migrate"]
    webapp-database-url  = ["webapp", "migrate"]
    mlflow-database-url  = ["mlflow"]
    webapp-secret-key    = ["webapp", "migrate"]
    google-client-secret = ["webapp"]
    valkey-authority     = ["webapp", "subscriber", "worker", "beat", "flower"]
  }
  pairs = merge([
    for secret, accounts in local.readers : {
      for account in accounts : "${secret} ${account}" => { secret = secret, account = account }
    }
  ]...)
}

resource "google_secret_manager_secret" "this" {
  for_each  = local.readers
  project   = var.project
  secret_id = each.key

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each  = local.pairs
  secret_id = google_secret_manager_secret.this[each.value.secret].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = var.members[each.value.account]
}

# No secret, but Cloud Run mounts nothing else as a file.
resource "google_secret_manager_secret_version" "valkey_authority" {
  secret      = google_secret_manager_secret.this["valkey-authority"].id
  secret_data = var.valkey_authority
}
