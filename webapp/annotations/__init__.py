"""What people say about runs: tags, a note, pins and archive. The only tables that the webapp writes."""
