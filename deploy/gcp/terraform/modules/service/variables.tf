variable "place" {
  description = "Where all our services run, and what they connect to."
  type = object({
    project             = string
    region              = string
    network             = string
    subnetwork          = string
    database_connection = string
    valkey_authority    = string
    annotations         = map(string)
  })
}

variable "name" {
  type = string
}

variable "image" {
  type = string
}

variable "args" {
  description = "What follows the image's entry point."
  type        = list(string)
  default     = []
}

variable "port" {
  type = number
}

variable "alive" {
  description = "The path that says whether the program runs."
  type        = string
}

variable "ready" {
  description = "The path that says whether requests should come, or empty."
  type        = string
  default     = ""
}

variable "account" {
  description = "The address of its service account."
  type        = string
}

variable "environment" {
  type = map(string)
}

variable "secrets" {
  description = "Variables that are read from Secret Manager: name → secret."
  type        = map(string)
  default     = {}
}

variable "database" {
  description = "True: it connects to PostgreSQL, through a socket in /cloudsql."
  type        = bool
  default     = false
}

variable "valkey" {
  description = "True: it connects to Valkey, whose authority is in /secrets/valkey/ca.pem."
  type        = bool
  default     = false
}

variable "cpu" {
  type    = string
  default = "1"
}

variable "memory" {
  type    = string
  default = "1Gi"
}

variable "instances" {
  type = object({ min = number, max = number })
}

variable "timeout" {
  description = "Seconds that a request may take."
  type        = number
  default     = 300
}

variable "iap" {
  description = "True: Google's Identity-Aware Proxy lets in whom it is told to."
  type        = bool
  default     = false
}

variable "public" {
  description = "True: everyone reaches it, and it signs people in by itself. No role is given to everyone for that."
  type        = bool
  default     = false
}

variable "protected" {
  type = bool
}
