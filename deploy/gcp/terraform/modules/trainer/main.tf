# A training is a Vertex AI custom job, for which there is no Terraform resource: this fills in its specification.
locals {
  jobs = { for name in ["vertex-job", "vertex-job-gpu"] : name => file("${path.module}/../../../${name}.yaml") }
  placed = {
    for name, job in local.jobs :
    name => replace(replace(job, "MY-PROJECT", var.project), "MY-BUCKET", var.bucket)
  }
  filled = {
    for name, job in local.placed :
    name => replace(replace(job, "MY-TAG", var.image_tag), "https://mlflow.example.com", var.mlflow_url)
  }
}
