resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = toset(["trainer", "webapp"])
  project  = var.project
  topic    = google_pubsub_topic.this["topic"].name
  role     = "roles/pubsub.publisher"
  member   = var.members[each.key]
}

resource "google_pubsub_subscription_iam_member" "subscriber" {
  for_each     = google_pubsub_subscription.this
  project      = var.project
  subscription = each.value.name
  role         = "roles/pubsub.subscriber"
  member       = var.members["subscriber"]
}

# A seek and a snapshot change the subscription, which roles/pubsub.subscriber may not.
resource "google_pubsub_subscription_iam_member" "editor" {
  count        = var.seeking ? 1 : 0
  project      = var.project
  subscription = google_pubsub_subscription.this["subscription"].name
  role         = "roles/pubsub.editor"
  member       = var.members["subscriber"]
}

resource "google_pubsub_topic_iam_member" "dead_letters" {
  project = var.project
  topic   = google_pubsub_topic.this["dead_letter_topic"].name
  role    = "roles/pubsub.publisher"
  member  = local.agent
}

resource "google_pubsub_subscription_iam_member" "dead_letters" {
  project      = var.project
  subscription = google_pubsub_subscription.this["subscription"].name
  role         = "roles/pubsub.subscriber"
  member       = local.agent
}
