# What a person is told about: docs/operations/operations.md says what to do then.
locals {
  channels = [for channel in google_monitoring_notification_channel.email : channel.id]
  # Alerts on Google's own metrics: a value above the limit for the whole time.
  limits = {
    "Messages wait in Pub/Sub" = {
      metric   = "pubsub.googleapis.com/subscription/oldest_unacked_message_age"
      type     = "pubsub_subscription"
      label    = "subscription_id"
      of       = var.subscription
      limit    = 300
      duration = "120s"
      reducer  = "REDUCE_MAX"
      advice   = "No subscriber runs, or the database is down: messages wait for seven days."
    }
    "The database's connections run out" = {
      metric   = "cloudsql.googleapis.com/database/postgresql/num_backends"
      type     = "cloudsql_database"
      label    = "database_id"
      of       = "${var.project}:${var.database_instance}"
      limit    = floor(var.max_connections * 0.8)
      duration = "300s"
      reducer  = "REDUCE_SUM"
      advice   = "Fewer instances of the webapp or fewer workers, or a larger database."
    }
  }
  # Alerts on our own metrics, which beat has: docs/reference/prometheus.md.
  queries = {
    "Events wait for a worker" = {
      query  = "warmboard_inbox_queue_age_seconds > 60 unless on() warmboard_tracking_server_state{state=\"back\"} == 1"
      advice = "No worker takes events, or there are too few: python -m workers doctor."
    }
    "Beat tells nothing" = {
      query  = "absent(warmboard_database_up) or warmboard_database_up == 0"
      advice = "Beat doesn't run, or its database doesn't answer: unannounced runs are not found."
    }
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each     = toset(var.emails)
  project      = var.project
  display_name = each.key
  type         = "email"
  labels       = { email_address = each.key }
}

resource "google_monitoring_alert_policy" "limit" {
  for_each              = local.limits
  project               = var.project
  display_name          = each.key
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = each.key
    condition_threshold {
      filter = join(" AND ", [
        "metric.type = \"${each.value.metric}\"",
        "resource.type = \"${each.value.type}\"",
        "resource.labels.${each.value.label} = \"${each.value.of}\"",
      ])
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.limit
      duration        = each.value.duration
      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_MAX"
        cross_series_reducer = each.value.reducer
      }
    }
  }

  documentation {
    content = each.value.advice
  }
}

resource "google_monitoring_alert_policy" "query" {
  for_each              = local.queries
  project               = var.project
  display_name          = each.key
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = each.key
    condition_prometheus_query_language {
      query               = each.value.query
      duration            = "120s"
      evaluation_interval = "30s"
      # The metric is not there before beat has run for the first time.
      disable_metric_validation = true
    }
  }

  documentation {
    content = each.value.advice
  }
}
