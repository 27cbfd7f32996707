# One network. Cloud Run's instances, Cloud SQL and Valkey have private addresses in it; nothing listens outside.
resource "google_compute_network" "this" {
  project                 = var.project
  name                    = "warmboard"
  auto_create_subnetworks = false
}

# Each instance of Cloud Run takes addresses from here while it runs.
resource "google_compute_subnetwork" "run" {
  project                  = var.project
  region                   = var.region
  name                     = "run"
  network                  = google_compute_network.this.id
  ip_cidr_range            = var.run_range
  private_ip_google_access = true
}

# Valkey has no password, so its endpoint is alone in a subnet of its own.
resource "google_compute_subnetwork" "valkey" {
  project                  = var.project
  region                   = var.region
  name                     = "valkey"
  network                  = google_compute_network.this.id
  ip_cidr_range            = var.valkey_range
  private_ip_google_access = true
}

resource "google_network_connectivity_service_connection_policy" "valkey" {
  project       = var.project
  location      = var.region
  name          = "valkey"
  service_class = "gcp-memorystore"
  network       = google_compute_network.this.id

  psc_config {
    subnetworks = [google_compute_subnetwork.valkey.id]
  }
}

resource "google_compute_global_address" "services" {
  project       = var.project
  name          = "services"
  network       = google_compute_network.this.id
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  prefix_length = 20
}

resource "google_service_networking_connection" "services" {
  network                 = google_compute_network.this.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.services.name]
}
