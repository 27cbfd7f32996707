variable "project" {
  type = string
}

variable "region" {
  type = string
}

variable "members" {
  description = "Our service accounts as members, by name."
  type        = map(string)
}

variable "database_instance" {
  type = string
}

variable "database_connection" {
  type = string
}

variable "valkey_authority" {
  type = string
}

variable "versions" {
  description = "The version of each password: raise one to replace it."
  type = object({
    store  = number
    webapp = number
    mlflow = number
    key    = number
  })
}
