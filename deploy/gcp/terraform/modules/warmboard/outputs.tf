output "images" {
  value = module.project.images
}

output "webapp_url" {
  value = "https://${module.services.webapp_host}"
}

output "mlflow_url" {
  value = module.services.mlflow_url
}

output "flower_url" {
  value = module.services.flower_url
}

output "trainer_jobs" {
  value = module.trainer.jobs
}

output "redis_url" {
  value = module.data.redis_url
}
