output "secrets" {
  description = "The name of each secret in Secret Manager, once it has a value and its readers may read it."
  value       = { for name, secret in google_secret_manager_secret.this : name => secret.secret_id }
  depends_on = [
    google_secret_manager_secret_iam_member.reader,
    google_secret_manager_secret_version.password,
    google_secret_manager_secret_version.valkey_authority,
    google_sql_user.this,
  ]
}
