# The front door: REST API with API keys and throttles, reached by PrivateLink from nowhere else.
#
#   client -> API Gateway (web ACL on the stage: waf/) -> VPC link -> NLB -> ALB -> task

locals {
  # ["api", "api/v1", "api/v1/draft", …]: API Gateway wants every step of a path as a resource.
  steps = toset(flatten([
    for path in keys(var.routes) : [
      for depth in range(1, length(split("/", path))) :
      join("/", slice(split("/", path), 1, depth + 1))
    ]
  ]))
  steps_of_depth = { for depth in range(1, 5) : depth => toset([for step in local.steps : step if length(split("/", step)) == depth]) }

  resources = merge(
    aws_api_gateway_resource.level_1,
    aws_api_gateway_resource.level_2,
    aws_api_gateway_resource.level_3,
    aws_api_gateway_resource.level_4,
  )

  # Browsers ask OPTIONS before a request from another origin, without its key.
  methods = merge([
    for path, route in var.routes : {
      for method in [route.method, "OPTIONS"] : "${method} ${path}" => {
        path   = path
        step   = trimprefix(path, "/")
        method = method
        key    = method == "OPTIONS" ? false : route.key
        rate   = method == "OPTIONS" ? var.limits.api_gateway.other_requests_per_s : route.rate
        burst  = method == "OPTIONS" ? var.limits.api_gateway.other_burst : route.burst
      }
    }
  ]...)

  # Whatever decides what is deployed. Whole resources would change with attributes that only the
  # first refresh fills in, and replace the deployment for nothing.
  deployed = sha1(jsonencode([
    filesha1("${path.module}/main.tf"), var.routes, var.limits, var.client_address_header,
    aws_lb.nlb.dns_name, aws_api_gateway_vpc_link.this.id, local.problems,
  ]))
}

resource "aws_api_gateway_rest_api" "this" {
  name        = var.name
  description = "MTG draft recommender"
  # The web ACL must see the caller's own address, which an edge-optimised endpoint would hide.
  endpoint_configuration {
    types = ["REGIONAL"]
  }
}

resource "aws_api_gateway_resource" "level_1" {
  for_each = local.steps_of_depth[1]

  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_rest_api.this.root_resource_id
  path_part   = basename(each.key)
}

resource "aws_api_gateway_resource" "level_2" {
  for_each = local.steps_of_depth[2]

  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_resource.level_1[dirname(each.key)].id
  path_part   = basename(each.key)
}

resource "aws_api_gateway_resource" "level_3" {
  for_each = local.steps_of_depth[3]

  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_resource.level_2[dirname(each.key)].id
  path_part   = basename(each.key)
}

resource "aws_api_gateway_resource" "level_4" {
  for_each = local.steps_of_depth[4]

  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_resource.level_3[dirname(each.key)].id
  path_part   = basename(each.key)
}

resource "aws_api_gateway_method" "this" {
  for_each = local.methods

  rest_api_id      = aws_api_gateway_rest_api.this.id
  resource_id      = local.resources[each.value.step].id
  http_method      = each.value.method
  authorization    = "NONE"
  api_key_required = each.value.key
}

resource "aws_api_gateway_integration" "this" {
  for_each = local.methods

  rest_api_id             = aws_api_gateway_rest_api.this.id
  resource_id             = local.resources[each.value.step].id
  http_method             = aws_api_gateway_method.this[each.key].http_method
  type                    = "HTTP_PROXY"
  integration_http_method = each.value.method
  uri                     = "http://${aws_lb.nlb.dns_name}${each.value.path}"
  connection_type         = "VPC_LINK"
  connection_id           = aws_api_gateway_vpc_link.this.id
  # nginx gives up first, so that its answer is the one the client sees. API Gateway allows 29 s.
  timeout_milliseconds = min(29, var.limits.gateway.answer_timeout_s + 5) * 1000

  # Overwrites whatever the client sent under that name.
  request_parameters = {
    "integration.request.header.${var.client_address_header}" = "context.identity.sourceIp"
  }
}

# ------------------------------------------------------------ API Gateway's own answers

locals {
  retry = { "gatewayresponse.header.Retry-After" = "'1'" }
  later = { "gatewayresponse.header.Retry-After" = "'${var.limits.gateway.retry_after_s}'" }
  open  = { "gatewayresponse.header.Access-Control-Allow-Origin" = "'*'" }

  # In the gateway's form and with its codes; two are AWS's alone. INVALID_API_KEY is also of a request
  # without a key, MISSING_AUTHENTICATION_TOKEN of a route that does not exist.
  problems = {
    THROTTLED                    = { status = 429, code = "rate_limited", title = "Too many requests", headers = local.retry }
    QUOTA_EXCEEDED               = { status = 429, code = "quota_exceeded", title = "The API key's daily quota is used up", headers = { "gatewayresponse.header.Retry-After" = "'3600'" } }
    INVALID_API_KEY              = { status = 401, code = "unknown_api_key", title = "The API key is not known", headers = {} }
    MISSING_AUTHENTICATION_TOKEN = { status = 404, code = "unknown_route", title = "There is no such route", headers = {} }
    REQUEST_TOO_LARGE            = { status = 413, code = "body_too_large", title = "The body is too large", headers = {} }
    WAF_FILTERED                 = { status = 403, code = "forbidden", title = "The request was refused by the firewall", headers = {} }
    INTEGRATION_FAILURE          = { status = 503, code = "not_ready", title = "No worker is ready", headers = local.later }
    INTEGRATION_TIMEOUT          = { status = 504, code = "timed_out", title = "The service did not answer in time", headers = {} }
  }
}

resource "aws_api_gateway_gateway_response" "this" {
  for_each = local.problems

  rest_api_id         = aws_api_gateway_rest_api.this.id
  response_type       = each.key
  status_code         = tostring(each.value.status)
  response_parameters = merge(local.open, each.value.headers, { "gatewayresponse.header.Content-Type" = "'application/problem+json'" })
  response_templates = {
    "application/json" = jsonencode({
      type   = "urn:draft:problem:${each.value.code}"
      title  = each.value.title
      status = each.value.status
      code   = each.value.code
      detail = each.value.title
      path   = "$"
    })
  }
}

# ------------------------------------------------------------ stage

resource "aws_api_gateway_deployment" "this" {
  rest_api_id = aws_api_gateway_rest_api.this.id
  triggers    = { redeployment = local.deployed }

  lifecycle {
    create_before_destroy = true
  }

  depends_on = [
    aws_api_gateway_method.this,
    aws_api_gateway_integration.this,
    aws_api_gateway_gateway_response.this,
  ]
}

resource "aws_cloudwatch_log_group" "access" {
  name              = "/${var.name}/api"
  retention_in_days = var.log_days
}

resource "aws_api_gateway_stage" "this" {
  rest_api_id   = aws_api_gateway_rest_api.this.id
  deployment_id = aws_api_gateway_deployment.this.id
  stage_name    = var.stage

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.access.arn
    format = jsonencode({
      time       = "$context.requestTime"
      request_id = "$context.requestId"
      ip         = "$context.identity.sourceIp"
      key_id     = "$context.identity.apiKeyId"
      method     = "$context.httpMethod"
      path       = "$context.path"
      status     = "$context.status"
      error      = "$context.error.responseType"
      waf        = "$context.waf.status"
      latency_ms = "$context.responseLatency"
      bytes      = "$context.responseLength"
    })
  }

  depends_on = [aws_api_gateway_account.this]
}

# API Gateway throttles each method of a stage by itself, so the stage's limit holds for all callers
# together only because a single method, the pick, has it; the others have small ones of their own.
resource "aws_api_gateway_method_settings" "this" {
  for_each = local.methods

  rest_api_id = aws_api_gateway_rest_api.this.id
  stage_name  = aws_api_gateway_stage.this.stage_name
  method_path = "${each.value.step}/${each.value.method}"

  settings {
    metrics_enabled        = true
    logging_level          = "ERROR"
    throttling_rate_limit  = each.value.rate
    throttling_burst_limit = each.value.burst
  }
}

# The role with which API Gateway writes logs: one for all APIs of an account and region.
resource "aws_iam_role" "logs" {
  count = var.own_account_settings ? 1 : 0

  name = "${var.name}-api-logs"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "apigateway.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "logs" {
  count = var.own_account_settings ? 1 : 0

  name = "write-logs"
  role = aws_iam_role.logs[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # API Gateway refuses a role that cannot describe and create groups of its own naming.
        Effect = "Allow"
        Action = [
          "logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogGroups",
          "logs:DescribeLogStreams", "logs:PutLogEvents", "logs:GetLogEvents", "logs:FilterLogEvents",
        ]
        Resource = "arn:aws:logs:${var.region}:*:*"
      },
    ]
  })
}

resource "aws_api_gateway_account" "this" {
  count = var.own_account_settings ? 1 : 0

  cloudwatch_role_arn = aws_iam_role.logs[0].arn

  depends_on = [aws_iam_role_policy.logs]
}

# ------------------------------------------------------------ keys

resource "aws_api_gateway_usage_plan" "this" {
  name        = var.name
  description = "What each API key may ask"

  api_stages {
    api_id = aws_api_gateway_rest_api.this.id
    stage  = aws_api_gateway_stage.this.stage_name
  }

  throttle_settings {
    rate_limit  = var.limits.usage_plan.requests_per_s
    burst_limit = var.limits.usage_plan.burst
  }

  quota_settings {
    limit  = var.limits.usage_plan.requests_per_day
    period = "DAY"
  }
}

resource "aws_api_gateway_api_key" "this" {
  for_each = var.api_keys

  name = "${var.name}-${each.key}"
}

resource "aws_api_gateway_usage_plan_key" "this" {
  for_each = aws_api_gateway_api_key.this

  usage_plan_id = aws_api_gateway_usage_plan.this.id
  key_id        = each.value.id
  key_type      = "API_KEY"
}

module "waf" {
  source = "./waf"

  name        = var.name
  stage_arn   = aws_api_gateway_stage.this.arn
  limits      = var.limits.waf
  countries   = var.countries
  bot_control = var.bot_control
  log_days    = var.log_days
}

# ------------------------------------------------------------ private way to the load balancer

# A load balancer made without a group can never get one.
resource "aws_security_group" "nlb" {
  name_prefix = "${var.name}-nlb-"
  description = "Network load balancer behind the VPC link: nothing comes in but PrivateLink"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-nlb" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "nlb_to_alb" {
  security_group_id            = aws_security_group.nlb.id
  description                  = "To the load balancer of the service"
  referenced_security_group_id = var.load_balancer.security_group
  ip_protocol                  = "tcp"
  from_port                    = var.load_balancer.port
  to_port                      = var.load_balancer.port
}

resource "aws_vpc_security_group_ingress_rule" "alb_from_nlb" {
  security_group_id            = var.load_balancer.security_group
  description                  = "From the front door only"
  referenced_security_group_id = aws_security_group.nlb.id
  ip_protocol                  = "tcp"
  from_port                    = var.load_balancer.port
  to_port                      = var.load_balancer.port
}

resource "aws_lb" "nlb" {
  name_prefix                      = var.load_balancer_prefix
  internal                         = true
  load_balancer_type               = "network"
  security_groups                  = [aws_security_group.nlb.id]
  subnets                          = var.private_subnet_ids
  enable_cross_zone_load_balancing = true
  enable_deletion_protection       = var.deletion_protection
  # API Gateway arrives by PrivateLink with the addresses of its callers: rules on them would have to
  # let the whole internet in. Off, the group's empty list keeps out everything else.
  enforce_security_group_inbound_rules_on_private_link_traffic = "off"

  tags = { Name = "${var.name}-link" }
}

resource "aws_lb_target_group" "nlb" {
  name_prefix = var.load_balancer_prefix
  vpc_id      = var.vpc_id
  target_type = "alb"
  protocol    = "TCP"
  port        = var.load_balancer.port

  health_check {
    protocol = "HTTP"
    path     = "/health"
    matcher  = "200"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_lb_target_group_attachment" "nlb" {
  target_group_arn = aws_lb_target_group.nlb.arn
  target_id        = var.load_balancer.arn
  port             = var.load_balancer.port
}

resource "aws_lb_listener" "nlb" {
  load_balancer_arn = aws_lb.nlb.arn
  protocol          = "TCP"
  port              = 80

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.nlb.arn
  }
}

resource "aws_api_gateway_vpc_link" "this" {
  name        = var.name
  target_arns = [aws_lb.nlb.arn]
}
