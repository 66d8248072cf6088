output "endpoint" {
  description = "Address of the API, without a slash at its end."
  value       = aws_api_gateway_stage.this.invoke_url
}

output "api_name" {
  description = "The API's name in CloudWatch."
  value       = aws_api_gateway_rest_api.this.name
}

output "stage" {
  description = "The stage's name."
  value       = aws_api_gateway_stage.this.stage_name
}

output "usage_plan_id" {
  description = "The usage plan that a new API key must join."
  value       = aws_api_gateway_usage_plan.this.id
}

output "api_keys" {
  description = "Values of the API keys, by name."
  value       = { for name, key in aws_api_gateway_api_key.this : name => key.value }
  sensitive   = true
}

output "web_acl" {
  description = "The web ACL's name, also in CloudWatch."
  value       = module.waf.name
}

output "web_acl_arn" {
  description = "The web ACL."
  value       = module.waf.arn
}

output "waf_log_group" {
  description = "Log of blocked and counted requests."
  value       = module.waf.log_group
}
