variable "name" {
  description = "Prefix of all names, unique in the account and region."
  type        = string
}

variable "region" {
  description = "AWS region, for the names of endpoints."
  type        = string
}

variable "cidr" {
  description = "The VPC's IPv4 range, a /16."
  type        = string
}

variable "availability_zones" {
  description = "Zones of the subnets; the NAT gateway is in the first one."
  type        = list(string)
}

variable "interface_endpoints" {
  description = "AWS services reached by PrivateLink instead of the NAT gateway, such as ecr.dkr."
  type        = set(string)
}

variable "flow_log_days" {
  description = "Days that rejected connections are kept in a log; 0 keeps none."
  type        = number
}
