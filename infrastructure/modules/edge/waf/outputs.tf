output "name" {
  description = "The web ACL's name, also in CloudWatch."
  value       = aws_wafv2_web_acl.this.name
}

output "arn" {
  description = "The web ACL."
  value       = aws_wafv2_web_acl.this.arn
}

output "log_group" {
  description = "Log of blocked and counted requests."
  value       = aws_cloudwatch_log_group.waf.name
}
