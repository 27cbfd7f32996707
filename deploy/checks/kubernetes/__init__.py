"""Checks of ``deploy/kubernetes/`` without a cluster: what Kustomize makes of an overlay, against schemas and code."""
