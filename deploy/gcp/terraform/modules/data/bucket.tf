# The runs' files and MLflow's artifacts.
locals {
  storage_roles = {
    trainer = "roles/storage.objectUser"
    mlflow  = "roles/storage.objectUser"
    worker  = "roles/storage.objectViewer"
    beat    = "roles/storage.objectViewer"
  }
}

resource "google_storage_bucket" "this" {
  project                     = var.project
  name                        = var.bucket
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.protected

  versioning {
    enabled = true
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 30
    }
  }
}

resource "google_storage_bucket_iam_member" "this" {
  for_each = local.storage_roles
  bucket   = google_storage_bucket.this.name
  role     = each.value
  member   = var.members[each.key]
}
