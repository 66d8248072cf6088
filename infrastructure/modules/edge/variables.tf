variable "name" {
  description = "Name of the API, the web ACL and the usage plan."
  type        = string
}

variable "load_balancer_prefix" {
  description = "First six characters at most of the network load balancer's name."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "stage" {
  description = "Name of the stage, the first part of every path."
  type        = string
}

variable "vpc_id" {
  description = "VPC of the load balancers."
  type        = string
}

variable "private_subnet_ids" {
  description = "Subnets of the network load balancer."
  type        = list(string)
}

variable "load_balancer" {
  description = "The service's load balancer: ARN, security group, listener's port."
  type = object({
    arn            = string
    security_group = string
    port           = number
  })
}

variable "routes" {
  description = "Paths that are let through: method, whether a key is needed, and the method's throttle."
  type = map(object({
    method = string
    key    = bool
    rate   = number
    burst  = number
  }))

  validation {
    condition     = alltrue([for path in keys(var.routes) : can(regex("^(/[a-z0-9_-]+){1,4}$", path))])
    error_message = "A route is a path of one to four steps, such as /api/v1/draft/pick."
  }
}

variable "limits" {
  description = "config/limits.json, decoded."
  type = object({
    waf = object({
      requests_per_ip   = number
      requests_window_s = number
      picks_per_ip      = number
      picks_window_s    = number
      pick_body_bytes   = number
    })
    api_gateway = object({
      other_requests_per_s = number
      other_burst          = number
    })
    usage_plan = object({
      requests_per_s   = number
      burst            = number
      requests_per_day = number
    })
    gateway = object({
      answer_timeout_s = number
      retry_after_s    = number
    })
  })
}

variable "client_address_header" {
  description = "Header in which the integration tells the caller's address."
  type        = string
}

variable "api_keys" {
  description = "Names of API keys, one a client."
  type        = set(string)
}

variable "countries" {
  description = "ISO 3166 codes of the countries that are let in; empty for all."
  type        = set(string)
}

variable "bot_control" {
  description = "Whether AWS's bot control inspects requests, at a price per request."
  type        = bool
}

variable "own_account_settings" {
  description = "Whether this stack sets the account's API Gateway logging role; false where another does."
  type        = bool
}

variable "log_days" {
  description = "Days that logs are kept."
  type        = number
}

variable "deletion_protection" {
  description = "Whether the load balancer refuses to be deleted."
  type        = bool
}
