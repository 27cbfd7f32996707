"""No table: the inbox is the store's. Only the permission to have something done about it."""

from django.db import models


class Replay(models.Model):
    class Meta:
        managed = False
        default_permissions = ()
        permissions = [("request_replay", "Can see operations and request replays")]
