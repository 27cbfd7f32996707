"""Accounts, groups and their rights, the sign-in page, and the audit log."""
