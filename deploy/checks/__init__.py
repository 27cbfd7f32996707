"""Checks of what is deployed, without a cloud: Terraform's files against the provider's schema and our programs.

``python -m deploy.checks`` runs all of them. None asks a server, and none needs Terraform.
"""
