output "jobs" {
  description = "The jobs' specifications for `gcloud ai custom-jobs create --config`, by name."
  value       = local.filled
}
