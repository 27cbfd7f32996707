"""Restricted experiments: only members of their groups see them. All others are open to every reader."""
