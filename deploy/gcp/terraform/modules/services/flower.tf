# Celery's tasks, behind Google's Identity-Aware Proxy. What it shows is in its memory, so there is one instance.
module "flower" {
  source      = "../service"
  place       = local.place
  name        = "flower"
  image       = "${var.images}/workers:${var.image_tag}"
  args        = ["flower"]
  port        = 5555
  alive       = "/healthcheck"
  account     = var.emails["flower"]
  environment = local.flower
  valkey      = true
  memory      = "512Mi"
  instances   = { min = 1, max = 1 }
  iap         = true
  protected   = false
}

# The proxy itself calls Flower; who may pass the proxy is said below.
resource "google_cloud_run_v2_service_iam_member" "flower" {
  project  = var.project
  location = var.region
  name     = module.flower.name
  role     = "roles/run.invoker"
  member   = "serviceAccount:service-${var.project_number}@gcp-sa-iap.iam.gserviceaccount.com"
}

resource "google_iap_web_cloud_run_service_iam_member" "operators" {
  count                  = var.people.operators == "" ? 0 : 1
  project                = var.project
  location               = var.region
  cloud_run_service_name = module.flower.name
  role                   = "roles/iap.httpsResourceAccessor"
  member                 = var.people.operators
}
