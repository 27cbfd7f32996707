variable "project" {
  type = string
}

variable "region" {
  type = string
}

variable "run_range" {
  description = "Addresses of Cloud Run's instances. A new revision needs twice as many for a while."
  type        = string
  default     = "10.10.0.0/24"
}

variable "valkey_range" {
  type    = string
  default = "10.10.1.0/28"
}
