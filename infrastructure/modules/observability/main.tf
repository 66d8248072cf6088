# Whom to tell, when, and one page to look at. What to do at each alarm is in the runbook.

locals {
  api = { ApiName = var.api_name, Stage = var.stage }
  alb = { LoadBalancer = var.load_balancer_suffix }
  hosts = {
    LoadBalancer = var.load_balancer_suffix
    TargetGroup  = var.target_group_suffix
  }
  service = { ClusterName = var.cluster, ServiceName = var.service }

  # One figure, one threshold, how many minutes of how many.
  alarms = {
    no-healthy-task = {
      description = "No task answers its health check: clients get 503."
      namespace   = "AWS/ApplicationELB", metric = "HealthyHostCount", dimensions = local.hosts
      statistic   = "Minimum", comparison = "LessThanThreshold", threshold = 1, minutes = 2, missing = "breaching"
    }
    unhealthy-task = {
      description = "A task fails its health check for minutes, so it is not merely starting."
      namespace   = "AWS/ApplicationELB", metric = "UnHealthyHostCount", dimensions = local.hosts
      statistic   = "Maximum", comparison = "GreaterThanThreshold", threshold = 0, minutes = 5, missing = "notBreaching"
    }
    errors = {
      description = "API Gateway answers 5xx."
      namespace   = "AWS/ApiGateway", metric = "5XXError", dimensions = local.api
      statistic   = "Average", comparison = "GreaterThanThreshold", threshold = var.error_share, minutes = 5, missing = "notBreaching"
    }
    latency = {
      description = "One request in a hundred takes too long."
      namespace   = "AWS/ApiGateway", metric = "Latency", dimensions = local.api
      statistic   = "p99", comparison = "GreaterThanThreshold", threshold = var.latency_p99_ms, minutes = 5, missing = "notBreaching"
    }
    refusals = {
      description = "A large share of requests is refused: an attack, or limits that are too low."
      namespace   = "AWS/ApiGateway", metric = "4XXError", dimensions = local.api
      statistic   = "Average", comparison = "GreaterThanThreshold", threshold = 0.5, minutes = 10, missing = "notBreaching"
    }
    queue-full = {
      description = "Tasks answer 503: TorchServe's queue is full, or no worker is ready."
      namespace   = "AWS/ApplicationELB", metric = "HTTPCode_Target_5XX_Count", dimensions = local.alb
      statistic   = "Sum", comparison = "GreaterThanThreshold", threshold = 10, minutes = 3, missing = "notBreaching"
    }
    cpu = {
      description = "Tasks are busy although autoscaling should have added some."
      namespace   = "AWS/ECS", metric = "CPUUtilization", dimensions = local.service
      statistic   = "Average", comparison = "GreaterThanThreshold", threshold = 90, minutes = 10, missing = "notBreaching"
    }
    memory = {
      description = "Tasks come near the memory at which they are killed."
      namespace   = "AWS/ECS", metric = "MemoryUtilization", dimensions = local.service
      statistic   = "Maximum", comparison = "GreaterThanThreshold", threshold = 90, minutes = 5, missing = "notBreaching"
    }
  }
}

resource "aws_sns_topic" "this" {
  name              = "${var.name}-alarms"
  kms_master_key_id = "alias/aws/sns"
}

resource "aws_sns_topic_subscription" "email" {
  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = var.email
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = startswith(each.value.statistic, "p") ? null : each.value.statistic
  extended_statistic  = startswith(each.value.statistic, "p") ? each.value.statistic : null
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = each.value.minutes
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.this.arn]
  ok_actions          = [aws_sns_topic.this.arn]
}

# ------------------------------------------------------------ money

resource "aws_budgets_budget" "this" {
  name         = "${var.name}-monthly"
  budget_type  = "COST"
  limit_amount = tostring(var.monthly_budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  cost_filter {
    name   = "TagKeyValue"
    values = [format("user:Stack$%s", var.name)]
  }

  dynamic "notification" {
    for_each = { ACTUAL = 80, FORECASTED = 100 }

    content {
      notification_type          = notification.key
      threshold                  = notification.value
      threshold_type             = "PERCENTAGE"
      comparison_operator        = "GREATER_THAN"
      subscriber_email_addresses = [var.email]
    }
  }
}

# ------------------------------------------------------------ dashboard

locals {
  charts = [
    { title = "Requests a minute", stat = "Sum", metrics = [["AWS/ApiGateway", "Count", "ApiName", var.api_name, "Stage", var.stage]] },
    { title = "Latency, ms", stat = "p99", metrics = [
      ["AWS/ApiGateway", "Latency", "ApiName", var.api_name, "Stage", var.stage, { stat = "p50" }],
      ["AWS/ApiGateway", "Latency", "ApiName", var.api_name, "Stage", var.stage, { stat = "p99" }],
    ] },
    { title = "Errors and refusals", stat = "Sum", metrics = [
      ["AWS/ApiGateway", "4XXError", "ApiName", var.api_name, "Stage", var.stage],
      ["AWS/ApiGateway", "5XXError", "ApiName", var.api_name, "Stage", var.stage],
    ] },
    { title = "Blocked by the web ACL", stat = "Sum", metrics = [
      ["AWS/WAFV2", "BlockedRequests", "WebACL", var.web_acl, "Region", var.region, "Rule", "ALL"],
    ] },
    { title = "Tasks", stat = "Minimum", metrics = [
      ["AWS/ApplicationELB", "HealthyHostCount", "TargetGroup", var.target_group_suffix, "LoadBalancer", var.load_balancer_suffix],
      ["AWS/ApplicationELB", "UnHealthyHostCount", "TargetGroup", var.target_group_suffix, "LoadBalancer", var.load_balancer_suffix],
    ] },
    { title = "CPU and memory, %", stat = "Average", metrics = [
      ["AWS/ECS", "CPUUtilization", "ClusterName", var.cluster, "ServiceName", var.service],
      ["AWS/ECS", "MemoryUtilization", "ClusterName", var.cluster, "ServiceName", var.service],
    ] },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = [
      for place, chart in local.charts : {
        type   = "metric"
        x      = (place % 2) * 12
        y      = floor(place / 2) * 6
        width  = 12
        height = 6
        properties = {
          title   = chart.title
          region  = var.region
          view    = "timeSeries"
          period  = 60
          stat    = chart.stat
          metrics = chart.metrics
        }
      }
    ]
  })
}
