variable "project" {
  description = "The project's ID."
  type        = string
}

variable "region" {
  type = string
}

variable "members" {
  description = "Our service accounts as members, by name."
  type        = map(string)
}
