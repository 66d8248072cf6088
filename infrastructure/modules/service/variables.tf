variable "name" {
  description = "Name of the cluster, the service and the task family; prefix of the others."
  type        = string
}

variable "load_balancer_prefix" {
  description = "First six characters at most of the load balancer's and target group's names."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "vpc_id" {
  description = "VPC of the service."
  type        = string
}

variable "private_subnet_ids" {
  description = "Subnets of the tasks and of the load balancer."
  type        = list(string)
}

variable "private_cidrs" {
  description = "Address ranges whose client-address header the gateway believes: the load balancer's."
  type        = list(string)
}

variable "client_address_header" {
  description = "Header in which API Gateway tells the caller's address."
  type        = string
}

variable "bucket_arn" {
  description = "Bucket whose models/ the tasks may read."
  type        = string
}

variable "release" {
  description = "Tag of both images."
  type        = string
}

variable "model" {
  description = "Archive to serve instead of the image's own: an s3:// path and its sha256; empty for none."
  type = object({
    path   = optional(string, "")
    sha256 = optional(string, "")
  })
}

variable "task" {
  description = "Size of a task: CPU units (1024 a vCPU) and memory in MiB."
  type = object({
    cpu    = number
    memory = number
  })
}

variable "tasks" {
  description = "Least and most tasks, the CPU percentage and the requests a minute and task to keep to."
  type = object({
    min              = number
    max              = number
    cpu_percent      = number
    requests_per_min = number
  })
}

variable "port" {
  description = "Port of the gateway container."
  type        = number
}

variable "limits" {
  description = "config/limits.json, decoded."
  type = object({
    gateway = object({
      answer_timeout_s = number
      drain_s          = number
    })
    torchserve = object({
      waiting_requests = number
    })
  })
}

variable "deregistration_s" {
  description = "Seconds that the load balancer waits for requests in flight before a task is stopped."
  type        = number
}

variable "log_days" {
  description = "Days that logs are kept."
  type        = number
}

variable "images_kept" {
  description = "Images of each kind that the registry keeps."
  type        = number
}

variable "deletion_protection" {
  description = "Whether the load balancer refuses to be deleted."
  type        = bool
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may delete repositories with images in them."
  type        = bool
}
