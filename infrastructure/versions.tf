terraform {
  # 1.10 brought the S3 backend's own lock file.
  required_version = ">= 1.10"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7"
    }
  }

  # Bucket, key and region come from envs/<env>/backend.hcl; a laptop without one plans offline.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
