# Topic, subscription, and those of dead letters, from the declaration that `python -m workers setup` reads too.
locals {
  text = replace(
    replace(file("${path.module}/../../../../../workers/pubsub/declaration.json"), "{topic}", var.topic),
    "{subscription}", var.subscription,
  )
  declared      = jsondecode(local.text)
  topics        = { for role in ["topic", "dead_letter_topic"] : role => local.declared[role] }
  subscriptions = { for role in ["subscription", "dead_letter_subscription"] : role => local.declared[role] }
  # The Pub/Sub service itself moves messages to the dead letters.
  agent = "serviceAccount:service-${var.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_topic" "this" {
  for_each                   = local.topics
  project                    = var.project
  name                       = each.value.name
  message_retention_duration = each.value.message_retention_duration
}

resource "google_pubsub_subscription" "this" {
  for_each                   = local.subscriptions
  project                    = var.project
  name                       = each.value.name
  topic                      = google_pubsub_topic.this[each.key == "subscription" ? "topic" : "dead_letter_topic"].id
  filter                     = each.value.filter
  ack_deadline_seconds       = each.value.ack_deadline_seconds
  retain_acked_messages      = each.value.retain_acked_messages
  message_retention_duration = each.value.message_retention_duration

  # An empty policy in the declaration is one that never ends, as is an empty time here.
  expiration_policy {
    ttl = lookup(each.value.expiration_policy, "ttl", "")
  }

  dynamic "retry_policy" {
    for_each = contains(keys(each.value), "retry_policy") ? [each.value.retry_policy] : []
    content {
      minimum_backoff = retry_policy.value.minimum_backoff
      maximum_backoff = retry_policy.value.maximum_backoff
    }
  }

  dynamic "dead_letter_policy" {
    for_each = contains(keys(each.value), "dead_letter_policy") ? [each.value.dead_letter_policy] : []
    content {
      dead_letter_topic     = google_pubsub_topic.this["dead_letter_topic"].id
      max_delivery_attempts = dead_letter_policy.value.max_delivery_attempts
    }
  }
}
