# The whole stack: one VPC, one bucket, the service behind its front door, training, alarms.
# Numbers that limit anything come from config/limits.json; routes from config/openapi.yaml.

provider "aws" {
  region = var.region

  default_tags {
    tags = { Stack = local.name, Project = var.name, Environment = var.environment }
  }
}

locals {
  name   = "${var.name}-${var.environment}"
  limits = jsondecode(file("${path.module}/../config/limits.json"))
  api    = yamldecode(file("${path.module}/../config/openapi.yaml"))

  # Load balancers' names have room for six characters before a random end.
  load_balancer_prefix = substr("${var.name}-", 0, 6)

  # nginx; TorchServe has 8080 on the task's loopback interface.
  port = 8000

  # No client can send it: API Gateway puts the caller's address in its place.
  client_address_header = "X-Draft-Client-Address"

  # /predictions/draft is the same as /api/v1/draft/pick, and API Gateway throttles each method by itself:
  # with both, the stage would let twice its limit through.
  routes = {
    for path, item in local.api.paths : path => {
      method = contains(keys(item), "post") ? "POST" : "GET"
      key    = path != "/health"
      rate   = path == "/api/v1/draft/pick" ? local.limits.api_gateway.requests_per_s : local.limits.api_gateway.other_requests_per_s
      burst  = path == "/api/v1/draft/pick" ? local.limits.api_gateway.burst : local.limits.api_gateway.other_burst
    } if startswith(path, "/api/") || path == "/health"
  }

  availability_zones = [for letter in slice(["a", "b", "c"], 0, var.zones) : "${var.region}${letter}"]
}

module "network" {
  source = "./modules/network"

  name                = local.name
  region              = var.region
  cidr                = var.cidr
  availability_zones  = local.availability_zones
  interface_endpoints = var.interface_endpoints
  flow_log_days       = var.flow_log_days
}

module "storage" {
  source = "./modules/storage"

  name             = local.name
  force_destroy    = !var.protected
  old_version_days = var.old_version_days
  checkpoint_days  = var.checkpoint_days
}

module "service" {
  source = "./modules/service"

  name                  = local.name
  load_balancer_prefix  = local.load_balancer_prefix
  region                = var.region
  vpc_id                = module.network.vpc_id
  private_subnet_ids    = module.network.private_subnet_ids
  private_cidrs         = module.network.private_cidrs
  client_address_header = local.client_address_header
  bucket_arn            = module.storage.bucket_arn
  release               = var.release
  model                 = var.model
  task                  = var.task
  tasks                 = var.tasks
  port                  = local.port
  limits                = local.limits
  deregistration_s      = var.deregistration_s
  log_days              = var.log_days
  images_kept           = var.images_kept
  deletion_protection   = var.protected
  force_destroy         = !var.protected
}

module "edge" {
  source = "./modules/edge"

  name                  = local.name
  load_balancer_prefix  = local.load_balancer_prefix
  region                = var.region
  stage                 = var.environment
  vpc_id                = module.network.vpc_id
  private_subnet_ids    = module.network.private_subnet_ids
  load_balancer         = module.service.load_balancer
  routes                = local.routes
  limits                = local.limits
  client_address_header = local.client_address_header
  api_keys              = var.api_keys
  countries             = var.countries
  bot_control           = var.bot_control
  own_account_settings  = var.own_account_settings
  log_days              = var.log_days
  deletion_protection   = var.protected
}

module "training" {
  source = "./modules/training"
  count  = var.training.enabled ? 1 : 0

  name               = local.name
  region             = var.region
  vpc_id             = module.network.vpc_id
  private_subnet_ids = module.network.private_subnet_ids
  bucket             = module.storage.bucket
  bucket_arn         = module.storage.bucket_arn
  release            = var.release
  sizes              = var.training.sizes
  machines           = var.training.machines
  bid_percent        = var.training.bid_percent
  attempts           = var.training.attempts
  timeout_s          = var.training.timeout_s
  disk_gib           = var.training.disk_gib
  log_days           = var.log_days
  images_kept        = var.images_kept
  force_destroy      = !var.protected
}

module "observability" {
  source = "./modules/observability"

  name                 = local.name
  region               = var.region
  email                = var.email
  monthly_budget_usd   = var.monthly_budget_usd
  latency_p99_ms       = var.latency_p99_ms
  error_share          = 0.01
  api_name             = module.edge.api_name
  stage                = module.edge.stage
  web_acl              = module.edge.web_acl
  cluster              = module.service.cluster
  service              = module.service.service
  load_balancer_suffix = module.service.load_balancer.arn_suffix
  target_group_suffix  = module.service.target_group_suffix
}

# config/limits.json is checked in full by `python -m infrastructure.limits`; what would make AWS refuse
# it half-way through an apply, or mean something else there, stops the plan.
resource "terraform_data" "limits" {
  lifecycle {
    precondition {
      condition = alltrue(flatten([
        for part in ["waf", "api_gateway", "usage_plan", "gateway", "torchserve"] :
        [for value in values(local.limits[part]) : try(value > 0 && floor(value) == value, false)]
      ]))
      error_message = "config/limits.json: every limit is a whole number above 0."
    }

    precondition {
      condition     = alltrue([for window in [local.limits.waf.requests_window_s, local.limits.waf.picks_window_s] : contains([60, 120, 300, 600], window)])
      error_message = "config/limits.json: the firewall's windows are 60, 120, 300 or 600 s."
    }

    precondition {
      condition     = local.limits.waf.requests_per_ip >= 10 && local.limits.waf.picks_per_ip >= 10
      error_message = "config/limits.json: the firewall counts no rate below 10."
    }

    precondition {
      condition     = local.limits.gateway.answer_timeout_s < 29
      error_message = "config/limits.json: API Gateway waits 29 s at most, so gateway.answer_timeout_s must be less."
    }
  }
}
