# The project's APIs, and the repository of our images.
locals {
  apis = toset([
    "aiplatform", "artifactregistry", "billingbudgets", "cloudresourcemanager", "compute", "iam", "iamcredentials",
    "iap", "memorystore", "monitoring", "networkconnectivity", "parametermanager", "pubsub", "run", "secretmanager",
    "servicenetworking", "sqladmin", "storage", "sts",
  ])
}

data "google_project" "this" {
  project_id = var.project
}

resource "google_project_service" "api" {
  for_each           = local.apis
  project            = var.project
  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false
}

resource "google_artifact_registry_repository" "images" {
  project       = var.project
  location      = var.region
  repository_id = "warmboard"
  format        = "DOCKER"

  docker_config {
    # A tag names one image for ever, so that a roll-back brings back what ran.
    immutable_tags = true
  }

  cleanup_policies {
    id     = "keep-the-newest"
    action = "KEEP"
    most_recent_versions {
      keep_count = 20
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_artifact_registry_repository_iam_member" "deployer" {
  project    = var.project
  location   = var.region
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = var.members.deployer
}
