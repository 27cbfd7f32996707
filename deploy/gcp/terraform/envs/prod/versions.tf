terraform {
  # The bucket is given to `terraform init`, which can't read variables.
  backend "gcs" {
    prefix = "warmboard/prod"
  }
}

provider "google" {
  project = var.project
  region  = local.region
  # Some APIs, such as budgets, count against a project only if they are told which.
  user_project_override = true
  billing_project       = var.project
}
