output "database_instance" {
  value = google_sql_database_instance.this.name
}

output "database_connection" {
  description = "PROJECT:REGION:INSTANCE, the folder of its socket below /cloudsql."
  value       = google_sql_database_instance.this.connection_name
  depends_on  = [google_sql_database.this]
}

output "bucket" {
  description = "The bucket's name, once those may use it who do."
  value       = google_storage_bucket.this.name
  depends_on  = [google_storage_bucket_iam_member.this]
}

output "redis_url" {
  description = "REDIS_URL. With TLS, the certificate's authority is in the file that services mount."
  value = (
    var.valkey.tls
    ? "rediss://${local.valkey.ip_address}:${local.valkey.port}/0?ssl_ca_certs=/secrets/valkey/ca.pem"
    : "redis://${local.valkey.ip_address}:${local.valkey.port}/0"
  )
}

output "valkey_authority" {
  description = "The certificates of Valkey's own authorities, as PEM. A file can't be empty: without TLS it says so."
  value = (
    var.valkey.tls
    ? join("\n", flatten([
      for ca in google_memorystore_instance.this.managed_server_ca : [for certs in ca.ca_certs : certs.certificates]
    ]))
    : "without TLS there is no authority\n"
  )
}
