variable "project" {
  type = string
}

variable "database_instance" {
  type = string
}

variable "trainers" {
  description = "Who may start trainings: group:ADDRESS, or empty."
  type        = string
}

variable "github_repository" {
  description = "OWNER/NAME of the repository whose CI pushes images, or empty."
  type        = string
}
