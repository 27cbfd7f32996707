module "webapp" {
  source      = "../service"
  place       = local.place
  name        = "webapp"
  image       = "${var.images}/webapp:${var.image_tag}"
  args        = ["serve"]
  port        = 8000
  alive       = "/healthz"
  ready       = "/readyz"
  account     = var.emails["webapp"]
  environment = merge(local.webapp, local.google_sign_in)
  secrets = merge(
    {
      DATABASE_URL      = var.secrets["webapp-database-url"]
      WEBAPP_SECRET_KEY = var.secrets["webapp-secret-key"]
    },
    var.webapp.google_client_id == "" ? {} : { WEBAPP_GOOGLE_CLIENT_SECRET = var.secrets["google-client-secret"] },
  )
  database = true
  valkey   = true
  # Each process takes up to eleven connections of the database.
  instances = { min = var.webapp.min_instances, max = var.webapp.max_instances }
  public    = true
  protected = var.protected
}
