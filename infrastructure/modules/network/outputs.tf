output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "Private subnets, one a zone."
  value       = [for zone in var.availability_zones : aws_subnet.private[zone].id]
}

output "private_cidrs" {
  description = "Address ranges of the private subnets."
  value       = [for zone in var.availability_zones : aws_subnet.private[zone].cidr_block]
}
