output "api_endpoint" {
  description = "Address of the API: POST <api_endpoint>/api/v1/draft/pick."
  value       = module.edge.endpoint
}

output "alb_dns" {
  description = "The internal load balancer; it resolves, and answers, only inside the VPC."
  value       = module.service.load_balancer.dns_name
}

output "ecr_repository_url" {
  description = "Registry address of the TorchServe image."
  value       = module.service.repository_urls["torchserve"]
}

output "repositories" {
  description = "Registry addresses of the images, by container."
  value = merge(
    module.service.repository_urls,
    { for training in module.training : "training" => training.repository_url },
  )
}

output "bucket" {
  description = "Bucket of releases, data and checkpoints."
  value       = module.storage.bucket
}

output "api_keys" {
  description = "Values of the API keys, by client."
  value       = module.edge.api_keys
  sensitive   = true
}

output "operations" {
  description = "Names that the Make targets need."
  value = {
    region          = var.region
    cluster         = module.service.cluster
    service         = module.service.service
    task_family     = module.service.task_family
    usage_plan_id   = module.edge.usage_plan_id
    web_acl         = module.edge.web_acl
    waf_log_group   = module.edge.waf_log_group
    log_groups      = module.service.log_groups
    queues          = var.training.enabled ? module.training[0].queues : {}
    job_definitions = var.training.enabled ? module.training[0].job_definitions : {}
    training_log    = var.training.enabled ? module.training[0].log_group : ""
    dashboard       = module.observability.dashboard
  }
}
