# /readyz says 503 while the database doesn't answer. Google asks from several continents.
resource "google_monitoring_uptime_check_config" "readyz" {
  project      = var.project
  display_name = "webapp"
  timeout      = "10s"
  period       = "60s"

  http_check {
    path         = "/readyz"
    port         = 443
    use_ssl      = true
    validate_ssl = true
  }

  monitored_resource {
    type   = "uptime_url"
    labels = { project_id = var.project, host = var.webapp_host }
  }
}

resource "google_monitoring_alert_policy" "readiness" {
  project               = var.project
  display_name          = "The webapp is not ready"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = "checks that failed"
    condition_threshold {
      filter = join(" AND ", [
        "metric.type = \"monitoring.googleapis.com/uptime_check/check_passed\"",
        "resource.type = \"uptime_url\"",
        "metric.labels.check_id = \"${google_monitoring_uptime_check_config.readyz.uptime_check_id}\"",
      ])
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      duration        = "120s"
      aggregations {
        alignment_period     = "1200s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_COUNT_FALSE"
        group_by_fields      = ["resource.label.*"]
      }
    }
  }

  documentation {
    content = "The webapp's database doesn't answer, or no instance starts: see its log, then python -m workers doctor."
  }
}
