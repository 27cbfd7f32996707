output "topic" {
  description = "The topic's name, once those may publish who do."
  value       = google_pubsub_topic.this["topic"].name
  depends_on  = [google_pubsub_topic_iam_member.publisher]
}

output "subscription" {
  description = "The subscription's name, once the subscriber may receive from it."
  value       = google_pubsub_subscription.this["subscription"].name
  depends_on  = [google_pubsub_subscription_iam_member.subscriber, google_pubsub_subscription_iam_member.editor]
}
