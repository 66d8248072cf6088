output "cluster" {
  description = "Name of the ECS cluster."
  value       = aws_ecs_cluster.this.name
}

output "service" {
  description = "Name of the ECS service."
  value       = aws_ecs_service.this.name
}

output "task_family" {
  description = "Family of the task definitions."
  value       = aws_ecs_task_definition.this.family
}

output "load_balancer" {
  description = "The internal load balancer: ARN, name in CloudWatch, DNS name, security group, listener's port."
  value = {
    arn            = aws_lb.this.arn
    arn_suffix     = aws_lb.this.arn_suffix
    dns_name       = aws_lb.this.dns_name
    security_group = aws_security_group.alb.id
    port           = aws_lb_listener.this.port
  }
}

output "target_group_suffix" {
  description = "The target group's name in CloudWatch."
  value       = aws_lb_target_group.this.arn_suffix
}

output "repository_urls" {
  description = "Registry addresses of the images, by container."
  value       = { for container, repository in aws_ecr_repository.this : container => repository.repository_url }
}

output "log_groups" {
  description = "Log groups, by container."
  value       = { for container, group in aws_cloudwatch_log_group.this : container => group.name }
}
