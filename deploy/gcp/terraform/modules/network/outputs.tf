output "network" {
  description = "The network, once Cloud SQL and Valkey may have addresses in it."
  value       = google_compute_network.this.id
  depends_on = [
    google_service_networking_connection.services,
    google_network_connectivity_service_connection_policy.valkey,
  ]
}

output "subnetwork" {
  description = "Where Cloud Run's instances get their addresses."
  value       = google_compute_subnetwork.run.id
}
