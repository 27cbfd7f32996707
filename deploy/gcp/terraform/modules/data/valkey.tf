# Celery's broker and the store's hot copy. One shard without cluster mode, which MGET and BRPOP need. Nothing is kept
# on disk: what it loses is in the inbox and in the tables.
#
# IAM's tokens last an hour and don't fit into REDIS_URL, so there is no password: it is alone in its own subnet.
resource "google_memorystore_instance" "this" {
  project                     = var.project
  location                    = var.region
  instance_id                 = "warmboard"
  mode                        = "CLUSTER_DISABLED"
  shard_count                 = 1
  replica_count               = var.valkey.replicas
  node_type                   = var.valkey.node_type
  engine_version              = "VALKEY_8_0"
  authorization_mode          = "AUTH_DISABLED"
  transit_encryption_mode     = var.valkey.tls ? "SERVER_AUTHENTICATION" : "TRANSIT_ENCRYPTION_DISABLED"
  deletion_protection_enabled = var.protected

  engine_configs = {
    # A full memory evicts hot bodies, which expire, and no tasks.
    maxmemory-policy = "volatile-lru"
  }

  desired_auto_created_endpoints {
    network    = var.network
    project_id = var.project
  }
}

locals {
  # A second endpoint reads from the replicas and refuses writes.
  valkey = one([
    for found in flatten([
      for endpoint in google_memorystore_instance.this.endpoints : [
        for connection in endpoint.connections : connection.psc_auto_connection
      ]
    ]) : found if found.connection_type == "CONNECTION_TYPE_PRIMARY"
  ])
}
