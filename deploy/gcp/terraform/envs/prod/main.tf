# Survives the loss of a zone, and `terraform destroy`.
locals {
  region = "europe-central2"
}

module "warmboard" {
  source            = "../../modules/warmboard"
  project           = var.project
  region            = local.region
  bucket            = "${var.project}-warmboard"
  image_tag         = var.image_tag
  protected         = true
  people            = var.people
  alert_emails      = var.alert_emails
  github_repository = var.github_repository
  secret_versions   = var.secret_versions

  database = {
    tier             = "db-custom-2-7680"
    highly_available = true
    max_gigabytes    = 500
    max_connections  = 400
    backups          = 30
  }
  valkey  = { node_type = "STANDARD_SMALL", replicas = 1, tls = true }
  workers = { min = 1, max = 5, rows_each = 4 }
  webapp = {
    min_instances    = 1
    max_instances    = 4
    processes        = 2
    domain           = ""
    proxies          = 1
    google_client_id = var.google_client_id
    google_domains   = var.google_domains
  }
  mlflow = { max_instances = 2, processes = 2, ui_url = "http://127.0.0.1:5000" }
  budget = { billing_account = var.billing_account, currency = "EUR", a_month = 1000 }
}
