# Small, and deleted with all its data by `terraform destroy`.
locals {
  region = "europe-central2"
}

module "warmboard" {
  source          = "../../modules/warmboard"
  project         = var.project
  region          = local.region
  bucket          = "${var.project}-warmboard"
  image_tag       = var.image_tag
  protected       = false
  people          = var.people
  alert_emails    = var.alert_emails
  secret_versions = var.secret_versions

  # The smallest that allows a hundred connections.
  database = {
    tier             = "db-custom-1-3840"
    highly_available = false
    max_gigabytes    = 50
    max_connections  = 100
    backups          = 7
  }
  valkey  = { node_type = "SHARED_CORE_NANO", replicas = 0, tls = true }
  workers = { min = 1, max = 1, rows_each = 4 }
  webapp = {
    min_instances    = 0
    max_instances    = 1
    processes        = 1
    domain           = ""
    proxies          = 1
    google_client_id = var.google_client_id
    google_domains   = var.google_domains
  }
  mlflow = { max_instances = 1, processes = 2, ui_url = "http://127.0.0.1:5000" }
  budget = { billing_account = var.billing_account, currency = "EUR", a_month = 300 }
}
