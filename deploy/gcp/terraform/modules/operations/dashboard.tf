locals {
  # Title → query in PromQL. Google's own metrics have names in it, too.
  charts = {
    "Oldest waiting event, seconds" = "warmboard_inbox_queue_age_seconds"
    "Events by state"               = "sum by (state) (warmboard_inbox_rows)"
    "Runs held back, by server"     = "sum by (server) (warmboard_runs_held_back)"
    "Servers that are down"         = "warmboard_tracking_server_state{state=\"down\"}"
    "Oldest message, seconds"       = "pubsub_googleapis_com:subscription_oldest_unacked_message_age"
    "The database's connections"    = "sum(cloudsql_googleapis_com:database_postgresql_num_backends)"
    "Instances"                     = "sum by (worker_pool_name) (run_googleapis_com:container_instance_count)"
    "Requests a second"             = "sum by (response_code_class) (rate(run_googleapis_com:request_count[5m]))"
  }
}

resource "google_monitoring_dashboard" "this" {
  project = var.project
  dashboard_json = jsonencode({
    displayName = "Warmboard"
    gridLayout = {
      columns = "2"
      widgets = [
        for title, query in local.charts : {
          title = title
          xyChart = {
            dataSets = [{ plotType = "LINE", timeSeriesQuery = { prometheusQuery = query } }]
          }
        }
      ]
    }
  })
}
