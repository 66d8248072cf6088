variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "vpc_id" {
  description = "VPC of the machines."
  type        = string
}

variable "private_subnet_ids" {
  description = "Subnets of the machines."
  type        = list(string)
}

variable "bucket" {
  description = "Bucket with data/ and checkpoints/."
  type        = string
}

variable "bucket_arn" {
  description = "ARN of the bucket."
  type        = string
}

variable "release" {
  description = "Tag of the training image."
  type        = string
}

variable "sizes" {
  description = "Queues by name: what a job gets, and the machines that offer it. Memory in MiB."
  type = map(object({
    instance_types = list(string)
    gpus           = number
    vcpus          = number
    memory         = number
  }))
}

variable "machines" {
  description = "Most machines of one size at a time."
  type        = number
}

variable "bid_percent" {
  description = "Highest price for a spot machine, as a percentage of the on-demand price."
  type        = number
}

variable "attempts" {
  description = "Attempts of a job whose machine was taken away."
  type        = number
}

variable "timeout_s" {
  description = "Seconds after which an attempt is ended: the guard against a job that hangs."
  type        = number
}

variable "disk_gib" {
  description = "Disk of a machine, GiB."
  type        = number
}

variable "log_days" {
  description = "Days that logs are kept."
  type        = number
}

variable "images_kept" {
  description = "Training images that the registry keeps."
  type        = number
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may delete the repository with images in it."
  type        = bool
}
