# Tells the billing account's administrators; it stops nothing.
resource "google_billing_budget" "this" {
  count           = var.budget.billing_account == "" ? 0 : 1
  billing_account = var.budget.billing_account
  display_name    = "Warmboard in ${var.project}"

  budget_filter {
    projects = ["projects/${var.project_number}"]
  }

  amount {
    specified_amount {
      currency_code = var.budget.currency
      units         = tostring(var.budget.a_month)
    }
  }

  threshold_rules {
    threshold_percent = 0.5
  }

  threshold_rules {
    threshold_percent = 1.0
  }

  threshold_rules {
    threshold_percent = 1.0
    spend_basis       = "FORECASTED_SPEND"
  }

  dynamic "all_updates_rule" {
    for_each = length(local.channels) == 0 ? [] : [slice(local.channels, 0, min(5, length(local.channels)))]
    content {
      monitoring_notification_channels = all_updates_rule.value
    }
  }
}
