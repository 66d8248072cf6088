variable "name" {
  description = "Prefix of alarms, topic and budget; the dashboard's name; the value of the tag Stack."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "email" {
  description = "Who is told of alarms and of the budget."
  type        = string
}

variable "monthly_budget_usd" {
  description = "Budget a month, US dollars."
  type        = number
}

variable "latency_p99_ms" {
  description = "Latency at API Gateway, milliseconds, that 1 % of requests may exceed."
  type        = number
}

variable "error_share" {
  description = "Share of 5xx answers, 0 to 1, from which on there is an alarm."
  type        = number
}

variable "api_name" {
  description = "The REST API's name."
  type        = string
}

variable "stage" {
  description = "The stage's name."
  type        = string
}

variable "web_acl" {
  description = "The web ACL's name."
  type        = string
}

variable "cluster" {
  description = "The ECS cluster's name."
  type        = string
}

variable "service" {
  description = "The ECS service's name."
  type        = string
}

variable "load_balancer_suffix" {
  description = "The load balancer's name in CloudWatch."
  type        = string
}

variable "target_group_suffix" {
  description = "The target group's name in CloudWatch."
  type        = string
}
