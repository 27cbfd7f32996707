variable "project" {
  type = string
}

variable "project_number" {
  type = string
}

variable "emails" {
  description = "Who is told."
  type        = list(string)
}

variable "subscription" {
  type = string
}

variable "database_instance" {
  type = string
}

variable "max_connections" {
  type = number
}

variable "webapp_host" {
  type = string
}

variable "budget" {
  description = "Of a month, in the billing account's own currency. An empty account: no budget."
  type        = object({ billing_account = string, currency = string, a_month = number })
}
