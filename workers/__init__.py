"""Subscriber → inbox → Celery → fetch → sample → store."""
