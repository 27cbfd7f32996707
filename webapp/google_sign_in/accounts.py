"""The account of a user that Google has authenticated: the existing one, or a new one."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, User
from django.db import transaction

from webapp.accounts import audit
from webapp.google_sign_in.models import GoogleAccount
from webapp.google_sign_in.protocol import Identity, SignInError

ASK = "Ask an administrator of Warmboard."
LONGEST_NAME = 150


@transaction.atomic
def account_of(identity: Identity) -> User:
    """The user's account. On the first sign-in it is the account named like their address or, if there is none, a new
    one without a password, in the group WEBAPP_GOOGLE_GROUP. Raises SignInError.
    """
    known = GoogleAccount.objects.select_related("user").filter(subject=identity.subject).first()
    user = known.user if known else _first_time(identity)
    if not user.is_active:
        raise SignInError(403, f"The account {user.get_username()} is closed.", ASK)
    return user


def _first_time(identity: Identity) -> User:
    name = identity.email
    if len(name) > LONGEST_NAME:
        raise SignInError(403, "This address is too long for an account's name.", ASK)
    user, new = User.objects.get_or_create(username=name, defaults={"email": name, "password": make_password(None)})
    linked, _ = GoogleAccount.objects.get_or_create(user=user, defaults={"subject": identity.subject})
    if linked.subject != identity.subject:
        raise SignInError(403, f"The account {name} belongs to a previous owner of this address.", ASK)
    if new:
        user.groups.add(Group.objects.get(name=settings.GOOGLE_GROUP))
    audit.note("sign in with Google", f"account {name}", f"made, {settings.GOOGLE_GROUP}" if new else "linked", by=name)
    return user
