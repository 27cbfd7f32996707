# A training is a Vertex AI custom job, for which there is no Terraform resource: this fills in its specification.
locals {
  filled = {
    for name in ["vertex-job", "vertex-job-gpu"] : name => replace(
      replace(
        replace(replace(file("${path.module}/../../../${name}.yaml"), "MY-PROJECT", var.project), "MY-BUCKET", var.bucket),
        "MY-TAG", var.image_tag,
      ),
      "https://mlflow.example.com", var.mlflow_url,
    )
  }
}
