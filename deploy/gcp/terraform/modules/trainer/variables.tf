variable "project" {
  type = string
}

variable "bucket" {
  type = string
}

variable "image_tag" {
  type = string
}

variable "mlflow_url" {
  type = string
}
