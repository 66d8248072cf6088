variable "name" {
  description = "Start of the bucket's name."
  type        = string
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may delete the bucket with what is in it."
  type        = bool
}

variable "old_version_days" {
  description = "Days that overwritten and deleted objects can be brought back."
  type        = number
}

variable "checkpoint_days" {
  description = "Days that training checkpoints are kept."
  type        = number
}
