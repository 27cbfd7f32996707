# CI signs in as the deployer with the token of its own run, for one repository: there is no key to lose.
resource "google_iam_workload_identity_pool" "ci" {
  count                     = var.github_repository == "" ? 0 : 1
  project                   = var.project
  workload_identity_pool_id = "ci"
}

resource "google_iam_workload_identity_pool_provider" "github" {
  count                              = var.github_repository == "" ? 0 : 1
  project                            = var.project
  workload_identity_pool_id          = google_iam_workload_identity_pool.ci[0].workload_identity_pool_id
  workload_identity_pool_provider_id = "github"
  attribute_condition                = "assertion.sub == 'repo:${var.github_repository}:ref:refs/heads/main'"

  attribute_mapping = {
    "google.subject"       = "assertion.sub"
    "attribute.repository" = "assertion.repository"
  }

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

resource "google_service_account_iam_member" "ci" {
  count              = var.github_repository == "" ? 0 : 1
  service_account_id = google_service_account.this["deployer"].name
  role               = "roles/iam.workloadIdentityUser"
  member = join("/", [
    "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.ci[0].name}",
    "attribute.repository/${var.github_repository}",
  ])
}
