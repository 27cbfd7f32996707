# All of Warmboard in one project: what dev and prod share. They differ in their numbers alone.
module "identities" {
  source            = "../identities"
  project           = module.project.id
  database_instance = module.data.database_instance
  trainers          = var.people.trainers
  github_repository = var.github_repository
}

module "project" {
  source  = "../project"
  project = var.project
  region  = var.region
  members = module.identities.members
}

module "network" {
  source  = "../network"
  project = module.project.id
  region  = var.region
}

module "data" {
  source    = "../data"
  project   = module.project.id
  region    = var.region
  network   = module.network.network
  bucket    = var.bucket
  members   = module.identities.members
  protected = var.protected
  database  = var.database
  valkey    = var.valkey
}

module "messaging" {
  source         = "../messaging"
  project        = module.project.id
  project_number = module.project.number
  topic          = "warmboard-runs"
  subscription   = "warmboard-workers"
  seeking        = var.seeking
  members        = module.identities.members
}

module "secrets" {
  source              = "../secrets"
  project             = module.project.id
  region              = var.region
  members             = module.identities.members
  database_instance   = module.data.database_instance
  database_connection = module.data.database_connection
  valkey_authority    = module.data.valkey_authority
  versions            = var.secret_versions
}

module "services" {
  source              = "../services"
  project             = module.project.id
  project_number      = module.project.number
  region              = var.region
  images              = module.project.images
  image_tag           = var.image_tag
  members             = module.identities.members
  emails              = module.identities.emails
  people              = { mlflow = var.people.mlflow, operators = var.people.operators }
  secrets             = module.secrets.secrets
  secret_versions     = var.secret_versions
  network             = module.network.network
  subnetwork          = module.network.subnetwork
  database_connection = module.data.database_connection
  redis_url           = module.data.redis_url
  bucket              = module.data.bucket
  topic               = module.messaging.topic
  subscription        = module.messaging.subscription
  protected           = var.protected
  workers             = var.workers.min
  webapp              = var.webapp
  mlflow              = var.mlflow
}

module "scaling" {
  source      = "../scaling"
  count       = var.workers.min == var.workers.max ? 0 : 1
  project     = module.project.id
  region      = var.region
  members     = module.identities.members
  emails      = module.identities.emails
  worker_pool = module.services.worker_pool
  workers     = var.workers
}

module "operations" {
  source            = "../operations"
  project           = module.project.id
  project_number    = module.project.number
  emails            = var.alert_emails
  subscription      = module.messaging.subscription
  database_instance = module.data.database_instance
  max_connections   = var.database.max_connections
  webapp_host       = module.services.webapp_host
  budget            = var.budget
}

module "trainer" {
  source     = "../trainer"
  project    = var.project
  bucket     = module.data.bucket
  image_tag  = var.image_tag
  mlflow_url = module.services.mlflow_url
}
