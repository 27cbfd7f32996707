variable "project" {
  description = "The ID of a project that has a billing account."
  type        = string
}

variable "region" {
  type    = string
  default = "europe-central2"
}

variable "bucket" {
  description = "The name of the bucket to make, which no other bucket in the world has."
  type        = string
}

variable "image_tag" {
  description = "The version that runs: all programs have the same."
  type        = string
}

variable "protected" {
  description = "True: Terraform deletes nothing that has data or users."
  type        = bool
  default     = true
}

variable "people" {
  description = "Who starts trainings, opens MLflow, and opens Flower: group:ADDRESS each, or empty."
  type        = object({ trainers = string, mlflow = string, operators = string })
}

variable "alert_emails" {
  description = "Who is told when something is wrong."
  type        = list(string)
}

variable "github_repository" {
  description = "OWNER/NAME of the repository whose CI pushes images, or empty."
  type        = string
  default     = ""
}

variable "seeking" {
  description = "True: operators may have the subscriber seek and take snapshots, which needs roles/pubsub.editor."
  type        = bool
  default     = true
}

variable "secret_versions" {
  description = "The version of each password: raise one to replace it."
  type        = object({ store = number, webapp = number, mlflow = number, key = number })
  default     = { store = 1, webapp = 1, mlflow = 1, key = 1 }
}

variable "database" {
  description = "The size of Cloud SQL."
  type = object({
    tier             = string
    highly_available = bool
    max_gigabytes    = number
    max_connections  = number
    backups          = number
  })
}

variable "valkey" {
  type = object({ node_type = string, replicas = number, tls = bool })
}

variable "workers" {
  description = "Between how many workers; the same number twice: no scaler. rows_each: unfinished events for each."
  type        = object({ min = number, max = number, rows_each = number })
}

variable "webapp" {
  description = "domain: its own name, or empty. proxies: 1, or 2 behind a load balancer. google_client_id: or empty."
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
  type        = object({ max_instances = number, processes = number, ui_url = string })
}

variable "budget" {
  description = "Of a month, in the billing account's own currency. An empty account: no budget."
  type        = object({ billing_account = string, currency = string, a_month = number })
}
