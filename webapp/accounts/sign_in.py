"""The sign-in page, with a limit on wrong passwords."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse

from webapp.accounts import throttle


class SignIn(LoginView):
    template_name = "accounts/sign_in.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(with_google=bool(settings.GOOGLE_CLIENT_ID), **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if throttle.exhausted(*self._who()):
            minutes = int(throttle.WINDOW.total_seconds() // 60)
            response = self.render_to_response(self.get_context_data(form=AuthenticationForm(), wait_minutes=minutes))
            response.status_code, response["Retry-After"] = 429, str(minutes * 60)
            return response
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        throttle.succeeded(*self._who())
        return super().form_valid(form)

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        throttle.failed(*self._who())
        return super().form_invalid(form)

    def _who(self) -> tuple[str, str]:
        # No account has a longer name; PostgreSQL takes no NUL.
        name = self.request.POST.get("username", "")[:150].replace("\0", "")
        return name, throttle.address_of(self.request)
