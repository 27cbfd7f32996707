variable "project" {
  type = string
}

variable "region" {
  type = string
}

variable "network" {
  type = string
}

variable "bucket" {
  description = "The bucket's name, which no other bucket in the world has."
  type        = string
}

variable "members" {
  description = "Our service accounts as members, by name."
  type        = map(string)
}

variable "protected" {
  description = "True: Terraform deletes no database, bucket or Valkey that has data."
  type        = bool
}

variable "database" {
  description = "The size of Cloud SQL."
  type = object({
    tier             = string
    highly_available = bool
    max_gigabytes    = number
    max_connections  = number
    backups          = number
  })
}

variable "valkey" {
  type = object({
    node_type = string
    replicas  = number
    tls       = bool
  })
}
