"""``{% annotation_panel run_id %}``: a run's annotation, with a form for users who may change it."""

from __future__ import annotations

from typing import Any

from django import template

from webapp.annotations.views import annotation_of, may_annotate

register = template.Library()


@register.inclusion_tag("annotations/panel.html", takes_context=True)
def annotation_panel(context: template.Context, run_id: str) -> dict[str, Any]:
    annotation = annotation_of(run_id)
    return {
        "run_id": run_id,
        "annotation": annotation,
        "tags": ", ".join(map(str, annotation.tags.all())) if annotation else "",
        "may_annotate": may_annotate(context["request"]),
        "csrf_token": context.get("csrf_token"),
    }
