output "id" {
  description = "The project's ID, once its APIs are on: what needs them takes it from here."
  value       = var.project
  depends_on  = [google_project_service.api]
}

output "number" {
  value = data.google_project.this.number
}

output "images" {
  description = "Where our images are, without a last slash."
  value = join("/", [
    "${var.region}-docker.pkg.dev", var.project, google_artifact_registry_repository.images.repository_id,
  ])
}
