variable "project" {
  type = string
}

variable "project_number" {
  type = string
}

variable "region" {
  type = string
}

variable "images" {
  description = "Where our images are, without a last slash."
  type        = string
}

variable "image_tag" {
  description = "The version that runs, e.g. a commit: all programs have the same."
  type        = string
}

variable "metrics_image" {
  description = "Google's sidecar that sends Prometheus metrics to Cloud Monitoring."
  type        = string
  default     = "us-docker.pkg.dev/cloud-ops-agents-artifacts/cloud-run-gmp-sidecar/cloud-run-gmp-sidecar:1.2.0"
}

variable "members" {
  description = "Our service accounts as members, by name."
  type        = map(string)
}

variable "emails" {
  description = "Our service accounts' addresses, by name."
  type        = map(string)
}

variable "people" {
  description = "Who opens MLflow, and who Flower: group:ADDRESS, or empty."
  type        = object({ mlflow = string, operators = string })
}

variable "secrets" {
  description = "The names of our secrets in Secret Manager, by our names."
  type        = map(string)
}

variable "secret_versions" {
  description = "The version of each password, so that a new one reaches the programs."
  type        = map(number)
}

variable "network" {
  type = string
}

variable "subnetwork" {
  type = string
}

variable "database_connection" {
  type = string
}

variable "redis_url" {
  type = string
}

variable "bucket" {
  type = string
}

variable "topic" {
  type = string
}

variable "subscription" {
  type = string
}

variable "protected" {
  description = "True: Terraform deletes no service that people or programs use."
  type        = bool
}

variable "log_level" {
  type    = string
  default = "INFO"
}

variable "workers" {
  description = "How many workers there are at first."
  type        = number
}

variable "webapp" {
  type = object({
    min_instances    = number
    max_instances    = number
    processes        = number
    domain           = string
    proxies          = number
    google_client_id = string
    google_domains   = list(string)
  })
}

variable "mlflow" {
  description = "ui_url: where people open MLflow, for links on the webapp's pages."
  type = object({
    max_instances = number
    processes     = number
    ui_url        = string
  })
}
