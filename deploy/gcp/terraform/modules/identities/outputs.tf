output "members" {
  description = "Our service accounts as members of policies, by name."
  value       = { for name, account in google_service_account.this : name => account.member }
}

output "emails" {
  description = "Our service accounts' addresses by name, once they may connect to the database."
  value       = { for name, account in google_service_account.this : name => account.email }
  depends_on  = [google_project_iam_member.database]
}
