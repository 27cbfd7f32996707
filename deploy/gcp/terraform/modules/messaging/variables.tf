variable "project" {
  type = string
}

variable "project_number" {
  type = string
}

variable "topic" {
  description = "PUBSUB_TOPIC."
  type        = string
}

variable "subscription" {
  description = "PUBSUB_SUBSCRIPTION."
  type        = string
}

variable "seeking" {
  description = "True: the subscriber may seek and take snapshots, as the operations page asks it to."
  type        = bool
}

variable "members" {
  description = "Our service accounts as members, by name."
  type        = map(string)
}
