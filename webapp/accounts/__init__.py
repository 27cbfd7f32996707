"""Who may do what: groups, accounts, the sign-in page, and the log of what was done."""
