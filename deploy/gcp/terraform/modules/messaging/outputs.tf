output "topic" {
  value = google_pubsub_topic.this["topic"].name
}

output "subscription" {
  value = google_pubsub_subscription.this["subscription"].name
}
