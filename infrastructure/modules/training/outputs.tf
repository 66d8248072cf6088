output "queues" {
  description = "Job queues, by size."
  value       = { for size, queue in aws_batch_job_queue.this : size => queue.name }
}

output "job_definitions" {
  description = "Job definitions, by size."
  value       = { for size, definition in aws_batch_job_definition.this : size => definition.name }
}

output "repository_url" {
  description = "Registry address of the training image."
  value       = aws_ecr_repository.this.repository_url
}

output "log_group" {
  description = "Log of the jobs."
  value       = aws_cloudwatch_log_group.this.name
}
