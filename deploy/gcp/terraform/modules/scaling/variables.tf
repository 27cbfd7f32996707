variable "project" {
  type = string
}

variable "region" {
  type = string
}

variable "members" {
  type = map(string)
}

variable "emails" {
  type = map(string)
}

variable "worker_pool" {
  type = string
}

variable "workers" {
  description = "Between how many workers, and how many unfinished events there may be for each of them."
  type        = object({ min = number, max = number, rows_each = number })
}

variable "image" {
  type    = string
  default = "us-central1-docker.pkg.dev/cloud-run-oss-images/crema-v1/autoscaler:1.0"
}

variable "base_image" {
  description = "What the image above runs on: it holds the program alone."
  type        = string
  default     = "us-central1-docker.pkg.dev/serverless-runtimes/google-24/runtimes/java25"
}
