variable "project" {
  description = "The ID of this environment's project, which has a billing account."
  type        = string
}

variable "image_tag" {
  description = "The version to run, e.g. a commit."
  type        = string
}

variable "people" {
  description = "Who starts trainings, opens MLflow, and opens Flower: group:ADDRESS each, or empty."
  type        = object({ trainers = string, mlflow = string, operators = string })
}

variable "alert_emails" {
  description = "Who is told when something is wrong."
  type        = list(string)
}

variable "billing_account" {
  description = "The account whose budget is watched, or empty."
  type        = string
}

variable "google_client_id" {
  description = "The webapp's OAuth client for sign-in with Google, or empty: docs/how-to/google-sign-in.md."
  type        = string
  default     = ""
}

variable "google_domains" {
  description = "Domains whose accounts may sign in with Google."
  type        = list(string)
  default     = []
}

variable "secret_versions" {
  description = "The version of each password: raise one to replace it."
  type        = object({ store = number, webapp = number, mlflow = number, key = number })
  default     = { store = 1, webapp = 1, mlflow = 1, key = 1 }
}

variable "github_repository" {
  description = "OWNER/NAME of the repository whose CI pushes images, or empty."
  type        = string
  default     = ""
}
