output "images" {
  value = module.warmboard.images
}

output "webapp_url" {
  value = module.warmboard.webapp_url
}

output "mlflow_url" {
  value = module.warmboard.mlflow_url
}

output "flower_url" {
  value = module.warmboard.flower_url
}

output "trainer_jobs" {
  value = module.warmboard.trainer_jobs
}

output "redis_url" {
  description = "REDIS_URL of programs that run elsewhere in the network: docs/how-to/kubernetes.md."
  value       = module.warmboard.redis_url
}
