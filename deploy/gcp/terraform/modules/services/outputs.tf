output "mlflow_url" {
  value = module.mlflow.uri
}

output "webapp_host" {
  value = local.hosts.webapp
}

output "flower_url" {
  value = "https://${local.hosts.flower}"
}

output "worker_pool" {
  description = "The name of the workers' pool."
  value       = google_cloud_run_v2_worker_pool.this["worker"].name
}
